//! The extractor that requires scopes.

use std::fmt;
use std::marker::PhantomData;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::principal::{Principal, Service, Session};
use super::problem::Problem;

/// The scopes that a handler requires, as a type for its signature.
pub trait RequiredScopes {
    /// The token must have all of these scopes.
    const SCOPES: &'static [&'static str];
}

/// A principal whose token has all scopes of `R`: `Scoped<ReadOrders>` for any principal, `Scoped<ReadOrders, Service>`
/// for a service only. If a scope is missing, the answer is 403 and names the required scopes.
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

/// A principal that can have scopes.
pub trait HasScopes {
    /// Whether the token has this scope.
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
