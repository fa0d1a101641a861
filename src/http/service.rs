//! The extractors for services, for either kind of token, and for scopes.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;

use super::extract::{Session, presented};
use super::live::Live;
use super::problem::Problem;
use crate::claims::ClientClaims;
use crate::id::ClientId;
use crate::scope::Scopes;
use crate::verifier::{Verified, VerifiedClient, Verifier};

/// A service with a token of its own. As a handler's argument it makes the handler protected: neither a
/// stranger nor a user's session reaches it. The token comes as a bearer token, never in a cookie.
#[derive(Clone, Debug)]
pub struct Service {
    claims: VerifiedClient,
    verifier: Arc<Verifier>,
}

impl Service {
    pub(super) const fn new(claims: VerifiedClient, verifier: Arc<Verifier>) -> Self {
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
    pub(super) const fn verified(&self) -> &VerifiedClient {
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

/// The scopes that a handler needs, as a type that can stand in its signature.
pub trait RequiredScopes {
    /// All of them are needed.
    const SCOPES: &'static [&'static str];
}

/// Who, with the scopes `R`: `Scoped<ReadOrders>` for whoever has them, `Scoped<ReadOrders, Service>` for a
/// service. Without one of them the answer is 403, and names what is needed.
///
/// ```
/// # use waxseal::{RequiredScopes, Scoped, Service};
/// struct ReadOrders;
///
/// impl RequiredScopes for ReadOrders {
///     const SCOPES: &'static [&'static str] = &["orders:read"];
/// }
///
/// async fn orders(Scoped(service, ..): Scoped<ReadOrders, Service>) -> String {
///     format!("the orders, for {}", service.client())
/// }
/// ```
pub struct Scoped<R, P = Principal>(pub P, pub PhantomData<R>);

impl<R, P: fmt::Debug> fmt::Debug for Scoped<R, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scoped").field(&self.0).finish()
    }
}

/// Who can have scopes.
pub trait HasScopes {
    /// Whether the token has that one.
    fn has_scope(&self, scope: &str) -> bool;
}

impl HasScopes for Principal {
    fn has_scope(&self, scope: &str) -> bool {
        match self {
            Self::Session(session) => session.has_scope(scope),
            Self::Service(service) => service.has_scope(scope),
        }
    }
}

impl HasScopes for Service {
    fn has_scope(&self, scope: &str) -> bool {
        self.scopes().has(scope)
    }
}

impl HasScopes for Session {
    fn has_scope(&self, scope: &str) -> bool {
        self.claims().scope.split(' ').any(|has| has == scope)
    }
}

impl<S, R, P> FromRequestParts<S> for Scoped<R, P>
where
    R: RequiredScopes,
    P: FromRequestParts<S, Rejection = Problem> + HasScopes + Send,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let who = P::from_request_parts(parts, state).await?;
        if R::SCOPES.iter().all(|scope| who.has_scope(scope)) {
            Ok(Self(who, PhantomData))
        } else {
            Err(Problem::insufficient_scope(R::SCOPES))
        }
    }
}
