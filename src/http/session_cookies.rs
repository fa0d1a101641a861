//! The layer for session cookies. It lets the extractors below it read the session cookie, and adds a touched or
//! renewed cookie to the response.

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use async_trait::async_trait;
use axum::extract::Request;
#[cfg(feature = "server")]
use axum::http::Uri;
use axum::http::header::{CACHE_CONTROL, COOKIE, SET_COOKIE, VARY};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::future::Either;
use tower_layer::Layer;
use tower_service::Service;

use super::cookie::{self, SameSite};
#[cfg(feature = "server")]
use super::host;
use super::origins::{Origins, RequestSource};
use super::problem::Problem;
use crate::claims::Claims;
use crate::time::Timestamp;
use crate::verifier::{Refusal, Superseded, VerifiedClaims};

/// `Waxseal-Activity: none`: the request is not user activity, and neither touches nor renews the session.
pub(super) const ACTIVITY: HeaderName = HeaderName::from_static("waxseal-activity");

const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// `Waxseal-Cookie: passed-on`: a proxy sends the request, and passes the cookie of the answer on to the browser.
pub(super) const PASSES_ON: HeaderName = HeaderName::from_static("waxseal-cookie");

/// What a request did to its session, and the session's deadlines after it, as a dictionary (RFC 9651).
pub(super) const SESSION: HeaderName = HeaderName::from_static("waxseal-session");

/// What a request did to its session.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Did {
    /// The session is unchanged.
    Kept,
    /// The idle deadline moved.
    Touched,
    /// The session has a new session ID.
    Renewed,
}

/// The state of a session after a request.
#[doc(hidden)]
#[derive(Clone)]
pub struct SessionAfter {
    /// What the request did.
    pub did: Did,
    /// The claims of the token that is now in use.
    pub claims: Claims,
    /// The new token, if there is one.
    pub token: Option<String>,
    /// The time of the server.
    pub now: Timestamp,
}

/// Exchanges the token of the session cookie.
#[doc(hidden)]
#[async_trait]
pub trait Exchange: Send + Sync + fmt::Debug {
    /// Touches or renews the session of a valid token if the user was active. None if the session is over or the store
    /// failed: the cookie then stays unchanged.
    async fn after(&self, session: &VerifiedClaims, active: bool) -> Option<SessionAfter>;

    /// Handles a superseded token that was presented for exchange.
    async fn reused(&self, superseded: &Superseded);
}

#[derive(Debug)]
struct CookieRules {
    origins: Origins,
    same_site: SameSite,
    exchange: Option<Arc<dyn Exchange>>,
    /// Whether to exchange only if the answer is sure to reach the browser. A lost answer would look like theft.
    if_passed_on: bool,
    /// Whether the cookie counts only at the hosts of the issuer and of the listed origins. That refuses an attacker's
    /// name that resolves to this service (DNS rebinding).
    #[cfg(feature = "server")]
    at_own_hosts: bool,
}

/// Enables session cookies for the handlers below it. Around a router, it lets the cookie `__Host-Http-waxseal` carry a
/// [`Session`], refuses requests of other sites that change something, touches and renews the cookie of an active user,
/// and clears a dead one.
///
/// Without this layer, cookies are not read.
///
/// [`Session`]: crate::Session
#[derive(Clone, Debug)]
pub struct SessionCookies(Arc<CookieRules>);

impl SessionCookies {
    /// For a service that only verifies. Cookies are read; only their issuer exchanges them.
    #[must_use]
    pub fn new(origins: Origins) -> Self {
        Self(Arc::new(CookieRules {
            origins,
            same_site: SameSite::default(),
            exchange: None,
            if_passed_on: false,
            #[cfg(feature = "server")]
            at_own_hosts: false,
        }))
    }

