//! Passwords on their way in: from standard input, or made at random.

use std::io::Read;
use std::sync::Arc;

use secrecy::SecretString;
use waxseal::account::password::{Cost, Hasher, MAX_BYTES, Password, PasswordHash};
use waxseal::random::{OsRandom, Random};
use waxseal::token::base64url;

use crate::failure::Failure;

/// A password of 128 random bits that can be typed.
pub fn random(random: &dyn Random) -> String {
    let mut bytes = [0; 16];
    random.fill(&mut bytes);
    base64url::encode(&bytes)
}

/// All of standard input, but for one line end.
pub fn from_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    // Two bytes more than a password and a line end may have, to tell a longer one.
    let limit = MAX_BYTES as u64 + 3;
    std::io::stdin()
        .lock()
        .take(limit)
        .read_to_string(&mut text)
        .map_err(|cause| {
            Failure::refused(format!(
                "the password could not be read from standard input: {cause}"
            ))
        })?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

/// The hash of a new password of the user of that name.
pub async fn hash(text: String, username: &str) -> Result<PasswordHash, Failure> {
    let password =
        Password::chosen(SecretString::from(text), username).map_err(Failure::refused)?;
    let hasher =
        Hasher::new(Cost::default(), 1, Arc::new(OsRandom::new())).map_err(Failure::refused)?;
    hasher.hash(password).await.map_err(Failure::refused)
}
