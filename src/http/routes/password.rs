//! `POST /password`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::caller::Caller;
use super::issued::Respond;
use super::json::{Json, SecretText};
use crate::account::limits::LoginLimits;
use crate::account::password::{BadPassword, HashingFailed, Password};
use crate::http::principal::Session;
use crate::http::problem::Problem;
use crate::http::session_cookies::Did;
use crate::issuer::{Issuer, PasswordError};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PasswordChange {
    current_password: SecretText,
    new_password: SecretText,
}

/// Changes the password. Answers like a login, with the token that continues the session.
///
/// The attempts are rate-limited: a session's holder must not guess its password without limit.
pub(super) async fn change(
    State(issuer): State<Arc<Issuer>>,
    State(limits): State<Arc<LoginLimits>>,
    respond: Respond,
    session: Session,
    caller: Caller,
    Json(change): Json<PasswordChange>,
) -> Result<Response, Problem> {
    let current = Password::presented(change.current_password.0)?;
    let new = change.new_password.0;
    let attempt = limits.admit_session(session.subject()).await?;
    let changed = issuer.change_password(session.verified(), current, new, caller.address);
    let changed = changed.await;
    match &changed {
        Err(PasswordError::Hashing(HashingFailed::Busy)) => limits.not_made(attempt).await,
        Err(PasswordError::Refused | PasswordError::Store(_) | PasswordError::Hashing(_)) => {}
        // The current password was correct.
        Ok(_)
        | Err(
            PasswordError::Unacceptable(_)
            | PasswordError::SessionOver
            | PasswordError::Settle(_)
            | PasswordError::Signing(_),
        ) => limits.succeeded(attempt).await,
    }
    let issued = changed?;
    let carrier = session.carrier();
    Ok(respond.with(carrier, Did::Renewed, issued.claims, issued.token))
}

impl From<BadPassword> for Problem {
    fn from(error: BadPassword) -> Self {
        Self::unacceptable_password(match error {
            BadPassword::TooShort => "A new password has at least 8 characters.",
            BadPassword::TooLong => "A password has at most 1024 bytes.",
            BadPassword::TooCommon => {
                "That password is too common: it, or a variation of it, is in lists that attackers try first."
            }
            BadPassword::Initial => {
                "That is the initial password, which must be changed: choose another one."
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
                tracing::info!("a password was not checked: too many checks are in progress");
                Self::unavailable("Too many passwords are being checked. Try again.")
            }
            HashingFailed::Broken => {
                tracing::error!(cause = %error, "a password could not be hashed");
                Self::internal()
            }
        }
    }
}

/// If the password was changed, the session's token is dead and the new token is lost.
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
                tracing::error!(%cause, "a password change failed");
                Self::unavailable(NOT_CERTAIN)
            }
            PasswordError::Settle(cause) => {
                tracing::error!(%cause, "a new password was written, but some nodes may not know it yet");
                Self::unavailable(NOT_CERTAIN)
            }
        }
    }
}
