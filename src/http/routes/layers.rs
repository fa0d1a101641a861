//! What stands around every resource. It is one layer: one for each thing would clone and box a request's
//! way through it a dozen times. And it is made of combinators: an async block has room for what it waits for
//! twice, and each that is around another doubles that again.

use std::any::Any;
use std::convert::Infallible;
use std::future::{Future, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{MatchedPath, Request};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, ORIGIN, PRAGMA, REFERRER_POLICY, RETRY_AFTER,
    SET_COOKIE, STRICT_TRANSPORT_SECURITY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::future::Either;
use futures_util::{FutureExt, TryFutureExt};
use http_body_util::Limited;
use opentelemetry::trace::{SpanContext, TraceContextExt};
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use tower_http::cors::{self, AllowCredentials, AllowOrigin, CorsLayer};
use tower_layer::Layer;
use tower_service::Service;
use tracing::{Instrument, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::oauth::error::OauthError;
use super::paths;
use super::request_id::{REQUEST_ID, RequestIds};
use super::timing::RouteDurations;
use super::trace_context;
use crate::http::current::CurrentRequest;
use crate::http::origins::Origins;
use crate::http::problem::{Problem, RATE_LIMIT, RATE_LIMIT_POLICY};
use crate::http::session_cookies::{ACTIVITY, SESSION};
use crate::random::Random;
use crate::time::Stopwatch;

/// The largest body that any resource takes, in bytes.
const MAX_BODY_BYTES: usize = 16 * 1024;

/// How long a request may take, its body included.
const TIMEOUT: Duration = Duration::from_secs(15);

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The other headers that instrumentation and libraries add to requests of a page: trace contexts (W3C Trace
/// Context, W3C Baggage, Sentry), and what some clients send with each request.
const ADDED_BY_LIBRARIES: [HeaderName; 6] = [
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("baggage"),
    HeaderName::from_static("sentry-trace"),
    HeaderName::from_static("x-requested-with"),
    CACHE_CONTROL,
    PRAGMA,
];

/// How long a browser may remember what the preflight said, in seconds.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(600);

/// What every answer says that does not say it otherwise.
const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
];

/// Which headers of a request an answer depends on, whoever asks: no cache gives one origin's answer to another.
const CORS_VARY: HeaderValue = HeaderValue::from_static(
    "origin, access-control-request-method, access-control-request-headers",
);

/// Which other origins may call, and read the answers: those that are listed, with credentials, and no
/// other.
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
        .allow_headers(allowed_headers())
        .expose_headers([
            SESSION,
            RETRY_AFTER,
            RATE_LIMIT,
            RATE_LIMIT_POLICY,
            REQUEST_ID,
        ])
        .max_age(PREFLIGHT_MAX_AGE)
}

fn allowed_headers() -> Vec<HeaderName> {
    let ours = [
        AUTHORIZATION,
        CONTENT_TYPE,
        ACTIVITY,
        REQUEST_ID,
        TRACEPARENT,
    ];
    ours.into_iter().chain(ADDED_BY_LIBRARIES).collect()
}

/// Every origin may read what is public, without credentials. The answer is the same for each origin, so a
/// cache may give it to all of them.
fn public_cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(cors::Any)
        .allow_methods([Method::GET, Method::HEAD])
        .allow_headers(cors::Any)
        .expose_headers([REQUEST_ID])
        .max_age(PREFLIGHT_MAX_AGE)
}

struct EdgeRules {
    cors: CorsLayer,
    /// Whether every origin may read the answers.
    public: bool,
    hsts: Option<HeaderValue>,
    durations: RouteDurations,
    ids: RequestIds,
}

/// The layer.
#[derive(Clone)]
pub(super) struct Around(Arc<EdgeRules>);

impl Around {
    pub(super) fn new(
        origins: &Origins,
        hsts: Option<HeaderValue>,
        random: &Arc<dyn Random>,
    ) -> Self {
        Self::with(cors(origins), false, hsts, random)
    }

    /// For public resources: every origin may read them.
    pub(super) fn public(hsts: Option<HeaderValue>, random: &Arc<dyn Random>) -> Self {
        Self::with(public_cors(), true, hsts, random)
    }

    fn with(
        cors: CorsLayer,
        public: bool,
        hsts: Option<HeaderValue>,
        random: &Arc<dyn Random>,
    ) -> Self {
        Self(Arc::new(EdgeRules {
            cors,
            public,
            hsts,
            durations: RouteDurations::default(),
            ids: RequestIds::new(Arc::clone(random)),
        }))
    }
}

impl<S> Layer<S> for Around {
    type Service = AroundService<S>;

