//! The layer around every resource: limits, CORS, request IDs, default headers, logging and metrics.
//!
//! Perf: it is one layer, because separate layers would clone and box each request a dozen times. It is built from
//! combinators, because an async block reserves space for each awaited future twice, and each nesting doubles that
//! again.

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
use crate::http::cause::Cause;
use crate::http::current::CurrentRequest;
use crate::http::origins::Origins;
use crate::http::problem::{Problem, RATE_LIMIT, RATE_LIMIT_POLICY};
use crate::http::session_cookies::{ACTIVITY, SESSION};
use crate::random::Random;
use crate::time::Stopwatch;

/// The largest body that any resource accepts, in bytes.
const MAX_BODY_BYTES: usize = 16 * 1024;

/// The time limit of a request, its body included.
const TIMEOUT: Duration = Duration::from_secs(15);

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The other headers that instrumentation and libraries add to a page's requests: trace contexts (W3C Trace Context,
/// W3C Baggage, Sentry), and those that some clients send with each request.
const ADDED_BY_LIBRARIES: [HeaderName; 6] = [
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("baggage"),
    HeaderName::from_static("sentry-trace"),
    HeaderName::from_static("x-requested-with"),
    CACHE_CONTROL,
    PRAGMA,
];

/// How long a browser may cache the answer to a preflight request.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(600);

/// The headers of every answer that does not set them itself.
const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
];

/// The request headers that an answer depends on. It is sent to every caller, so that no cache gives one origin's
/// answer to another.
const CORS_VARY: HeaderValue = HeaderValue::from_static(
    "origin, access-control-request-method, access-control-request-headers",
);

/// CORS for the listed origins: only they may call and read the answers, with credentials.
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

/// CORS for public resources: every origin may read them, without credentials. The answer is the same for each origin,
/// so a cache may give it to all of them.
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

/// The layer around every resource, see the module.
#[derive(Clone)]
pub(super) struct EdgeLayer {
    rules: Arc<EdgeRules>,
}

impl EdgeLayer {
    pub(super) fn new(
        origins: &Origins,
        hsts: Option<HeaderValue>,
        random: &Arc<dyn Random>,
    ) -> Self {
        Self::with(cors(origins), false, hsts, random)
    }

    /// Creates the layer for public resources, which every origin may read.
    pub(super) fn public(hsts: Option<HeaderValue>, random: &Arc<dyn Random>) -> Self {
        Self::with(public_cors(), true, hsts, random)
    }

    fn with(
        cors: CorsLayer,
        public: bool,
        hsts: Option<HeaderValue>,
        random: &Arc<dyn Random>,
    ) -> Self {
        let rules = EdgeRules {
            cors,
            public,
            hsts,
            durations: RouteDurations::default(),
            ids: RequestIds::new(Arc::clone(random)),
        };
        Self {
            rules: Arc::new(rules),
        }
    }
}

impl<S> Layer<S> for EdgeLayer {
    type Service = EdgeService<S>;

    fn layer(&self, inner: S) -> EdgeService<S> {
        EdgeService {
            inner,
            rules: Arc::clone(&self.rules),
        }
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

/// The service that [`EdgeLayer`] returns.
#[derive(Clone)]
pub(super) struct EdgeService<S> {
    inner: S,
    rules: Arc<EdgeRules>,
}

impl<S> Service<Request> for EdgeService<S>
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
        // Only these requests need an answer of CORS.
        let asks_cors =
            request.method() == Method::OPTIONS || request.headers().contains_key(ORIGIN);
        let answer = if asks_cors {
            let limited = LimitedService {
                inner: self.inner.clone(),
            };
            Either::Left(rules.cors.layer(limited).call(request).boxed())
        } else {
            Either::Right(
                call_with_limits(&mut self.inner, request).map(move |mut response| {
                    if public {
                        // A cache may give this answer to a page of another origin.
                        let headers = response.headers_mut();
                        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
                    } else {
                        response.headers_mut().append(VARY, CORS_VARY);
                    }
                    Ok(response)
                }),
            )
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

/// Creates the span of a request. It has the path without the query, because a query can contain secrets.
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
        // Fails only if no exporter is installed.
        let _ = span.set_parent(opentelemetry::Context::new().with_remote_span_context(parent));
    }
    span
}

/// Keeps the values of these headers out of debug output.
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

/// Returns the answer to a request that does not reach a resource, in the format that the path's callers expect.
pub(super) fn refused(problem: Problem, path: &str) -> Response {
    let mut response =
        normalize_error_body(problem.into_response(), path.starts_with(paths::OAUTH));
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(value);
    }
    response
}

/// Turns `OPTIONS /verify` into a GET. CORS answers every `OPTIONS` with 200, so a proxy that forwards this method
/// would admit everyone.
fn never_a_preflight<B>(request: &mut Request<B>) {
    if request.uri().path() == paths::VERIFY && request.method() == Method::OPTIONS {
        *request.method_mut() = Method::GET;
    }
}

/// The service below the CORS layer: the resource with its limits.
#[derive(Clone)]
struct LimitedService<S> {
    inner: S,
}

impl<S> Service<Request> for LimitedService<S>
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

    fn call(&mut self, request: Request) -> Answer {
        Box::pin(call_with_limits(&mut self.inner, request).map(Ok))
    }
}

/// Calls the resource with the limits of time and size. Returns its answer, or a refusal in the format that its callers
/// expect.
fn call_with_limits<S>(
    resource: &mut S,
    request: Request,
) -> impl Future<Output = Response> + Send + use<S>
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
    answer.map(move |answer| normalize_error_body(logged(flatten_outcome(answer)), oauth))
}

/// Returns the answer, or 500 after a panic and 503 after a timeout.
fn flatten_outcome(
    answer: Result<thread::Result<Result<Response, Infallible>>, Elapsed>,
) -> Response {
    match answer {
        Ok(Ok(Ok(response))) => response,
        Ok(Ok(Err(never))) => match never {},
        Ok(Err(panic)) => panicked(&*panic),
        Err(_) => {
            // At `info`, because a client that sends its body slowly can cause it.
            tracing::info!("a request was given up after {} s", TIMEOUT.as_secs());
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

/// Logs the cause of a refusal or a failure. Here the log knows the request.
fn logged(response: Response) -> Response {
    if let Some(cause) = response.extensions().get::<Cause>() {
        cause.log();
    }
    response
}

/// Limits the body of a request: reading beyond the limit fails. Returns 413 if the announced length exceeds it.
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

/// Converts a refusal of the router or of a layer, which is plain text or empty, to a problem, or to an OAuth error
/// below `/oauth/`.
fn normalize_error_body(response: Response, oauth: bool) -> Response {
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
