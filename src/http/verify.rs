//! `GET /verify`: 200 for a good token, a refusal for any other. It is what a proxy asks about a request of
//! its own, whose answer it drops: nothing is exchanged, and no cookie is taken away, which would not arrive.

use axum::Router;
use axum::extract::{FromRef, State};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode};
use axum::routing::get;

use super::extract::{Carrier, Session};
use super::origins::Origins;
use super::problem::Problem;
use super::router::AppState;
use super::session_cookies::SessionCookies;

/// What the request is that the proxy asks about. They make the answer stricter, never laxer: a stranger
/// may send them.
const METHODS: [HeaderName; 2] = [
    HeaderName::from_static("x-original-method"),
    HeaderName::from_static("x-forwarded-method"),
];

pub(super) fn router(cookies: &SessionCookies) -> Router<AppState> {
    let reading = SessionCookies::new(cookies.origins().clone());
    Router::new().route("/verify", get(verify)).layer(reading)
}

async fn verify(
    State(AllowedOrigins(origins)): State<AllowedOrigins>,
    headers: HeaderMap,
    session: Session,
) -> Result<StatusCode, Problem> {
    let permitted = |name: &HeaderName| {
        let methods = headers.get_all(name).iter();
        methods
            .map(|method| Method::from_bytes(method.as_bytes()).unwrap_or(Method::CONNECT))
            .all(|method| origins.permit_cookie(&method, &headers))
    };
    if session.carrier() == Carrier::Cookie && !METHODS.iter().all(permitted) {
        return Err(Problem::cross_site());
    }
    Ok(StatusCode::OK)
}

struct AllowedOrigins(Origins);

impl FromRef<AppState> for AllowedOrigins {
    fn from_ref(state: &AppState) -> Self {
        Self(state.cookies.origins().clone())
    }
}