    /// For the issuer itself. The cookie counts only at the hosts of the issuer and of the listed origins: at another
    /// host, a request with the cookie gets 421.
    #[doc(hidden)]
    #[must_use]
    pub fn exchanging(origins: Origins, same_site: SameSite, exchange: Arc<dyn Exchange>) -> Self {
        Self(Arc::new(CookieRules {
            origins,
            same_site,
            exchange: Some(exchange),
            if_passed_on: false,
            #[cfg(feature = "server")]
            at_own_hosts: true,
        }))
    }

    /// The same layer for answers that a proxy can drop: it exchanges and clears nothing, unless the request says that
    /// the proxy passes the cookie on.
    #[cfg(feature = "server")]
    pub(super) fn if_passed_on(&self) -> Self {
        Self(Arc::new(CookieRules {
            origins: self.0.origins.clone(),
            same_site: self.0.same_site,
            exchange: self.0.exchange.clone(),
            if_passed_on: true,
            // A proxy can use a host name of its own.
            at_own_hosts: false,
        }))
    }

    fn exchanges(&self, headers: &HeaderMap) -> bool {
        let passes_on = headers.get(PASSES_ON);
        !self.0.if_passed_on || passes_on.is_some_and(|value| value == "passed-on")
    }

    /// Whether the session cookie may be used at the host that a request names. A request that names no host passes: it
    /// is not from a browser.
    ///
    /// # Errors
    /// 421 at another host; 400 for two `Host` headers or for a malformed one.
    #[cfg(feature = "server")]
    pub(super) fn check_host(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        match host::named(uri, headers)? {
            Some(host) if self.0.at_own_hosts && !self.0.origins.has_host(host) => {
                tracing::debug!("the session cookie is not used at the host of this request");
                Err(Problem::misdirected())
            }
            _ => Ok(()),
        }
    }

    #[cfg(feature = "server")]
    fn refuses(&self, request: &Request) -> Option<Problem> {
        // Two session cookies count as one here. The reader of the cookie refuses them later.
        let has_cookie = || !matches!(cookie::read(request.headers()), Ok(None));
        if !self.0.at_own_hosts || !has_cookie() {
            return None;
        }
        self.check_host(request.uri(), request.headers()).err()
    }

    #[cfg(not(feature = "server"))]
    const fn refuses(&self, _: &Request) -> Option<Problem> {
        None
    }

    #[cfg(feature = "server")]
    pub(super) fn origins(&self) -> &Origins {
        &self.0.origins
    }

    /// Adds a session to a response: the cookie, if there is a new token, and the header that describes the session.
    pub(super) fn put(&self, headers: &mut HeaderMap, after: &SessionAfter) {
        if let Some(token) = &after.token {
            self.set_cookie(headers, cookie::set(token, self.0.same_site));
        }
        if let Ok(value) = HeaderValue::try_from(describe(after)) {
            headers.insert(SESSION, value);
        }
        // The header describes this session at this time: no cache may reuse it.
        headers.append(VARY, HeaderValue::from_static("cookie"));
        headers
            .entry(CACHE_CONTROL)
            .or_insert(HeaderValue::from_static("no-store"));
    }

    pub(super) fn clear(&self, headers: &mut HeaderMap) {
        self.set_cookie(headers, cookie::clear(self.0.same_site));
    }

