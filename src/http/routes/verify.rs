//! `/verify`: 200 for a valid token, a refusal for any other. A proxy calls it for each request that it receives. Most
//! proxies drop all of the answer but its status and some headers. So no token is exchanged and no cookie is cleared,
//! unless the proxy says that it passes the cookie on.
//!
//! Some proxies call it with the method of the original request, so it accepts any method and checks that one.

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
use crate::verifier::HeaderValues;

/// The headers for the method of the original request. They can make the answer only stricter, because any client can
/// send them.
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

/// A principal that is permitted to send the original request.
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

/// The principal's identity, for the service behind the proxy. Each header is always present, even if empty. Otherwise
/// a proxy could pass on a forged one: proxies differ in what they do with missing headers.
fn identity(principal: &Principal) -> HeaderMap {
    let (kind, values) = match principal {
        Principal::Session(session) => ("session", session.verified().identity_headers(of_session)),
        Principal::Service(service) => ("service", service.verified().identity_headers(of_service)),
    };
    let [subject, session, client, scope] = values.clone();
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

fn of_session(claims: &Claims) -> HeaderValues {
    values([
        claims.subject.written(&mut [0; MOST_BYTES]),
        claims.session_id.written(&mut [0; MOST_BYTES]),
        &claims.client_id,
        &claims.scope,
    ])
}

fn of_service(claims: &ClientClaims) -> HeaderValues {
    let mut place = [0; MOST_BYTES];
    let client = claims.client.written(&mut place);
    values([client, "", client, &claims.scopes.to_string()])
}

const NOTHING: HeaderValue = HeaderValue::from_static("");

/// The capacity of the header map. It leaves room for the headers that layers add.
const ROOM: usize = 16;

/// Perf: stores all values in one allocation, because sharing one costs less than sharing four.
fn values(texts: [&str; 4]) -> HeaderValues {
    let mut rest = Bytes::from(texts.concat());
    texts.map(|text| HeaderValue::from_maybe_shared(rest.split_to(text.len())).unwrap_or(NOTHING))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_no_header_can_hold_is_left_out() {
        let said = values(["ann", "a\nb", "", "orders:read"]);
        let expected = ["ann", "", "", "orders:read"];
        assert_eq!(said, expected.map(HeaderValue::from_static));
    }
}
