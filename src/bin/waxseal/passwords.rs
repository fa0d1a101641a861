//! New passwords: typed, read from standard input, or generated.

use std::io::{IsTerminal, Read, stdin};
use std::sync::Arc;

use secrecy::SecretString;
use waxseal::Settings;
use waxseal::account::password::{
    BadPassword, Checked, Cost, Hasher, MAX_BYTES, Password, PasswordHash,
};
use waxseal::encoding::base64url;
use waxseal::random::{OsRandom, Random};

use crate::cli::WithPassword;
use crate::failure::Failure;
use crate::terminal;

/// A user's new password, and its origin.
pub struct Chosen {
    pub text: String,
    /// Whether the password was generated, so that nobody knows it yet.
    pub made: bool,
}

/// Returns the password that the flags ask for. Without a flag it asks on a terminal, and otherwise generates one.
pub fn chosen(wanted: &WithPassword) -> Result<Chosen, Failure> {
    let given = |text| Chosen { text, made: false };
    if wanted.password_stdin {
        return from_stdin().map(given);
    }
    if !wanted.generate && stdin().is_terminal() {
        return terminal::new_password(&wanted.name).map(given);
    }
    let text = random(&OsRandom::new());
    Ok(Chosen { text, made: true })
}

/// Generates a password of 128 random bits that can be typed.
pub fn random(random: &dyn Random) -> String {
    let mut bytes = [0; 16];
    random.fill(&mut bytes);
    base64url::encode(&bytes)
}

/// Reads all of standard input, without one trailing line end.
fn from_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    // Up to two bytes more than the longest password and a line end, to detect a longer password.
    let limit = MAX_BYTES as u64 + 3;
    stdin()
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

/// Hashes the new password of this user, if the rules accept it.
pub async fn hash(
    text: String,
    username: &str,
    settings: &Settings,
) -> Result<PasswordHash, Failure> {
    let rules = settings.password_rules();
    let password = rules
        .choose(SecretString::from(text), username)
        .map_err(Failure::refused)?;
    hasher()?.hash(password).await.map_err(Failure::refused)
}

/// Refuses a new password that equals the initial one, which was shown and must be changed.
pub async fn refuse_same(text: &str, initial: PasswordHash) -> Result<(), Failure> {
    let password = Password::presented(text.to_owned().into()).map_err(Failure::refused)?;
    let checked = hasher()?.check(password, Some(initial)).await;
    match checked.map_err(Failure::refused)? {
        Checked::Wrong => Ok(()),
        Checked::Right | Checked::RightUpgraded(_) => Err(Failure::refused(BadPassword::Initial)),
    }
}

fn hasher() -> Result<Hasher, Failure> {
    Hasher::new(Cost::default(), 1, Arc::new(OsRandom::new())).map_err(Failure::refused)
}
