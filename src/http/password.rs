//! `POST /password`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::caller::Caller;
use super::extract::Session;
use super::issued::Respond;
use super::json::{Json, SecretText};
use super::problem::Problem;
use super::session_cookies::Did;
use crate::account::limits::LoginLimits;
use crate::account::password::{BadPassword, HashingFailed, Password};
use crate::issuer::{Issuer, PasswordError};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    current_password: SecretText,
    new_password: SecretText,
}

/// Answers as a login does, with the token under which the session goes on.
///
/// Who holds a session does not guess its password without limit either. It is a limit of its own: whoever
/// holds none cannot use it up, so it is not counted under a text that can be sent as a username.
pub(super) async fn change(
    State(issuer): State<Arc<Issuer>>,
    State(limits): State<Arc<LoginLimits>>,
    respond: Respond,
    session: Session,
    caller: Caller,
    Json(change): Json<Change>,
) -> Result<Response, Problem> {
    let account = format!("user {}", session.subject());
    limits.admit(&account, caller.address).await?;
    let current = Password::presented(change.current_password.0)?;
    let issued = issuer
        .change_password(session.verified(), current, change.new_password.0)
        .await?;
    let carrier = session.carrier();
    Ok(respond.with(carrier, Did::Renewed, issued.claims, issued.token))
}

impl From<BadPassword> for Problem {
    fn from(error: BadPassword) -> Self {
        Self::unacceptable_password(match error {
            BadPassword::TooShort => "A new password has at least 8 characters.",
            BadPassword::TooLong => "A password has at most 1024 bytes.",
            BadPassword::TooCommon => {
                "That password is too common: it is in lists that attackers try first, or is made from the username."
            }
        })
    }
}

impl From<HashingFailed> for Problem {
    fn from(error: HashingFailed) -> Self {
        tracing::error!(cause = %error, "a password could not be hashed");
        match error {
            HashingFailed::Busy => {
                Self::unavailable("Too many passwords are being checked. Try again.")
            }
            HashingFailed::Broken => Self::internal(),
        }
    }
}

/// If it was changed, the session's token is dead and the new one is not known.
const NOT_CERTAIN: &str = "Whether the password was changed is not certain. Try again. If the session is refused, log in with the new password.";

impl From<PasswordError> for Problem {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Refused => Self::wrong_password(),
            PasswordError::SessionOver => Self::invalid_token(),
            PasswordError::Unacceptable(error) => error.into(),
            PasswordError::Hashing(error) => error.into(),
            PasswordError::Signing(error) => error.into(),
            PasswordError::Store(cause) => {
                tracing::error!(%cause, "a change of a password failed");
                Self::unavailable(NOT_CERTAIN)
            }
            PasswordError::Settle(cause) => {
                tracing::error!(%cause, "a new password is written, and where that is known is not certain");
                Self::unavailable(NOT_CERTAIN)
            }
        }
    }
}
