use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::HeaderValue;
use axum::http::header::SET_COOKIE;
use axum::response::AppendHeaders;
use axum::routing::{get, post};
use tower::ServiceExt;

use super::*;
use crate::random::SeededRandom;
use crate::revocation::log::StoreError;

/// Sends a request to a router with one resource, and returns the answer.
async fn ask(resource: Router, request: Request) -> (Response, String) {
    let random: Arc<dyn Random> = Arc::new(SeededRandom::new(7));
    let origins = Origins::new("https://own.example", &[]);
    let app = resource.layer(EdgeLayer::new(&origins, None, &random));
    let (parts, body) = app.oneshot(request).await.unwrap().into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    (Response::from_parts(parts, Body::empty()), body)
}

/// The same request twice: without CORS and with it.
fn requests(method: &str, body: impl Fn() -> Body) -> [Request; 2] {
    [None, Some("https://other.example")].map(|origin| {
        let mut request = Request::builder().method(method).uri("/x?secret=1");
        if let Some(origin) = origin {
            request = request.header(ORIGIN, origin);
        }
        request.body(body()).unwrap()
    })
}

fn is_problem(response: &Response, status: StatusCode) {
    assert_eq!(response.status(), status);
    let headers = response.headers();
    assert_eq!(headers[CONTENT_TYPE], "application/problem+json");
    for (name, value) in HEADERS {
        assert_eq!(headers[&name], value, "{name}");
    }
    assert!(headers.contains_key(REQUEST_ID));
    assert!(headers.contains_key(VARY));
}

#[tokio::test]
async fn a_handler_that_panics_is_a_fault_of_ours_and_ends_nothing_else() {
    for request in requests("GET", Body::empty) {
        let panics = get(async || -> String { panic!("a cause that nobody is told") });
        let (response, body) = ask(Router::new().route("/x", panics), request).await;
        is_problem(&response, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!body.contains("nobody is told"), "{body}");
    }
}

#[tokio::test]
async fn a_cause_is_logged_once_with_its_request_if_there_is_one_whatever_becomes_of_it() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&lines);
    let failure = move || {
        let log = Arc::clone(&log);
        let error = StoreError::new("read", "the disk is gone");
        Problem::internal().caused_by(error, move |cause| {
            let request = CurrentRequest::get().map(|request| request.to_string());
            log.lock().unwrap().push((cause.to_string(), request));
        })
    };
    let logged = || std::mem::take(&mut *lines.lock().unwrap());
    let expected = "the store failed to read: the disk is gone".to_owned();
    for request in requests("GET", Body::empty) {
        let failure = failure.clone();
        let fails = get(async move || failure());
        let (response, body) = ask(Router::new().route("/x", fails), request).await;
        is_problem(&response, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!body.contains("disk"), "{body}");
        let id = response.headers()[REQUEST_ID].to_str().unwrap();
        let request = format!("request{{method=GET path=\"/x\" id=\"{id}\"}}");
        assert_eq!(logged(), [(expected.clone(), Some(request))]);
    }
    let response = failure().into_response();
    assert_eq!(logged(), [(expected.clone(), None)]);
    let cause = response.extensions().get::<Cause>().unwrap();
    assert!(cause.error().is::<StoreError>());
    drop(response);
    assert_eq!(logged(), []);
    drop(failure());
    assert_eq!(logged(), [(expected, None)]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_takes_too_long_is_given_up() {
    for request in requests("GET", Body::empty) {
        let never = get(std::future::pending::<String>);
        let (response, _) = ask(Router::new().route("/x", never), request).await;
        is_problem(&response, StatusCode::SERVICE_UNAVAILABLE);
    }
}

#[tokio::test]
async fn a_body_is_read_up_to_its_limit_with_any_announced_length() {
    let takes = || {
        Router::new().route(
            "/x",
            post(|body: Bytes| async move { body.len().to_string() }),
        )
    };
    for (length, fits) in [(MAX_BODY_BYTES, true), (MAX_BODY_BYTES + 1, false)] {
        let whole = || Body::from(vec![b'x'; length]);
        let parts = || {
            let chunks = vec![b'x'; length];
            let chunks: Vec<_> = chunks
                .chunks(1000)
                .map(|chunk| Ok::<_, Infallible>(Bytes::copy_from_slice(chunk)))
                .collect();
            Body::from_stream(futures_util::stream::iter(chunks))
        };
        let mut all: Vec<Request> = requests("POST", whole).into();
        all.extend(requests("POST", parts));
        let mut says = requests("POST", parts);
        for request in &mut says {
            request.headers_mut().insert(CONTENT_LENGTH, length.into());
        }
        all.extend(says);
        for request in all {
            let (response, body) = ask(takes(), request).await;
            if fits {
                assert_eq!(
                    (response.status(), body),
                    (StatusCode::OK, length.to_string())
                );
            } else {
                is_problem(&response, StatusCode::PAYLOAD_TOO_LARGE);
            }
        }
    }
}

#[tokio::test]
async fn a_handler_sees_the_request_id_and_trace_and_secrets_are_hidden() {
    for mut request in requests("GET", Body::empty) {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let parent = format!("00-{trace}-00f067aa0ba902b7-01");
        let headers = request.headers_mut();
        headers.insert(TRACEPARENT, parent.parse().unwrap());
        headers.insert(REQUEST_ID, HeaderValue::from_static("mine-1"));
        headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer hidden"));
        headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer hidden"));
        headers.append(COOKIE, HeaderValue::from_static("a=hidden"));
        let seen = Arc::new(Mutex::new(None));
        let notes = Arc::clone(&seen);
        let handler = get(move |headers: HeaderMap| async move {
            let current = CurrentRequest::get().unwrap().to_string();
            *notes.lock().unwrap() = Some((current, format!("{headers:?}")));
            AppendHeaders([(SET_COOKIE, "a=hidden"), (SET_COOKIE, "b=hidden")])
        });
        let (response, _) = ask(Router::new().route("/x", handler), request).await;
        let (current, headers) = seen.lock().unwrap().take().unwrap();
        assert_eq!(
            current,
            format!("request{{method=GET path=\"/x\" id=\"mine-1\" trace={trace}}}")
        );
        assert_eq!(response.headers()[REQUEST_ID], "mine-1");
        for shown in [headers, format!("{:?}", response.headers())] {
            assert!(!shown.contains("hidden"), "{shown}");
        }
        assert!(CurrentRequest::get().is_none());
    }
}

#[tokio::test]
async fn no_two_requests_are_given_one_name() {
    let random: Arc<dyn Random> = Arc::new(SeededRandom::new(7));
    let resource = Router::new().route("/x", get(async || "x"));
    let app = resource.layer(EdgeLayer::new(&Origins::default(), None, &random));
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..300 {
        let [request, _] = requests("GET", Body::empty);
        let answer = app.clone().oneshot(request).await.unwrap();
        let name = answer.headers()[REQUEST_ID].to_str().unwrap().to_owned();
        assert_eq!(name.len(), 16);
        assert!(names.insert(name));
    }
}
