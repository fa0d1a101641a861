//! How long requests take: by route template, method and class of status, and never by what a stranger wrote.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use axum::body::Body;
use axum::extract::{MatchedPath, State};
use axum::http::{Method, Request, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use metrics::Histogram;

use crate::meters;
use crate::time::Stopwatch;

/// What no route was found for.
const NO_ROUTE: &str = "none";

const METHODS: [&str; 8] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other",
];

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The histograms of one route, each made when it is first needed.
type OfRoute = [[OnceLock<Histogram>; CLASSES.len()]; METHODS.len()];

/// The histograms of the routes: each is looked up by its template, and asked of the recorder once.
#[derive(Debug, Default)]
pub(super) struct Durations(RwLock<HashMap<Arc<str>, Arc<OfRoute>>>);

impl Durations {
    fn of_route(&self, route: &str) -> Arc<OfRoute> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(route) {
            return Arc::clone(known);
        }
        drop(known);
        let mut routes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(routes.entry(route.into()).or_default())
    }

    fn record(&self, route: &str, method: &Method, status: StatusCode, seconds: f64) {
        let other = METHODS.len() - 1;
        let method = METHODS.iter().position(|known| known == method);
        let method = method.unwrap_or(other);
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        let class = class.min(CLASSES.len() - 1);
        self.of_route(route)[method][class]
            .get_or_init(|| meters::request_duration(route, METHODS[method], CLASSES[class]))
            .record(seconds);
    }
}

/// Measures a request until the head of its answer.
pub(super) async fn timed(
    State(durations): State<Arc<Durations>>,
    request: Request<Body>,
    next: Next,
) -> Response {
    let stopwatch = Stopwatch::start();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let response = next.run(request).await;
    let route = route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
    durations.record(route, &method, response.status(), stopwatch.seconds());
    response
}
