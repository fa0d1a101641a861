//! The host of a request: exactly one, and with the session cookie one of the service's hosts.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use serde_json::Value;
use tower::ServiceExt;

use super::browser::{Jar, OWN_PAGE, cookie, credentials, jar, login, request};
use super::common::{ISSUER, Place, TestServer};

const ELSEWHERE: &str = "waxseal.evil.example";

async fn of_alice(issuer: &str) -> TestServer {
    let server = TestServer::with(|settings| {
        settings.issuer = issuer.to_owned();
        settings.allowed_origins = vec!["https://app.example".parse().unwrap()];
    })
    .await;
    server.add_user("alice").await;
    server
}

#[tokio::test]
async fn the_session_cookie_is_used_at_the_services_own_hosts_alone() {
    let local = "http://localhost:8080";
    for (issuer, host, right) in [
        (ISSUER, "issuer.example", true),
        (ISSUER, "Issuer.Example:8443", true),
        (ISSUER, "app.example", true),
        (ISSUER, ELSEWHERE, false),
        (ISSUER, "localhost:8080", false),
        (ISSUER, "127.0.0.1:8080", false),
        (local, "localhost:9090", true),
        (local, "127.0.0.1:9090", true),
        (local, "[::1]:8080", true),
        (local, ELSEWHERE, false),
        (local, "192.168.0.1:8080", false),
    ] {
        let server = of_alice(issuer).await;
        let token = login(&server, "alice").await;
        let (name, value) = cookie(&token);
        let headers = [(name, value.as_str()), OWN_PAGE, ("host", host)];
        for (method, path) in [
            ("GET", "/session"),
            ("GET", "/sessions"),
            ("POST", "/session/renew"),
        ] {
            let answer = server
                .send(request(method, path, headers, &Value::Null))
                .await;
            let expected = if right { 200 } else { 421 };
            assert_eq!(
                answer.status, expected,
                "{issuer} {host} {path}: {answer:?}"
            );
            if !right {
                assert_eq!(answer.code(), "misdirected_request");
                assert_eq!(jar(&answer), Jar::Untouched);
                let detail = answer.json()["detail"].to_string();
                assert!(
                    detail.contains("setting issuer or allowed_origins"),
                    "{detail}"
                );
            }
        }
        // A login that asks for the cookie.
        let login = request(
            "POST",
            "/login",
            [("host", host)],
            &credentials("alice", "cookie"),
        );
        let answer = server.send(login).await;
        assert_eq!(
            matches!(jar(&answer), Jar::Set(_)),
            right,
            "{host}: {answer:?}"
        );
        assert_eq!(answer.status, if right { 200 } else { 421 }, "{host}");
    }
}

#[tokio::test]
async fn requests_without_the_session_cookie_may_use_any_host() {
    let server = of_alice(ISSUER).await;
    let bearer = format!("Bearer {}", server.login("alice").await);
    let token = login(&server, "alice").await;
    let (name, value) = cookie(&token);
    let host = ("host", "waxseal:8080");
    for (headers, path) in [
        (vec![host, ("authorization", &bearer)], "/session"),
        (vec![host, ("cookie", "theme=dark")], "/livez"),
        (vec![host], "/readyz"),
        (vec![host], "/.well-known/jwks.json"),
        // A proxy calls under a host name of its own.
        (vec![host, (name, &value)], "/verify"),
    ] {
        let answer = server
            .send(request("GET", path, headers, &Value::Null))
            .await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
    // The forwarded host of an untrusted proxy is ignored.
    let forwarded = [host, ("x-forwarded-host", "issuer.example"), (name, &value)];
    let answer = server
        .send(request("GET", "/session", forwarded, &Value::Null))
        .await;
    assert_eq!(answer.status, 421);
    let login = request("POST", "/login", [host], &credentials("alice", "bearer"));
    assert_eq!(server.send(login).await.status, 200);
}

#[tokio::test]
async fn the_pages_work_at_every_host_without_a_cookie() {
    let server = of_alice(ISSUER).await;
    let token = login(&server, "alice").await;
    let (name, value) = cookie(&token);
    for (host, with_cookie, expected) in [
        ("issuer.example", true, 200),
        (ELSEWHERE, true, 421),
        (ELSEWHERE, false, 200),
    ] {
        for path in ["/", "/pages/app.js"] {
            let mut page = Request::get(path).header("host", host);
            if with_cookie {
                page = page.header(name, &value);
            }
            let page = page.body(Body::empty()).unwrap();
            let answer = server.waxseal.pages().oneshot(page).await.unwrap();
            assert_eq!(answer.status(), expected, "{host} {path}");
        }
    }
}

/// On a raw socket: neither curl nor hyper's client sends such a request.
#[test]
fn a_request_without_a_host_or_with_two_is_not_answered() {
    let place = Place::new();
    let server = place.serve();
    let ask = |lines: &str| {
        let address = server.url.strip_prefix("http://").unwrap();
        let mut socket = TcpStream::connect(address).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let head = format!("{lines}Connection: close\r\n\r\n");
        socket.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    };
    for (lines, status) in [
        ("GET /livez HTTP/1.1\r\nHost: waxseal\r\n", 200),
        ("GET /livez HTTP/1.0\r\n", 200),
        ("GET /livez HTTP/1.1\r\n", 400),
        ("GET /livez HTTP/1.1\r\nHost:\r\n", 400),
        ("GET /livez HTTP/1.1\r\nHost: a b\r\n", 400),
        ("GET /livez HTTP/1.1\r\nHost: a\r\nHost: a\r\n", 400),
        ("GET /livez HTTP/1.0\r\nHost: a\r\nhost: b\r\n", 400),
        ("GET http://a/livez HTTP/1.1\r\n", 400),
        ("GET /verify HTTP/1.1\r\n", 400),
        ("POST /oauth/token HTTP/1.1\r\n", 400),
        ("GET /nothing HTTP/1.1\r\n", 400),
    ] {
        let answer = ask(lines);
        assert!(answer.contains(&format!(" {status} ")), "{lines}: {answer}");
        if status == 400 {
            assert!(answer.contains("invalid_request"), "{lines}: {answer}");
            assert!(
                answer.contains("x-content-type-options: nosniff"),
                "{answer}"
            );
        }
    }
}
