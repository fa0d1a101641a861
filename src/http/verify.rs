//! `/verify`: 200 for a good token, a refusal for any other. It is what a proxy asks about a request of its own.
//! Most drop the answer but for its status and some headers, so nothing is exchanged, and no cookie is taken
//! away, unless the proxy says that it passes the cookie on.
//!
//! Some proxies ask with the method of their request, so it takes any, and judges by it.

use axum::Router;
use axum::extract::{FromRef, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use axum::routing::any;

use super::extract::Carrier;
use super::origins::Origins;
use super::problem::Problem;
use super::router::AppState;
use super::service::Principal;
use super::session_cookies::SessionCookies;

/// What the request is that the proxy asks about. They make the answer stricter, never laxer: a stranger
/// may send them.
const METHODS: [HeaderName; 2] = [
    HeaderName::from_static("x-original-method"),
    HeaderName::from_static("x-forwarded-method"),
];

const PATH: &str = "/verify";

const KIND: HeaderName = HeaderName::from_static("x-waxseal-kind");
const SUBJECT: HeaderName = HeaderName::from_static("x-waxseal-subject");
const SESSION: HeaderName = HeaderName::from_static("x-waxseal-session");
const CLIENT: HeaderName = HeaderName::from_static("x-waxseal-client");
const SCOPE: HeaderName = HeaderName::from_static("x-waxseal-scope");

pub(super) fn router(cookies: &SessionCookies) -> Router<AppState> {
    Router::new()
        .route(PATH, any(verify))
        .layer(cookies.if_passed_on())
}

/// CORS answers every `OPTIONS` with 200, and a proxy that asks with it would let a stranger through.
pub(super) fn never_a_preflight<B>(mut request: Request<B>) -> Request<B> {
    if request.uri().path() == PATH && request.method() == Method::OPTIONS {
        *request.method_mut() = Method::GET;
    }
    request
}

async fn verify(
    State(AllowedOrigins(origins)): State<AllowedOrigins>,
    headers: HeaderMap,
    principal: Principal,
) -> Result<HeaderMap, Problem> {
    let permitted = |name: &HeaderName| {
        let methods = headers.get_all(name).iter();
        methods
            .map(|method| Method::from_bytes(method.as_bytes()).unwrap_or(Method::CONNECT))
            .all(|method| origins.permit_cookie(&method, &headers))
    };
    let by_cookie =
        matches!(&principal, Principal::Session(session) if session.carrier() == Carrier::Cookie);
    if by_cookie && !METHODS.iter().all(permitted) {
        return Err(Problem::cross_site());
    }
    Ok(identity(&principal))
}

/// Who it is, for the service behind the proxy. Each header is always there, be it empty, so that one which
/// a stranger sent is replaced whatever the proxy does with those that are missing.
fn identity(principal: &Principal) -> HeaderMap {
    let fields = match principal {
        Principal::Session(session) => {
            let claims = session.claims();
            [
                (KIND, "session".to_owned()),
                (SUBJECT, claims.subject.to_string()),
                (SESSION, claims.session_id.to_string()),
                (CLIENT, claims.client_id.clone()),
                (SCOPE, claims.scope.clone()),
            ]
        }
        Principal::Service(service) => [
            (KIND, "service".to_owned()),
            (SUBJECT, service.client().to_string()),
            (SESSION, String::new()),
            (CLIENT, service.client().to_string()),
            (SCOPE, service.scopes().to_string()),
        ],
    };
    let value = |text: String| HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
    fields
        .into_iter()
        .map(|(name, text)| (name, value(text)))
        .collect()
}

struct AllowedOrigins(Origins);

impl FromRef<AppState> for AllowedOrigins {
    fn from_ref(state: &AppState) -> Self {
        Self(state.cookies.origins().clone())
    }
}
