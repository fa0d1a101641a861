//! `GET /verify`, which a proxy calls about a request of its own, and which requests count as user activity.

use std::time::Duration;

use serde_json::Value;

use super::browser::{Jar, cookie, from_own_page, jar, login, request};
use super::common::TestServer;

const MINUTE: Duration = Duration::from_secs(60);

async fn of_alice() -> TestServer {
    let server = TestServer::new().await;
    server.add_user("alice").await;
    server
}

async fn entries(server: &TestServer) -> usize {
    server
        .waxseal
        .log()
        .read(0, 100)
        .await
        .unwrap()
        .entries
        .len()
}

/// The proxy drops the headers of the answer: a renewal there would be lost, and the next request would look like
/// theft.
#[tokio::test]
async fn a_proxy_that_asks_changes_nothing() {
    let server = of_alice().await;
    let mut token = login(&server, "alice").await;
    for minute in 0..40 {
        let asked = from_own_page(&server, "GET", "/verify", &token, Value::Null).await;
        assert_eq!((asked.status.as_u16(), jar(&asked)), (200, Jar::Untouched));
        assert!(!asked.headers.contains_key("waxseal-session"));
        assert_eq!(entries(&server).await, usize::from(minute > 30), "{minute}");
        if minute % 10 == 0 && minute > 0 {
            let page = from_own_page(&server, "GET", "/session", &token, Value::Null).await;
            let Jar::Set(next) = jar(&page) else {
                panic!("{page:?}")
            };
            token = next;
        }
        server.pass(MINUTE).await;
    }
}

#[tokio::test]
async fn a_superseded_cookie_at_a_proxy_is_a_plain_401() {
    let server = of_alice().await;
    let first = login(&server, "alice").await;
    let mut token = first;
    let mut old = String::new();
    for _ in 0..3 {
        server.pass(10 * MINUTE).await;
        let page = from_own_page(&server, "GET", "/session", &token, Value::Null).await;
        let Jar::Set(next) = jar(&page) else {
            panic!("{page:?}")
        };
        old = std::mem::replace(&mut token, next);
    }
    server.pass(MINUTE).await;
    let before = entries(&server).await;
    let asked = from_own_page(&server, "GET", "/verify", &old, Value::Null).await;
    assert_eq!((asked.status.as_u16(), jar(&asked)), (401, Jar::Untouched));
    assert_eq!(entries(&server).await, before);
    assert_eq!(server.verify(&token).await, 200);
}

#[tokio::test]
async fn a_proxy_that_forwards_method_and_origin_gets_cross_site_requests_refused() {
    let server = of_alice().await;
    let token = login(&server, "alice").await;
    for name in ["x-original-method", "x-forwarded-method"] {
        for (method, site, status) in [
            ("GET", "cross-site", 200),
            ("HEAD", "cross-site", 200),
            ("POST", "same-origin", 200),
            ("DELETE", "same-origin", 200),
            ("POST", "cross-site", 403),
            ("PUT", "same-site", 403),
            ("DELETE", "none", 403),
            ("get", "cross-site", 403),
            ("G E T", "cross-site", 403),
            ("", "cross-site", 403),
        ] {
            let headers = [
                cookie(&token),
                ("sec-fetch-site", site.to_owned()),
                (name, method.to_owned()),
            ];
            let answer = server
                .send(request("GET", "/verify", headers, &Value::Null))
                .await;
            assert_eq!(answer.status, status, "{name}: {method:?} from {site}");
            let bearer = [
                ("authorization", format!("Bearer {token}")),
                ("sec-fetch-site", site.to_owned()),
                (name, method.to_owned()),
            ];
            let answer = server
                .send(request("GET", "/verify", bearer, &Value::Null))
                .await;
            assert_eq!(
                answer.status, 200,
                "{name}: {method:?} from {site} by bearer"
            );
        }
        // A method that only reads does not make up for one that writes.
        let headers = [
            cookie(&token),
            ("sec-fetch-site", "cross-site".to_owned()),
            (name, "GET".to_owned()),
            (name, "POST".to_owned()),
        ];
        let answer = server
            .send(request("GET", "/verify", headers, &Value::Null))
            .await;
        assert_eq!(answer.status, 403);
    }
}

/// Envoy calls with the method of the original request. CORS would answer `OPTIONS` with 200.
#[tokio::test]
async fn a_request_without_credentials_is_refused_for_every_method_of_a_proxy() {
    let server = of_alice().await;
    let token = login(&server, "alice").await;
    for method in [
        "GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW",
    ] {
        let of_stranger = [
            ("origin", "https://elsewhere.example"),
            ("access-control-request-method", "POST"),
        ];
        let answer = server
            .send(request(method, "/verify", of_stranger, &Value::Null))
            .await;
        assert_eq!(answer.status, 401, "{method}");
        assert!(!answer.headers.contains_key("x-waxseal-kind"), "{method}");

        let bearer = [("authorization", format!("Bearer {token}"))];
        let answer = server
            .send(request(method, "/verify", bearer, &Value::Null))
            .await;
        assert_eq!(answer.status, 200, "{method}");
        assert_eq!(answer.headers["x-waxseal-kind"], "session", "{method}");

        let answer = from_own_page(&server, method, "/verify", &token, Value::Null).await;
        assert_eq!(answer.status, 200, "{method}");
        let from_elsewhere = [cookie(&token), ("sec-fetch-site", "cross-site".to_owned())];
        let answer = server
            .send(request(method, "/verify", from_elsewhere, &Value::Null))
            .await;
        let looks = ["GET", "HEAD", "OPTIONS"].contains(&method);
        assert_eq!(answer.status, if looks { 200 } else { 403 }, "{method}");
    }
}

/// An image embedded in another page is not user activity and must not keep an abandoned session alive.
#[tokio::test]
async fn embedded_requests_of_other_sites_do_not_count_as_activity_and_navigations_do() {
    let server = of_alice().await;
    let token = login(&server, "alice").await;
    server.pass(5 * MINUTE).await;
    for (site, mode, touched) in [
        ("same-site", "no-cors", false),
        ("cross-site", "no-cors", false),
        ("cross-site", "cors", false),
        ("cross-site", "navigate", true),
        ("same-site", "navigate", true),
        ("none", "navigate", true),
        ("same-origin", "no-cors", true),
        ("same-origin", "cors", true),
    ] {
        let headers = [
            cookie(&token),
            ("sec-fetch-site", site.to_owned()),
            ("sec-fetch-mode", mode.to_owned()),
        ];
        let answer = server
            .send(request("GET", "/session", headers, &Value::Null))
            .await;
        assert_eq!(answer.status, 200);
        assert_eq!(jar(&answer) != Jar::Untouched, touched, "{site}, {mode}");
    }
}
