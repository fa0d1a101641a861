//! `/verify`: 200 for a good token, a refusal for any other. It is what a proxy asks about a request of its own.
//! Most drop the answer but for its status and some headers, so nothing is exchanged, and no cookie is taken
//! away, unless the proxy says that it passes the cookie on.
//!
//! Some proxies ask with the method of their request, so it takes any, and judges by it.

use axum::Router;
use axum::body::Bytes;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::routing::any;

use super::paths::VERIFY;
use super::state::AppState;
use crate::claims::{Claims, ClientClaims};
use crate::http::origins;
use crate::http::presented::Carrier;
use crate::http::principal::Principal;
use crate::http::problem::Problem;
use crate::id::MOST_BYTES;
use crate::verifier::Values;

/// What the request is that the proxy asks about. They make the answer stricter, never laxer: a stranger
/// may send them.
const METHODS: [HeaderName; 2] = [
    HeaderName::from_static("x-original-method"),
    HeaderName::from_static("x-forwarded-method"),
];

const KIND: HeaderName = HeaderName::from_static("x-waxseal-kind");
const SUBJECT: HeaderName = HeaderName::from_static("x-waxseal-subject");
const SESSION: HeaderName = HeaderName::from_static("x-waxseal-session");
const CLIENT: HeaderName = HeaderName::from_static("x-waxseal-client");
const SCOPE: HeaderName = HeaderName::from_static("x-waxseal-scope");

pub(super) fn router() -> Router<AppState> {
    Router::new().route(VERIFY, any(verify))
}

async fn verify(PermittedPrincipal(principal): PermittedPrincipal) -> HeaderMap {
    identity(&principal)
}

/// Who may do what the proxy asks about.
struct PermittedPrincipal(Principal);

impl FromRequestParts<AppState> for PermittedPrincipal {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let principal = Principal::from_request_parts(parts, state).await?;
        let by_cookie = matches!(&principal, Principal::Session(session) if session.carrier() == Carrier::Cookie);
        let permitted = |name: &HeaderName| {
            let methods = parts.headers.get_all(name).iter();
            methods
                .map(|method| Method::from_bytes(method.as_bytes()).unwrap_or(Method::CONNECT))
                .all(|method| {
                    state
                        .cookies
                        .origins()
                        .permit_cookie(&method, &parts.headers)
                })
        };
        if by_cookie && !METHODS.iter().all(permitted) {
            return Err(origins::cookie_not_permitted(&parts.headers));
        }
        Ok(Self(principal))
    }
}

/// Who it is, for the service behind the proxy. Each header is always there, be it empty, so that one which
/// a stranger sent is replaced whatever the proxy does with those that are missing.
fn identity(principal: &Principal) -> HeaderMap {
    let (kind, said) = match principal {
        Principal::Session(session) => ("session", session.verified().said(of_session)),
        Principal::Service(service) => ("service", service.verified().said(of_service)),
    };
    let [subject, session, client, scope] = said.clone();
    let mut headers = HeaderMap::with_capacity(ROOM);
    headers.extend([
        (KIND, HeaderValue::from_static(kind)),
        (SUBJECT, subject),
        (SESSION, session),
        (CLIENT, client),
        (SCOPE, scope),
    ]);
    headers
}

fn of_session(claims: &Claims) -> Values {
    values([
        claims.subject.written(&mut [0; MOST_BYTES]),
        claims.session_id.written(&mut [0; MOST_BYTES]),
        &claims.client_id,
        &claims.scope,
    ])
}

fn of_service(claims: &ClientClaims) -> Values {
    let mut place = [0; MOST_BYTES];
    let client = claims.client.written(&mut place);
    values([client, "", client, &claims.scopes.to_string()])
}

const NOTHING: HeaderValue = HeaderValue::from_static("");

/// How many headers an answer has: the table need not grow for those that come after these.
const ROOM: usize = 16;

/// All of them in one piece of memory: to share one costs less than to share four.
fn values(texts: [&str; 4]) -> Values {
    let mut rest = Bytes::from(texts.concat());
    texts.map(|text| HeaderValue::from_maybe_shared(rest.split_to(text.len())).unwrap_or(NOTHING))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_header_can_say_is_left_out_and_moves_no_other() {
        let said = values(["ann", "a\nb", "", "orders:read"]);
        let expected = ["ann", "", "", "orders:read"];
        assert_eq!(said, expected.map(HeaderValue::from_static));
    }
}