    fn layer(&self, inner: S) -> AroundService<S> {
        AroundService {
            inner,
            rules: Arc::clone(&self.0),
        }
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

/// What [`Around`] makes of a service.
#[derive(Clone)]
pub(super) struct AroundService<S> {
    inner: S,
    rules: Arc<EdgeRules>,
}

impl<S> Service<Request> for AroundService<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Answer {
        let stopwatch = Stopwatch::start();
        let rules = Arc::clone(&self.rules);
        let route = request.extensions().get::<MatchedPath>().cloned();
        let method = request.method().clone();
        let id = rules.ids.of(request.headers());
        hide(request.headers_mut(), &[AUTHORIZATION, COOKIE]);
        let parent = request.headers().get(TRACEPARENT);
        let parent = parent.and_then(trace_context::parent);
        let trace = parent.as_ref().map(|parent| parent.trace_id().to_string());
        let span = span(&request, &id, parent, trace.as_deref());
        let current = CurrentRequest::new(method.clone(), request.uri().clone(), id.clone(), trace);
        never_a_preflight(&mut request);
        let public = rules.public;
        // Nobody else is told anything by CORS.
        let asks_cors =
            request.method() == Method::OPTIONS || request.headers().contains_key(ORIGIN);
        let answer = if asks_cors {
            let within = Within(self.inner.clone());
            Either::Left(rules.cors.layer(within).call(request).boxed())
        } else {
            Either::Right(within(&mut self.inner, request).map(move |mut response| {
                if public {
                    // A cache may keep this answer for a page of another origin.
                    let headers = response.headers_mut();
                    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
                } else {
                    response.headers_mut().append(VARY, CORS_VARY);
                }
                Ok(response)
            }))
        };
        let answer = answer.map_ok(move |mut response| {
            complete(response.headers_mut(), id, rules.hsts.as_ref());
            let (status, seconds) = (response.status(), stopwatch.seconds());
            tracing::debug!(status = status.as_u16(), seconds, "answered");
            let route = route.as_ref().map(MatchedPath::as_str);
            rules.durations.record(route, &method, status, seconds);
            response
        });
        Box::pin(current.during(answer).instrument(span))
    }
}

/// For those who take spans. The path alone: a query may carry what does not belong in a log.
fn span(
    request: &Request,
    id: &HeaderValue,
    parent: Option<SpanContext>,
    trace: Option<&str>,
) -> Span {
    let (method, path) = (request.method(), request.uri().path());
    let id = id.to_str().unwrap_or_default();
    let trace = trace.map(tracing::field::display);
    let span = tracing::info_span!("request", %method, path, id, trace);
    if let Some(parent) = parent {
        // Without an exporter nobody takes it.
        let _ = span.set_parent(opentelemetry::Context::new().with_remote_span_context(parent));
    }
    span
}

/// Keeps the values of these out of what is printed.
fn hide(headers: &mut HeaderMap, names: &[HeaderName]) {
    for (name, value) in headers {
        if names.contains(name) {
            value.set_sensitive(true);
        }
    }
}

fn complete(headers: &mut HeaderMap, id: HeaderValue, hsts: Option<&HeaderValue>) {
    headers.reserve(HEADERS.len() + 2 + usize::from(hsts.is_some()));
    hide(headers, &[SET_COOKIE]);
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(value);
    }
    headers.entry(REQUEST_ID).or_insert(id);
    if let Some(hsts) = hsts {
        headers.insert(STRICT_TRANSPORT_SECURITY, hsts.clone());
    }
}

/// The answer to a request that no resource sees, in the shape that the callers of its path know.
pub(super) fn refused(problem: Problem, path: &str) -> Response {
    let mut response = in_shape(problem.into_response(), path.starts_with(paths::OAUTH));
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(value);
    }
    response
}

/// CORS answers every `OPTIONS` with 200, and a proxy that asks with it would let a stranger through.
fn never_a_preflight<B>(request: &mut Request<B>) {
    if request.uri().path() == paths::VERIFY && request.method() == Method::OPTIONS {
        *request.method_mut() = Method::GET;
    }
}

/// What CORS lets through.
#[derive(Clone)]
struct Within<S>(S);

impl<S> Service<Request> for Within<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Answer {
        Box::pin(within(&mut self.0, request).map(Ok))
    }
}

/// The resource's answer, if it gives one, in the shape that its callers know.
fn within<S>(resource: &mut S, request: Request) -> impl Future<Output = Response> + Send + use<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send,
{
    let oauth = request.uri().path().starts_with(paths::OAUTH);
    let called = limited(request).map(|request| {
        catch_unwind(AssertUnwindSafe(|| resource.call(request)))
            .map(|answer| AssertUnwindSafe(answer).catch_unwind())
    });
    let answer = match called {
        Err(status) => Either::Left(ready(Ok(Ok(Ok(status.into_response()))))),
        Ok(Err(panic)) => Either::Left(ready(Ok(Err(panic)))),
        Ok(Ok(answer)) => Either::Right(timeout(TIMEOUT, answer)),
    };
    answer.map(move |answer| in_shape(whatever(answer), oauth))
}

/// The answer, whatever became of it.
fn whatever(answer: Result<thread::Result<Result<Response, Infallible>>, Elapsed>) -> Response {
    match answer {
        Ok(Ok(Ok(response))) => response,
        Ok(Ok(Err(never))) => match never {},
        Ok(Err(panic)) => panicked(&*panic),
        Err(_) => {
            // A body that comes slowly is enough for it.
            tracing::info!("a request was given up after {} s", TIMEOUT.as_secs());
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

/// The request, with a body that ends with an error where it gets too large; or 413 if it says that it will.
fn limited(request: Request) -> Result<Request, StatusCode> {
    if request.body().is_end_stream() {
        return Ok(request);
    }
    let length = request.headers().get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > MAX_BODY_BYTES) {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    Ok(request.map(|body| Body::new(Limited::new(body, MAX_BODY_BYTES))))
}

fn panicked(_: &(dyn Any + Send + 'static)) -> Response {
    tracing::error!("a handler panicked");
    Problem::internal().into_response()
}

/// Refusals of the router and of what stands around it are plain text or empty: they become problems too, or
/// OAuth's errors where those are spoken.
fn in_shape(response: Response, oauth: bool) -> Response {
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
mod tests;
