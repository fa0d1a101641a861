//! The duration of requests, by route template, method and status class. Labels never contain text that a client chose.

use std::sync::{OnceLock, PoisonError, RwLock};

use axum::http::{Method, StatusCode};
use metrics::Histogram;

use crate::meters;

/// The label of requests that match no route.
const NO_ROUTE: &str = "none";

const METHODS: [&str; 8] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other",
];

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The histograms of one route, each created at its first use.
type OfRoute = [[OnceLock<Histogram>; CLASSES.len()]; METHODS.len()];

/// The histograms of all routes, by template. Each is requested from the recorder once.
///
/// Perf: the routes are few, and most differ in length, so a linear search costs less than hashing.
#[derive(Debug, Default)]
pub(super) struct RouteDurations(RwLock<Vec<(Box<str>, Box<OfRoute>)>>);

impl RouteDurations {
    /// Records the time from a request's start to the head of its answer.
    pub(super) fn record(
        &self,
        route: Option<&str>,
        method: &Method,
        status: StatusCode,
        seconds: f64,
    ) {
        let route = route.unwrap_or(NO_ROUTE);
        let other = METHODS.len() - 1;
        let method = METHODS.iter().position(|known| known == method);
        let method = method.unwrap_or(other);
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        let class = class.min(CLASSES.len() - 1);
        let record = |of_route: &OfRoute| {
            of_route[method][class]
                .get_or_init(|| meters::request_duration(route, METHODS[method], CLASSES[class]))
                .record(seconds);
        };
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_route) = find(&known, route) {
            return record(of_route);
        }
        drop(known);
        let mut routes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if find(&routes, route).is_none() {
            routes.push((route.into(), Box::default()));
        }
        if let Some(of_route) = find(&routes, route) {
            record(of_route);
        }
    }
}

fn find<'a>(routes: &'a [(Box<str>, Box<OfRoute>)], route: &str) -> Option<&'a OfRoute> {
    let found = routes.iter().find(|(template, _)| **template == *route);
    found.map(|(_, of_route)| &**of_route)
}
