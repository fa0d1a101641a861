//! Headers that tell browsers about the service as a whole: HTTPS only, and isolation from other pages.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use tower::ServiceExt;

use super::common::{ISSUER, TestServer};

async fn answered(server: &TestServer, method: Method, path: &str) -> (StatusCode, HeaderMap) {
    let app = server.waxseal.router().merge(server.waxseal.pages());
    let request = Request::builder().method(method).uri(path);
    let answer = app.oneshot(request.body(Body::empty()).unwrap()).await;
    let answer = answer.unwrap();
    (answer.status(), answer.headers().clone())
}

#[tokio::test]
async fn an_https_service_tells_browsers_to_use_https_alone() {
    let year = Duration::from_secs(31_536_000);
    for (issuer, hsts, expected) in [
        (ISSUER, Some(year), Some("max-age=31536000")),
        (ISSUER, Some(Duration::ZERO), Some("max-age=0")),
        (ISSUER, None, None),
        ("http://issuer.example", Some(year), None),
        ("https://localhost:8443", Some(year), None),
    ] {
        let server = TestServer::with(|settings| {
            settings.issuer = issuer.to_owned();
            settings.hsts = hsts;
        })
        .await;
        for (method, path) in [
            (Method::GET, "/"),
            (Method::GET, "/pages/app.js"),
            (Method::POST, "/login"),
            (Method::GET, "/session"),
            (Method::GET, "/livez"),
            (Method::GET, "/revocations"),
            (Method::GET, "/.well-known/jwks.json"),
            (Method::POST, "/oauth/token"),
        ] {
            let (_, headers) = answered(&server, method, path).await;
            let all: Vec<_> = headers
                .get_all("strict-transport-security")
                .iter()
                .collect();
            assert_eq!(all, expected.as_slice(), "{issuer}: {path}");
        }
        // The answer goes to a proxy.
        let (_, headers) = answered(&server, Method::GET, "/verify").await;
        assert!(!headers.contains_key("strict-transport-security"));
    }
}

#[test]
fn a_year_is_the_default() {
    let settings = waxseal::Settings::default();
    assert_eq!(settings.hsts, Some(Duration::from_secs(365 * 86_400)));
}

#[tokio::test]
async fn pages_stand_by_themselves_and_what_others_read_stays_readable() {
    let server = TestServer::new().await;
    for path in [
        "/",
        "/pages/app.js",
        "/pages/style.css",
        "/pages/icon.svg",
        "/pages/waxseal.js",
    ] {
        let (status, headers) = answered(&server, Method::GET, path).await;
        assert_eq!(status, 200, "{path}");
        assert_eq!(
            headers["cross-origin-opener-policy"], "same-origin",
            "{path}"
        );
        assert_eq!(
            headers["cross-origin-resource-policy"], "same-origin",
            "{path}"
        );
        assert_eq!(headers["x-frame-options"], "DENY", "{path}");
        let permissions = headers["permissions-policy"].to_str().unwrap();
        for feature in permissions.split(", ") {
            assert!(feature.ends_with("=()"), "{feature}");
        }
        assert!(permissions.contains("camera=()"), "{permissions}");
    }
    // Other origins read these, with CORS or without.
    for path in [
        "/.well-known/jwks.json",
        "/.well-known/paserks.json",
        "/session",
        "/verify",
    ] {
        let (_, headers) = answered(&server, Method::GET, path).await;
        assert!(
            !headers.contains_key("cross-origin-resource-policy"),
            "{path}"
        );
    }
}
