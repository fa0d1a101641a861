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
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
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
use tracing_opentelemetry::OpenTelemetrySpanExt;

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

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

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
        let parent = request.headers().get(TRACEPARENT).and_then(parent);
        let trace = parent.as_ref().map(|parent| tracing::field::display(parent.trace_id()));
        let span = tracing::info_span!("request", method = %request.method(), path = request.uri().path(), id, trace);
        if let Some(parent) = parent {
            // Without an exporter nobody takes it.
            let _ = span.set_parent(Context::new().with_remote_span_context(parent));
        }
        span
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

/// The span that a request belongs to, if it says so as W3C's Trace Context, section 3.2, has it. A header that
/// does not is ignored, as that asks for.
fn parent(header: &HeaderValue) -> Option<SpanContext> {
    let text = header.to_str().ok()?;
    let (fields, rest) = text.split_at_checked(55)?;
    let mut fields = fields.split('-');
    let mut field = |length: usize| {
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        fields
            .next()
            .filter(|field| field.len() == length && field.bytes().all(digit))
    };
    let (version, trace, parent, flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
    // A later version may say more, behind another dash.
    let ends = rest.is_empty() || (version != "00" && rest.starts_with('-'));
    let parent = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(parent).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?),
        true,
        TraceState::NONE,
    );
    (ends && version != "ff" && parent.is_valid()).then_some(parent)
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

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn a_trace_is_taken_from_a_traceparent_and_from_nothing_else() {
        let taken = |text: &str| {
            let parent = parent(&HeaderValue::from_str(text).unwrap());
            parent.map(|parent| parent.trace_id().to_string())
        };
        let good = format!("00-{TRACE}-00f067aa0ba902b7-01");
        for text in [
            &good,
            &format!("cc-{}", &good[3..]),
            &format!("cc-{}-more", &good[3..]),
        ] {
            assert_eq!(taken(text).as_deref(), Some(TRACE), "{text}");
        }
        for text in [
            "",
            &good[..54],
            &format!("{good}-more"),
            &format!("ff-{}", &good[3..]),
            &format!("cc-{}more", &good[3..]),
            &good.to_uppercase(),
            &good.replace(TRACE, &"0".repeat(32)),
            &good.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &good.replace("4bf9", "4bg9"),
            &good.replace("-01", "--1"),
            &good.replace('-', "_"),
        ] {
            assert_eq!(taken(text), None, "{text}");
        }
        assert!(parent(&HeaderValue::from_bytes(&[0xff; 55]).unwrap()).is_none());
    }
}
