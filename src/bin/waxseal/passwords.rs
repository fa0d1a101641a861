//! Passwords on their way in: typed, from standard input, or made at random.

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

/// The password of a user, and where it is from.
pub struct Chosen {
    pub text: String,
    /// It was made at random: nobody knows it yet.
    pub made: bool,
}

/// The password that the flags ask for. Without a flag a person types it on a terminal; elsewhere it is made.
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

/// A password of 128 random bits that can be typed.
pub fn random(random: &dyn Random) -> String {
    let mut bytes = [0; 16];
    random.fill(&mut bytes);
    base64url::encode(&bytes)
}

/// All of standard input, but for one line end.
fn from_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    // Two bytes more than a password and a line end may have, to tell a longer one.
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

/// The hash of a new password of the user of that name.
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

/// Refuses an initial password in its own place: it was shown, and must be changed.
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
