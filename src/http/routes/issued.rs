//! The delivery of a session's token after a login and after a renewal.

use std::convert::Infallible;
use std::sync::Arc;

use async_trait::async_trait;
use axum::Json;
use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::session::SessionView;
use crate::claims::Claims;
use crate::http::presented::Carrier;
use crate::http::problem::Problem;
use crate::http::session_cookies::{Did, Exchange, SessionAfter, SessionCookies};
use crate::issuer::{Exchanged, Issuer, RenewError};
use crate::report::report;
use crate::time::Timestamp;
use crate::verifier::{Superseded, VerifiedClaims};

/// Returns what an exchange did, the claims that are valid now, and the token if it is new.
pub(super) fn outcome(exchanged: Exchanged, kept: &Claims) -> (Did, Claims, Option<String>) {
    match exchanged {
        Exchanged::Kept => (Did::Kept, kept.clone(), None),
        Exchanged::Touched(issued) => (Did::Touched, issued.claims, Some(issued.token)),
        Exchanged::Renewed(issued) => (Did::Renewed, issued.claims, Some(issued.token)),
    }
}

#[derive(Serialize)]
struct TokenBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    /// Seconds until the token expires.
    expires_in: i64,
    /// The time by which the user must change the initial password.
    #[serde(skip_serializing_if = "Option::is_none")]
    password_change_required_by: Option<Timestamp>,
    session: SessionView,
}

/// Answers with a token, in the body or in the cookie, but never in both.
pub(super) struct Respond {
    cookies: SessionCookies,
    now: Timestamp,
    password_change_required_by: Option<Timestamp>,
}

impl<S> FromRequestParts<S> for Respond
where
    SessionCookies: FromRef<S>,
    Arc<Issuer>: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, state: &S) -> Result<Self, Infallible> {
        Ok(Self {
            cookies: SessionCookies::from_ref(state),
            now: Arc::<Issuer>::from_ref(state).now(),
            password_change_required_by: None,
        })
    }
}

impl Respond {
    /// Adds the time by which the user must change the initial password, if there is one.
    pub(super) fn requiring_password_change_by(mut self, by: Option<Timestamp>) -> Self {
        self.password_change_required_by = by;
        self
    }

    /// 401 for a session that has ended and was accepted only within the leeway. Clears its cookie.
    pub(super) fn over(self) -> Response {
        let mut response = Problem::invalid_token().into_response();
        self.cookies.clear(response.headers_mut());
        response
    }

    pub(super) fn with(
        self,
        carrier: Carrier,
        did: Did,
        claims: Claims,
        token: String,
    ) -> Response {
        let Self {
            cookies,
            now,
            password_change_required_by,
        } = self;
        let body = |token: Option<String>| TokenBody {
            token_type: token.as_ref().map(|_| "Bearer"),
            access_token: token,
            expires_in: claims.expires_at.secs() - now.secs(),
            password_change_required_by,
            session: SessionView::new(&claims, now),
        };
        match carrier {
            Carrier::Bearer => Json(body(Some(token))).into_response(),
            Carrier::Cookie => {
                let mut response = Json(body(None)).into_response();
                let after = SessionAfter {
                    did,
                    claims,
                    token: (did != Did::Kept).then_some(token),
                    now,
                };
                cookies.put(response.headers_mut(), &after);
                response
            }
        }
    }
}

#[async_trait]
impl Exchange for Issuer {
    async fn after(&self, session: &VerifiedClaims, active: bool) -> Option<SessionAfter> {
        let now = self.now();
        let exchanged = if active {
            self.exchange(session, false).await
        } else {
            Ok(Exchanged::Kept)
        };
        let exchanged = match exchanged {
            Ok(exchanged) => exchanged,
            Err(RenewError::Over | RenewError::Superseded | RenewError::Reused) => return None,
            Err(cause) => {
                tracing::warn!(cause = %report(&cause), "a session cookie was not renewed");
                return None;
            }
        };
        let (did, claims, token) = outcome(exchanged, session.claims());
        Some(SessionAfter {
            did,
            claims,
            token,
            now,
        })
    }

    async fn reused(&self, superseded: &Superseded) {
        if let Err(cause) = Issuer::reused(self, superseded).await {
            tracing::error!(cause = %report(&cause), "a session that may be stolen could not be ended");
        }
    }
}
