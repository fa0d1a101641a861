//! What stands around every resource.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE,
    REFERRER_POLICY, RETRY_AFTER, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowCredentials, AllowOrigin, CorsLayer};
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::request_id::{
    MakeRequestId, PropagateRequestIdLayer, RequestId, SetRequestIdLayer,
};
use tower_http::sensitive_headers::{
    SetSensitiveRequestHeadersLayer, SetSensitiveResponseHeadersLayer,
};
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;

use super::oauth::{self, OauthError};
use super::origins::Origins;
use super::problem::{Problem, RATE_LIMIT, RATE_LIMIT_POLICY};
use super::session_cookies::{ACTIVITY, SESSION};
use super::timing::{Durations, timed};
use super::verify;
use crate::random::Random;
use crate::token::base64url;

/// The largest body that any resource takes, in bytes.
const MAX_BODY_BYTES: usize = 16 * 1024;

/// How long a request may take, its body included.
const TIMEOUT: Duration = Duration::from_secs(15);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

#[derive(Clone)]
struct NewRequestId(Arc<dyn Random>);

impl MakeRequestId for NewRequestId {
    fn make_request_id<B>(&mut self, _: &Request<B>) -> Option<RequestId> {
        let mut bytes = [0; 12];
        self.0.fill(&mut bytes);
        HeaderValue::from_str(&base64url::encode(&bytes))
            .ok()
            .map(RequestId::new)
    }
}

/// How long a browser may remember what the preflight said, in seconds.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(600);

/// Which other origins may call, and read the answers: those that are listed, with credentials, and no
/// other. Always with `Vary`, so that no cache gives one origin's answer to another.
fn cors(origins: &Origins) -> CorsLayer {
    let (may_call, may_have_credentials) = (origins.clone(), origins.clone());
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |origin, _| {
            may_call.lists(origin)
        }))
        .allow_credentials(AllowCredentials::predicate(move |origin, _| {
            may_have_credentials.lists(origin)
        }))
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::DELETE])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE, ACTIVITY, REQUEST_ID])
        .expose_headers([
            SESSION,
            RETRY_AFTER,
            RATE_LIMIT,
            RATE_LIMIT_POLICY,
            REQUEST_ID,
        ])
        .max_age(PREFLIGHT_MAX_AGE)
}

pub(super) fn around<S: Clone + Send + Sync + 'static>(
    resources: Router<S>,
    origins: &Origins,
    random: &Arc<dyn Random>,
) -> Router<S> {
    // The path alone: a query may carry what does not belong in a log.
    let trace = TraceLayer::new_for_http().make_span_with(|request: &Request<Body>| {
        let id = request
            .headers()
            .get(REQUEST_ID)
            .and_then(|id| id.to_str().ok())
            .unwrap_or_default();
        tracing::info_span!("request", method = %request.method(), path = request.uri().path(), id)
    });
    let header =
        |name, value| SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value));
    let layers = ServiceBuilder::new()
        .layer(from_fn_with_state(Arc::<Durations>::default(), timed))
        .map_request(without_odd_request_id)
        .layer(SetSensitiveRequestHeadersLayer::new([
            AUTHORIZATION,
            COOKIE,
        ]))
        .layer(SetRequestIdLayer::new(
            REQUEST_ID,
            NewRequestId(Arc::clone(random)),
        ))
        .layer(trace)
        .layer(PropagateRequestIdLayer::new(REQUEST_ID))
        .layer(SetSensitiveResponseHeadersLayer::new([SET_COOKIE]))
        .layer(header(CACHE_CONTROL, "no-store"))
        .layer(header(X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(header(REFERRER_POLICY, "no-referrer"))
        .layer(header(
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ))
        .map_request(verify::never_a_preflight)
        .layer(cors(origins))
        .layer(from_fn(in_shape))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::SERVICE_UNAVAILABLE,
            TIMEOUT,
        ))
        .layer(RequestBodyLimitLayer::new(MAX_BODY_BYTES));
    resources.layer(layers)
}

/// A request ID from outside goes into every line of the log: it is short and plain, or not taken.
fn without_odd_request_id(mut request: Request<Body>) -> Request<Body> {
    let plain = |id: &[u8]| {
        (1..=64).contains(&id.len())
            && id
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(b))
    };
    if request
        .headers()
        .get(REQUEST_ID)
        .is_some_and(|id| !plain(id.as_bytes()))
    {
        request.headers_mut().remove(REQUEST_ID);
    }
    request
}

fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    tracing::error!("a handler panicked");
    Problem::internal().into_response()
}

/// Refusals of the router and of other layers are plain text or empty: they become problems too, or OAuth's
/// errors where those are spoken.
async fn in_shape(request: Request<Body>, next: Next) -> Response {
    let oauth = request.uri().path().starts_with(oauth::PATHS);
    let response = next.run(request).await;
    let status = response.status();
    let refusal = status.is_client_error() || status.is_server_error();
    let content_type = response.headers().get(CONTENT_TYPE);
    let shape = if oauth {
        "application/json"
    } else {
        "application/problem+json"
    };
    if !refusal || content_type.is_some_and(|content_type| content_type == shape) {
        return response;
    }
    let mut shaped = if oauth {
        OauthError::of_status(status).into_response()
    } else {
        Problem::of_status(status).into_response()
    };
    if let Some(allow) = response.headers().get(ALLOW) {
        shaped.headers_mut().insert(ALLOW, allow.clone());
    }
    shaped
}
