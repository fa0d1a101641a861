//! Spans for a collector: a login is found by its request ID, and no secret is sent.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::json;

use super::common::{PASSWORD, Place};
use super::scrape::Watched;

const TRACE: [u8; 16] = *b"\x4b\xf9\x2f\x35\x77\xb3\x4d\xa6\xa3\xce\x92\x9d\x0e\x0e\x47\x36";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A collector on loopback that keeps everything it receives.
struct Collector {
    url: String,
    got: Arc<Mutex<Vec<Bytes>>>,
}

impl Collector {
    async fn new() -> Self {
        let got = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&got);
        let take = async move |body: Bytes| kept.lock().unwrap().push(body);
        let app = axum::Router::new().route("/v1/traces", post(take));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, got }
    }

    fn bodies(&self) -> Vec<Bytes> {
        self.got.lock().unwrap().clone()
    }

    fn spans(&self) -> Vec<Span> {
        let bodies = self.bodies().into_iter();
        let requests = bodies.map(|body| ExportTraceServiceRequest::decode(body).unwrap());
        let scopes = requests
            .flat_map(|request| request.resource_spans)
            .flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }
}

fn id(span: &Span) -> Option<&str> {
    let id = span
        .attributes
        .iter()
        .find(|attribute| attribute.key == "id");
    match id?.value.as_ref()?.value.as_ref()? {
        Value::StringValue(id) => Some(id),
        _ => None,
    }
}

fn contains(body: &[u8], text: &str) -> bool {
    body.windows(text.len()).any(|part| part == text.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_gets_the_spans_of_a_login_and_no_secret() {
    let place = Place::new();
    place.add_user("alice");
    let collector = Collector::new().await;
    let endpoint = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.url)];
    let mut watched = Watched::start(&place, &endpoint);
    let login = watched
        .http
        .post(format!("{}/login", watched.server.url))
        .header("host", "issuer.example")
        .header("x-request-id", "the-login-1")
        .header("traceparent", PARENT)
        .json(&json!({ "username": "alice", "password": PASSWORD, "delivery": "cookie" }));
    let answer = login.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let cookie = answer.headers()["set-cookie"].to_str().unwrap();
    let cookie = cookie
        .split(';')
        .next()
        .unwrap()
        .split_once('=')
        .unwrap()
        .1
        .to_owned();
    let token = watched.server.login(&watched.http, "alice").await;
    assert_eq!(watched.server.verify(&watched.http, &token).await, 200);
    assert!(watched.server.terminate().success());

    // The server sends all spans before it exits.
    let spans = collector.spans();
    let of_login = spans.iter().find(|span| id(span) == Some("the-login-1"));
    let of_login = of_login.unwrap_or_else(|| panic!("{spans:?}\n{}", watched.server.log()));
    assert_eq!(of_login.trace_id, TRACE);
    assert_eq!(of_login.parent_span_id, b"\x00\xf0\x67\xaa\x0b\xa9\x02\xb7");
    let of_trace = spans.iter().filter(|span| span.trace_id == TRACE);
    let names: BTreeSet<_> = of_trace.map(|span| &*span.name).collect();
    assert_eq!(names, BTreeSet::from(["hashing", "login", "request"]));
    assert!(
        spans
            .iter()
            .any(|span| id(span).is_some() && span.trace_id != TRACE)
    );
    for body in collector.bodies() {
        for secret in [PASSWORD, &cookie, &token, "Bearer"] {
            assert!(!contains(&body, secret), "{secret} was exported");
        }
    }
}

#[tokio::test]
async fn an_unreachable_collector_is_logged_and_fails_no_request() {
    let place = Place::new();
    place.add_user("alice");
    // Nothing listens there.
    let endpoint = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")];
    let mut watched = Watched::start(&place, &endpoint);
    let token = watched.server.login(&watched.http, "alice").await;
    assert_eq!(watched.server.verify(&watched.http, &token).await, 200);
    assert!(watched.server.terminate().success());
    for _ in 0..300 {
        if watched.server.log().contains("spans were not exported") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it does not say so: {}", watched.server.log());
}
