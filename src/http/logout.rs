//! `POST /logout`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;

use super::extract::Session;
use super::json::MaybeJson;
use super::problem::Problem;
use crate::issuer::{Issuer, LogoutError, LogoutScope};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    scope: WantedScope,
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct WantedScope(LogoutScope);

/// From text alone: serde would read an enum from an object too.
impl TryFrom<String> for WantedScope {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_str() {
            "this" => Ok(Self(LogoutScope::This)),
            "others" => Ok(Self(LogoutScope::Others)),
            "all" => Ok(Self(LogoutScope::All)),
            _ => Err("this, others or all"),
        }
    }
}

pub(super) async fn logout(
    State(issuer): State<Arc<Issuer>>,
    session: Session,
    MaybeJson(wanted): MaybeJson<Wanted>,
) -> Result<StatusCode, Problem> {
    let scope = wanted.map(|wanted| wanted.scope.0).unwrap_or_default();
    issuer.logout(session.verified(), scope).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<LogoutError> for Problem {
    fn from(error: LogoutError) -> Self {
        tracing::error!(cause = %error, "a logout could not be made certain");
        Self::unavailable(
            "The logout could not be written. The session may still be alive: try again.",
        )
    }
}
