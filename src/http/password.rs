//! `POST /password`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;

use super::extract::Session;
use super::json::{Json, SecretText};
use super::problem::Problem;
use crate::account::limits::LoginLimits;
use crate::account::password::{BadPassword, HashingFailed, Password};
use crate::issuer::{Issuer, PasswordError};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    current_password: SecretText,
    new_password: SecretText,
}

/// Whoever holds a session does not guess its password without limit either.
pub(super) async fn change(
    State(issuer): State<Arc<Issuer>>,
    State(limits): State<Arc<LoginLimits>>,
    session: Session,
    Json(change): Json<Change>,
) -> Result<StatusCode, Problem> {
    let current = Password::presented(change.current_password.0)?;
    let attempt = limits.admit_session(session.subject()).await?;
    let changed = issuer.change_password(session.verified(), current, change.new_password.0);
    let changed = changed.await;
    match &changed {
        Ok(()) | Err(PasswordError::Unacceptable(_) | PasswordError::Settle(_)) => {
            limits.succeeded(attempt).await;
        }
        Err(PasswordError::Hashing(HashingFailed::Busy)) => limits.not_made(attempt).await,
        Err(_) => {}
    }
    changed?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<BadPassword> for Problem {
    fn from(error: BadPassword) -> Self {
        Self::unacceptable_password(match error {
            BadPassword::TooShort => "A new password has at least 8 characters.",
            BadPassword::TooLong => "A password has at most 1024 bytes.",
            BadPassword::TooCommon => {
                "That password is too common: it, or a variation of it, is in lists that attackers try first."
            }
            BadPassword::Expected => {
                "That password is made from the username, from the name of this service, or from a word that is forbidden here: attackers try those first."
            }
        })
    }
}

impl From<HashingFailed> for Problem {
    fn from(error: HashingFailed) -> Self {
        match error {
            HashingFailed::Busy => {
                tracing::info!("a password was not looked at: too many are being checked");
                Self::unavailable("Too many passwords are being checked. Try again.")
            }
            HashingFailed::Broken => {
                tracing::error!(cause = %error, "a password could not be hashed");
                Self::internal()
            }
        }
    }
}

impl From<PasswordError> for Problem {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Refused => Self::wrong_password(),
            PasswordError::Unacceptable(error) => error.into(),
            PasswordError::Hashing(error) => error.into(),
            PasswordError::Store(error) => error.into(),
            PasswordError::Settle(cause) => {
                tracing::error!(%cause, "a new password is written, and where that is known is not certain");
                Self::unavailable("Whether the password was changed is not certain. Try again.")
            }
        }
    }
}
