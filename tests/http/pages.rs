//! The files of the pages, and the paths that browsers request on any site.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use tower::ServiceExt;

use super::common::TestServer;

async fn get(server: &TestServer, path: &str) -> (StatusCode, HeaderMap, Vec<u8>) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = server.waxseal.pages().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap().to_vec();
    (parts.status, parts.headers, body)
}

#[tokio::test]
async fn well_known_files_of_any_site_exist() {
    let server = TestServer::new().await;
    let (status, headers, body) = get(&server, "/robots.txt").await;
    assert_eq!(status, 200);
    assert_eq!(headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(body, b"User-agent: *\nDisallow: /\n");

    let (status, headers, body) = get(&server, "/favicon.ico").await;
    assert_eq!((status, &body[..4]), (StatusCode::OK, &[0, 0, 1, 0][..]));
    assert_eq!(headers["content-type"], "image/x-icon");

    // A relative URL stays below the path prefix that a proxy strips.
    let (status, headers, _) = get(&server, "/.well-known/change-password").await;
    assert_eq!(
        (status, &headers["location"]),
        (StatusCode::SEE_OTHER, &"../#/password".parse().unwrap())
    );
}

#[tokio::test]
async fn a_return_origin_is_allowed_if_it_is_listed_exactly() {
    let listed = "https://app.example:8443";
    let server =
        TestServer::with(|settings| settings.allowed_origins = vec![listed.parse().unwrap()]).await;
    for (asked, allowed) in [
        (listed, "true"),
        ("https%3A%2F%2Fapp.example%3A8443", "true"),
        ("https://app.example", "false"),
        ("https://app.example:8443/", "false"),
        ("https://APP.example:8443", "false"),
        ("http://app.example:8443", "false"),
        ("https://app.example:8443%00", "false"),
        ("https://app.example:8443%0d%0a", "false"),
        ("https://issuer.example", "false"),
        ("null", "false"),
        ("*", "false"),
        ("", "false"),
    ] {
        let path = format!("/pages/allowed-origin?origin={asked}");
        let (status, _, body) = get(&server, &path).await;
        let expected = format!("{{\"allowed\":{allowed}}}").into_bytes();
        assert_eq!((status, body), (StatusCode::OK, expected), "{asked}");
    }
    for query in ["", "?", "?to=x", "?origin=a&origin=b"] {
        let path = format!("/pages/allowed-origin{query}");
        assert_eq!(get(&server, &path).await.0, 400, "{path}");
    }
}