    fn set_cookie(&self, headers: &mut HeaderMap, value: Option<HeaderValue>) {
        if let Some(mut value) = value {
            value.set_sensitive(true);
            headers.append(SET_COOKIE, value);
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
    }

    async fn finish(&self, seen: &Seen, active: bool, response: &mut Response) {
        let Some(outcome) = seen.outcome.get() else {
            return;
        };
        let decided = response
            .headers()
            .get_all(SET_COOKIE)
            .iter()
            .any(cookie::is_ours);
        match (outcome, &self.0.exchange) {
            (Outcome::Good(session), Some(exchange)) if !decided => {
                // A failed request does not change the cookie.
                let status = response.status();
                let failed = status.is_server_error()
                    || [StatusCode::BAD_REQUEST, StatusCode::TOO_MANY_REQUESTS].contains(&status);
                if status != StatusCode::UNAUTHORIZED
                    && !response.headers().contains_key(SESSION)
                    && let Some(after) = exchange.after(session, active && !failed).await
                {
                    self.put(response.headers_mut(), &after);
                }
            }
            (Outcome::Superseded(superseded), Some(exchange)) if active => {
                exchange.reused(superseded).await;
            }
            // The answer to a poll can arrive after a login in another tab, and must not clear the new cookie.
            (Outcome::Refused, Some(_))
                if active && response.status() == StatusCode::UNAUTHORIZED && !decided =>
            {
                self.clear(response.headers_mut());
            }
            _ => {}
        }
    }
}

/// Whether a request is user activity. A request that a page of another site embeds is not; a navigation is, because
/// the user causes it.
fn is_activity(headers: &HeaderMap, origins: &Origins) -> bool {
    let navigates = headers
        .get(SEC_FETCH_MODE)
        .is_none_or(|mode| mode == "navigate");
    let poll = headers.get(ACTIVITY).is_some_and(|value| value == "none");
    !poll && (navigates || origins.sender(headers) != RequestSource::CrossSite)
}

fn describe(after: &SessionAfter) -> String {
    let did = match after.did {
        Did::Kept => "kept",
        Did::Touched => "touched",
        Did::Renewed => "renewed",
    };
    let claims = &after.claims;
    format!(
        "did={did}, id=\"{}\", now={}, idle={}, renew={}, end={}",
        claims.session_id,
        after.now.secs(),
        claims.expires_at.secs(),
        claims.renew_at.secs(),
        claims.session_expiry.secs()
    )
}

/// The verdict on the session cookie of a request.
#[derive(Clone, Debug)]
enum Outcome {
    Good(Box<VerifiedClaims>),
    Superseded(Superseded),
    /// A dead or malformed token.
    Refused,
}

/// Shared by the layer and the extractors below it: says that cookies count, and holds the verdict.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) origins: Origins,
    outcome: Arc<OnceLock<Outcome>>,
}

impl Seen {
    /// Reports the extractor's verdict to the layer.
    pub(super) fn note(&self, verdict: &Result<VerifiedClaims, Refusal>) {
        let outcome = match verdict {
            Ok(claims) => Outcome::Good(Box::new(claims.clone())),
            Err(Refusal::Superseded(superseded)) => Outcome::Superseded(*superseded),
            // Undecided; a later request will tell.
            Err(Refusal::Stale) => return,
            Err(_) => Outcome::Refused,
        };
        self.outcome.get_or_init(|| outcome);
    }
}

impl<S> Layer<S> for SessionCookies {
    type Service = CookieService<S>;

    fn layer(&self, inner: S) -> CookieService<S> {
        CookieService {
            inner,
            cookies: self.clone(),
        }
    }
}

type Exchanging = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

/// The service that [`SessionCookies`] returns.
#[derive(Clone, Debug)]
pub struct CookieService<S> {
    inner: S,
    cookies: SessionCookies,
}

impl<S> Service<Request> for CookieService<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<S::Future, Exchanging>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        // Fast path: most requests of services have no cookie.
        if !request.headers().contains_key(COOKIE) {
            return Either::Left(self.inner.call(request));
        }
        if let Some(problem) = self.cookies.refuses(&request) {
            return Either::Right(Box::pin(ready(Ok(problem.into_response()))));
        }
        let seen = Seen {
            origins: self.cookies.0.origins.clone(),
            outcome: Arc::default(),
        };
        request.extensions_mut().insert(seen.clone());
        let active = is_activity(request.headers(), &seen.origins);
        let exchanges = self.cookies.exchanges(request.headers());
        let (cookies, answer) = (self.cookies.clone(), self.inner.call(request));
        Either::Right(Box::pin(async move {
            let mut response = answer.await?;
            if exchanges {
                cookies.finish(&seen, active, &mut response).await;
            }
            Ok(response)
        }))
    }
}
