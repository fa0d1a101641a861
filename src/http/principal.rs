//! The extractors that make a handler protected: a user's session, a service, or either.

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

/// A verified session. As a handler's argument it makes the handler protected: nobody without a good
/// token reaches it.
///
/// The app's state must give the verifier: `Arc<Verifier>: FromRef<S>`, for example by being it. Below the
/// layer [`SessionCookies`] the token may come in the session cookie; requests that change something then
/// must come from a page of the service's own origin, or of a listed one.
/// `Option<Session>` is `None` only when neither a bearer token nor that cookie was sent. Credentials of
/// another scheme in `Authorization`, such as `Basic`, are ignored. A bad token is refused there too.
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
    /// Whose session it is, the `sub` claim.
    #[must_use]
    pub fn subject(&self) -> UserId {
        self.claims.subject()
    }

    /// The session ID, the `sid` claim.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.claims.session_id()
    }

    /// All the claims.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        self.claims.claims()
    }

    /// The proof that they were verified.
    #[must_use]
    pub const fn verified(&self) -> &VerifiedClaims {
        &self.claims
    }

    /// The session for as long as its token is good: for responses that last.
    #[must_use]
    pub fn live(&self) -> Live {
        let verified = Verified::Session(self.claims.clone());
        Live::new(Arc::clone(&self.verifier), verified)
    }

    /// How its token came.
    #[must_use]
    pub const fn carrier(&self) -> Carrier {
        self.carrier
    }

    /// Whether the session cookie has it, beside a bearer token or alone.
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
    match presented(parts, state)? {
        None => Ok(None),
        Some(Principal::Session(session)) => Ok(Some(session)),
        Some(Principal::Service(_)) => Err(Refusal::NoSession.into()),
    }
}

/// Whose token came, if one did. In a cookie only a session's counts.
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

/// A service with a token of its own. As a handler's argument it makes the handler protected: neither a
/// stranger nor a user's session reaches it. The token comes as a bearer token, never in a cookie.
#[derive(Clone, Debug)]
pub struct Service {
    claims: VerifiedClient,
    verifier: Arc<Verifier>,
}

impl Service {
    const fn new(claims: VerifiedClient, verifier: Arc<Verifier>) -> Self {
        Self { claims, verifier }
    }

    /// Which client it is.
    #[must_use]
    pub fn client(&self) -> ClientId {
        self.claims.client()
    }

    /// What its token permits.
    #[must_use]
    pub fn scopes(&self) -> &Scopes {
        self.claims.scopes()
    }

    /// All the claims.
    #[must_use]
    pub fn claims(&self) -> &ClientClaims {
        self.claims.claims()
    }

    /// The proof that they were verified.
    #[cfg(feature = "server")]
    pub(in crate::http) const fn verified(&self) -> &VerifiedClient {
        &self.claims
    }

    /// The service for as long as its token is good: for responses that last.
    #[must_use]
    pub fn live(&self) -> Live {
        let verified = Verified::Client(self.claims.clone());
        Live::new(Arc::clone(&self.verifier), verified)
    }
}

/// A user's session or a service: whoever has a good token.
#[derive(Clone, Debug)]
pub enum Principal {
    /// A user's session.
    Session(Session),
    /// A service.
    Service(Service),
}

impl Principal {
    /// The principal for as long as its token is good: for responses that last.
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
        presented(parts, state)?.ok_or(Problem::no_credentials())
    }
}

impl<S> FromRequestParts<S> for Service
where
    Arc<Verifier>: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match presented(parts, state)?.ok_or(Problem::no_credentials())? {
            Principal::Service(service) => Ok(service),
            Principal::Session(_) => {
                tracing::debug!("a session's token was refused: this needs a service's");
                Err(Problem::invalid_token())
            }
        }
    }
}
