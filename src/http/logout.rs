//! `POST /logout`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::extract::Session;
use super::json::MaybeJson;
use super::problem::Problem;
use super::session_cookies::SessionCookies;
use crate::issuer::{Issuer, LogoutError, LogoutScope};

const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

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
    State(cookies): State<SessionCookies>,
    session: Session,
    MaybeJson(wanted): MaybeJson<Wanted>,
) -> Result<Response, Problem> {
    let scope = wanted.map(|wanted| wanted.scope.0).unwrap_or_default();
    issuer.logout(session.verified(), scope).await?;
    Ok(match scope {
        LogoutScope::Others => StatusCode::NO_CONTENT.into_response(),
        LogoutScope::This | LogoutScope::All => Ended::own(&cookies, &session).into_response(),
    })
}

/// A session that its own request ended: 204, and nothing of it stays in the browser. Its cookie is taken
/// away by name: to clear all `"cookies"` would reach those of sibling domains.
pub(super) struct Ended(HeaderMap);

impl Ended {
    pub(super) fn own(cookies: &SessionCookies, session: &Session) -> Self {
        let mut headers = HeaderMap::new();
        if session.has_cookie() {
            cookies.clear(&mut headers);
        }
        headers.insert(
            CLEAR_SITE_DATA,
            HeaderValue::from_static(r#""cache", "storage""#),
        );
        Self(headers)
    }
}

impl IntoResponse for Ended {
    fn into_response(self) -> Response {
        (StatusCode::NO_CONTENT, self.0).into_response()
    }
}

impl From<LogoutError> for Problem {
    fn from(error: LogoutError) -> Self {
        tracing::error!(cause = %error, "a logout could not be made certain");
        Self::unavailable(
            "The logout could not be written. The session may still be alive: try again.",
        )
    }
}
