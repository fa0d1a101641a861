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
#[serde(rename_all = "lowercase")]
enum WantedScope {
    This,
    Others,
    All,
}

pub(super) async fn logout(
    State(issuer): State<Arc<Issuer>>,
    session: Session,
    MaybeJson(wanted): MaybeJson<Wanted>,
) -> Result<StatusCode, Problem> {
    let scope = match wanted.map(|wanted| wanted.scope) {
        None | Some(WantedScope::This) => LogoutScope::This,
        Some(WantedScope::Others) => LogoutScope::Others,
        Some(WantedScope::All) => LogoutScope::All,
    };
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
