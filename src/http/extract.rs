//! The extractors that make a handler protected.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts, OptionalFromRequestParts};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use super::problem::Problem;
use crate::claims::Claims;
use crate::id::{SessionId, UserId};
use crate::verifier::{Refusal, VerifiedClaims, Verifier};

/// A verified session. As a handler's argument it makes the handler protected: nobody without a good
/// token reaches it.
///
/// The app's state must give the verifier: `Arc<Verifier>: FromRef<S>`, for example by being it.
/// `Option<Session>` is `None` only when no `Authorization` header was sent: a bad token is refused
/// there too.
#[derive(Clone, Debug)]
pub struct Session(VerifiedClaims);

impl Session {
    /// Whose session it is, the `sub` claim.
    #[must_use]
    pub const fn subject(&self) -> UserId {
        self.0.subject()
    }

    /// The session ID, the `sid` claim.
    #[must_use]
    pub const fn id(&self) -> SessionId {
        self.0.session_id()
    }

    /// All the claims.
    #[must_use]
    pub const fn claims(&self) -> &Claims {
        self.0.claims()
    }

    /// The proof that they were verified.
    #[must_use]
    pub const fn verified(&self) -> &VerifiedClaims {
        &self.0
    }
}

impl<S> FromRequestParts<S> for Session
where
    Arc<Verifier>: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        session(parts, state)?.ok_or(Problem::no_credentials())
    }
}

impl<S> OptionalFromRequestParts<S> for Session
where
    Arc<Verifier>: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Problem> {
        session(parts, state)
    }
}

fn session<S>(parts: &Parts, state: &S) -> Result<Option<Session>, Problem>
where
    Arc<Verifier>: FromRef<S>,
{
    let Some(token) = bearer(&parts.headers)? else {
        return Ok(None);
    };
    let verifier = Arc::<Verifier>::from_ref(state);
    match verifier.verify(token) {
        Ok(claims) => Ok(Some(Session(claims))),
        Err(Refusal::Stale) => {
            tracing::warn!("a token was refused: {}", Refusal::Stale);
            Err(Problem::unavailable(
                "Whether the token was revoked cannot be told now. Try again.",
            ))
        }
        Err(refusal) => {
            tracing::debug!(cause = %refusal, "a token was refused");
            Err(Problem::invalid_token())
        }
    }
}

/// The one bearer token (RFC 6750, section 2.1). Every `Authorization` header counts: a second one,
/// another scheme, or anything but one word after `Bearer ` is refused rather than guessed about.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Problem::malformed_credentials());
    }
    let (scheme, token) = value
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .ok_or(Problem::malformed_credentials())?;
    let one_word = !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic() && b != b',');
    if scheme.eq_ignore_ascii_case("bearer") && one_word {
        Ok(Some(token))
    } else {
        Err(Problem::malformed_credentials())
    }
}
