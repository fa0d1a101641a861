//! `POST /password`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::caller::Caller;
use super::issued::Respond;
use super::json::{Json, SecretText};
use crate::account::limits::LoginLimits;
use crate::account::password::{HashingFailed, Password};
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
