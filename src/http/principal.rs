//! Extractors that protect a handler: a user's session, a service, or either.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;

use super::live::Live;
use super::presented::{Carrier, Credential};
use super::problem::Problem;
use crate::claims::{Claims, ClientClaims};
use crate::id::{ClientId, SessionId, UserId};
use crate::scope::Scopes;
use crate::verifier::{Refusal, Verified, VerifiedClaims, VerifiedClient, Verifier};

/// A verified session. As an argument of a handler it protects the handler: a request without a valid token does not
/// reach it.
///
/// The app's state must provide the verifier: `Arc<Verifier>: FromRef<S>`, for example by being it. Below the layer
/// [`SessionCookies`], the session cookie can carry the token; requests that change something must then come from a
/// page of the service's own origin or of a listed one.
///
/// `Option<Session>` is `None` only if the request has neither a bearer token nor that cookie. Credentials of another
/// scheme in `Authorization`, such as `Basic`, are ignored. An invalid token is refused even with `Option<Session>`.
///
/// [`SessionCookies`]: super::session_cookies::SessionCookies
#[derive(Clone, Debug)]
pub struct Session {
    claims: VerifiedClaims,
    carrier: Carrier,
    #[cfg(feature = "server")]
    has_cookie: bool,
    verifier: Arc<Verifier>,
}

impl Session {
    /// The subject of the session, the `sub` claim.
    #[must_use]
    pub fn subject(&self) -> UserId {
        self.claims.subject()
    }

    /// The session ID, the `sid` claim.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.claims.session_id()
    }

    /// The claims of the session's token.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        self.claims.claims()
    }

    /// The proof that the claims were verified.
    #[must_use]
    pub const fn verified(&self) -> &VerifiedClaims {
        &self.claims
    }

    /// The session for as long as its token is valid. For long-lived responses.
    #[must_use]
    pub fn live(&self) -> Live {
        let verified = Verified::Session(self.claims.clone());
        Live::new(Arc::clone(&self.verifier), verified)
    }

    /// How the request carried the token.
    #[must_use]
    pub const fn carrier(&self) -> Carrier {
        self.carrier
    }

    /// Whether the session cookie carried the token, alone or next to a bearer token.
    #[cfg(feature = "server")]
    pub(in crate::http) const fn has_cookie(&self) -> bool {
        self.has_cookie
    }
}

impl<S> FromRequestParts<S> for Session
where
    Arc<Verifier>: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        session(parts, state)?.ok_or_else(Problem::no_credentials)
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
    match presented(parts, state)? {
        None => Ok(None),
        Some(Principal::Session(session)) => Ok(Some(session)),
        Some(Principal::Service(_)) => Err(Refusal::NoSession.into()),
    }
}

/// Returns whose token the request carries, if it carries one. In a cookie, only a session's token counts.
fn presented<S>(parts: &Parts, state: &S) -> Result<Option<Principal>, Problem>
where
    Arc<Verifier>: FromRef<S>,
{
    let Some(presented) = Credential::of(parts)? else {
        return Ok(None);
    };
    let verifier = Arc::<Verifier>::from_ref(state);
    let verdict = match presented.carrier {
        Carrier::Cookie => presented.verify(parts, &verifier).map(Verified::Session),
        Carrier::Bearer => verifier.verify_any(presented.token),
    };
    let verified = verdict.map_err(|refusal| presented.refused(refusal))?;
    Ok(Some(match verified {
        Verified::Session(claims) => Principal::Session(Session {
            claims,
            carrier: presented.carrier,
            #[cfg(feature = "server")]
            has_cookie: presented.has_cookie,
            verifier,
        }),
        Verified::Client(claims) => Principal::Service(Service::new(claims, verifier)),
    }))
}

/// A service with a token of its own. As an argument of a handler it protects the handler: neither an unauthenticated
/// request nor a user's session reaches it. Only a bearer token counts, never a cookie.
#[derive(Clone, Debug)]
pub struct Service {
    claims: VerifiedClient,
    verifier: Arc<Verifier>,
}

impl Service {
    const fn new(claims: VerifiedClient, verifier: Arc<Verifier>) -> Self {
        Self { claims, verifier }
    }

    /// The client that the service is.
    #[must_use]
    pub fn client(&self) -> ClientId {
        self.claims.client()
    }

    /// The scopes of the token.
    #[must_use]
    pub fn scopes(&self) -> &Scopes {
        self.claims.scopes()
    }

    /// The claims of the service's token.
    #[must_use]
    pub fn claims(&self) -> &ClientClaims {
        self.claims.claims()
    }

    /// The proof that the claims were verified.
    #[cfg(feature = "server")]
    pub(in crate::http) const fn verified(&self) -> &VerifiedClient {
        &self.claims
    }

    /// The service for as long as its token is valid. For long-lived responses.
    #[must_use]
    pub fn live(&self) -> Live {
        let verified = Verified::Client(self.claims.clone());
        Live::new(Arc::clone(&self.verifier), verified)
    }
}

/// The holder of a valid token: a user's session or a service.
#[derive(Clone, Debug)]
pub enum Principal {
    /// A user's session.
    Session(Session),
    /// A service.
    Service(Service),
}

impl Principal {
    /// The principal for as long as its token is valid. For long-lived responses.
    #[must_use]
    pub fn live(&self) -> Live {
        match self {
            Self::Session(session) => session.live(),
            Self::Service(service) => service.live(),
        }
    }
}

impl<S> FromRequestParts<S> for Principal
where
    Arc<Verifier>: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        presented(parts, state)?.ok_or_else(Problem::no_credentials)
    }
}

impl<S> FromRequestParts<S> for Service
where
    Arc<Verifier>: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match presented(parts, state)?.ok_or_else(Problem::no_credentials)? {
            Principal::Service(service) => Ok(service),
            Principal::Session(_) => {
                tracing::debug!("a session's token was refused: this needs a service's");
                Err(Problem::invalid_token())
            }
        }
    }
}
