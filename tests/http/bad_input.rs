//! Malformed requests to log in and out.

mod credentials;
mod server;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::json;

use super::common::{Answer, ISSUER, PASSWORD, TestServer};

const JSON: &str = "application/json";
/// The largest accepted body, in bytes.
const MAX_BODY: usize = 16 * 1024;

/// Asserts that the answer has the form of every problem document.
fn is_problem(name: &str, answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status.as_u16(), status, "{name}: {answer:?}");
    assert_eq!(answer.code(), code, "{name}: {answer:?}");
    assert_eq!(answer.json()["status"], status, "{name}: {answer:?}");
    assert_eq!(answer.headers["cache-control"], "no-store", "{name}");
    assert_eq!(
        answer.headers["x-content-type-options"], "nosniff",
        "{name}"
    );
    assert!(answer.headers.contains_key("x-request-id"), "{name}");
    says_nothing(name, answer, &[PASSWORD]);
}

/// Asserts that the answer repeats none of these secrets.
fn says_nothing(name: &str, answer: &Answer, secrets: &[&str]) {
    let said = format!(
        "{:?} {}",
        answer.headers,
        String::from_utf8_lossy(&answer.body)
    );
    for secret in secrets {
        assert!(!said.contains(secret), "{name}: {said}");
    }
}

/// Returns the paths that the routers' source files name.
fn paths() -> Vec<String> {
    let sources = [
        include_str!("../../src/http/routes/router.rs"),
        include_str!("../../src/http/routes/well_known.rs"),
        include_str!("../../src/http/routes/oauth/mod.rs"),
    ];
    let routes = sources
        .iter()
        .flat_map(|source| source.split(".route(").skip(1));
    let path = |route: &str| route.split('"').nth(1).unwrap().replace("{id}", "x");
    routes
        .map(path)
        .chain(["/verify", "/nowhere"].map(String::from))
        .collect()
}

#[tokio::test]
async fn every_answer_has_the_default_headers() {
    let server = TestServer::new().await;
    let paths = paths();
    assert!(paths.len() > 15, "{paths:?}");
    for path in paths {
        assert!(path.starts_with('/'), "{path}");
        for (method, origin) in [
            ("GET", ISSUER),
            ("POST", ""),
            ("PATCH", "https://other.example"),
            ("OPTIONS", ""),
        ] {
            let mut request = Request::builder().method(method).uri(&path);
            if !origin.is_empty() {
                request = request.header("origin", origin);
            }
            let answer = server.send(request.body(Body::empty()).unwrap()).await;
            let asked = format!("{method} {path}: {answer:?}");
            for name in [
                "cache-control",
                "content-security-policy",
                "referrer-policy",
                "x-content-type-options",
                "x-request-id",
            ] {
                assert!(answer.headers.contains_key(name), "{name}: {asked}");
            }
            let vary = answer.headers.get_all("vary").iter();
            let by_origin = vary
                .into_iter()
                .any(|vary| vary.to_str().unwrap().contains("origin"));
            let public = path.starts_with("/.well-known/");
            assert_eq!(by_origin, !public, "{asked}");
        }
    }
}

async fn post(server: &TestServer, path: &str, kind: &str, token: &str, body: &[u8]) -> Answer {
    let mut request = Request::post(path).header("content-type", kind);
    if !token.is_empty() {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    server
        .send(request.body(Body::from(body.to_vec())).unwrap())
        .await
}

/// Returns a service, and a valid login body for it.
async fn good() -> (TestServer, String) {
    let server = TestServer::new().await;
    server.add_user("alice").await;
    let body = json!({ "username": "alice", "password": PASSWORD }).to_string();
    let answer = post(&server, "/login", JSON, "", body.as_bytes()).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    (server, body)
}

async fn login_refused(server: &TestServer, body: impl AsRef<[u8]>) {
    let body = body.as_ref();
    let answer = post(server, "/login", JSON, "", body).await;
    let name = String::from_utf8_lossy(body);
    is_problem(&name, &answer, 400, "invalid_request");
}

#[tokio::test]
async fn login_with_members_of_another_type() {
    let (server, _) = good().await;
    for wrong in [
        json!(null),
        json!(1),
        json!(true),
        json!(["alice"]),
        json!({ "0": "alice" }),
    ] {
        let username = json!({ "username": wrong, "password": PASSWORD });
        login_refused(&server, username.to_string()).await;
        let password = json!({ "username": "alice", "password": wrong });
        login_refused(&server, password.to_string()).await;
    }
}

#[tokio::test]
async fn login_with_a_member_too_few_too_many_or_twice() {
    let (server, good) = good().await;
    login_refused(&server, "{}").await;
    login_refused(&server, json!({ "username": "alice" }).to_string()).await;
    login_refused(&server, json!({ "password": PASSWORD }).to_string()).await;
    for more in [
        r#""remember":true"#,
        r#""":1"#,
        r#""Username":"alice""#,
        r#""username":"alice""#,
        r#""username":"bob""#,
        r#""\u0075sername":"alice""#,
        r#""password":"correct horse battery""#,
        r#""passwor\u0064":"x""#,
    ] {
        login_refused(&server, good.replace('}', &format!(",{more}}}"))).await;
        login_refused(&server, good.replace('{', &format!("{{{more},"))).await;
    }
}

#[tokio::test]
async fn login_with_json_other_than_an_object() {
    let (server, good) = good().await;
    for body in [
        format!(r#"[["username","alice"],["password","{PASSWORD}"]]"#),
        format!("[{good}]"),
        "[]".to_owned(),
        "null".to_owned(),
        "true".to_owned(),
        "1".to_owned(),
        json!(good).to_string(),
        " ".to_owned(),
        format!("username=alice&password={PASSWORD}"),
    ] {
        login_refused(&server, body).await;
    }
}

/// serde also reads a struct from an array, by position.
#[tokio::test]
async fn login_with_an_array_of_the_members() {
    let (server, _) = good().await;
    login_refused(&server, json!(["alice", PASSWORD]).to_string()).await;
}

#[tokio::test]
async fn login_with_broken_json() {
    let (server, good) = good().await;
    for length in 0..good.len() {
        login_refused(&server, &good[..length]).await;
    }
    for body in [
        format!("{good}{good}"),
        format!("{good}x"),
        format!("{good}\0"),
        format!("\u{feff}{good}"),
        format!("{good}/**/"),
        good.replace('}', ",}"),
        good.replace('"', "'"),
        good.replace("alice", r"\ud800"),
        good.replace("alice", "\n"),
        good.replace("\"alice\"", &"[".repeat(10_000)),
        good.replace(
            "\"alice\"",
            &format!("{}1{}", "[".repeat(1000), "]".repeat(1000)),
        ),
    ] {
        login_refused(&server, body).await;
    }
}

#[tokio::test]
async fn login_that_is_not_utf8() {
    let (server, good) = good().await;
    let (before, after) = good.as_bytes().split_at(good.find("correct").unwrap());
    for bytes in [&b"\xff"[..], b"\xc0\xaf", b"\xed\xa0\x80", b"\xc3"] {
        login_refused(&server, [before, bytes, after].concat()).await;
    }
    let utf16: Vec<u8> = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
    login_refused(&server, utf16).await;
}

#[tokio::test]
async fn a_body_of_another_media_type() {
    let (server, good) = good().await;
    let token = server.login("alice").await;
    for kind in [
        "application/x-www-form-urlencoded",
        "text/plain",
        "text/json",
        "multipart/form-data; boundary=x",
        "application/jsonx",
        "application/json, text/plain",
        "application/problem+json",
        "json",
        "*/*",
        "",
    ] {
        for (path, token, body) in [
            ("/login", "", good.as_str()),
            (
                "/login",
                "",
                "username=alice&password=correct+horse+battery",
            ),
            ("/logout", &token, r#"{"scope":"this"}"#),
        ] {
            let answer = post(&server, path, kind, token, body.as_bytes()).await;
            is_problem(kind, &answer, 415, "unsupported_media_type");
        }
    }
    assert_eq!(server.verify(&token).await, 200);
    for kind in [
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/json ;x",
    ] {
        let answer = post(&server, "/login", kind, "", good.as_bytes()).await;
        assert_eq!(answer.status, StatusCode::OK, "{kind}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_large() {
    let (server, good) = good().await;
    let token = server.login("alice").await;
    let padded = |body: &str, length: usize| format!("{body}{}", " ".repeat(length - body.len()));
    let bodies = [
        ("/login", "", good.as_str()),
        ("/logout", &token, r#"{"scope":"this"}"#),
    ];
    for (path, token, body) in bodies {
        for length in [MAX_BODY + 1, 1_000_000] {
            let body = padded(body, length);
            // The size is checked before the content type.
            for kind in [JSON, "text/plain"] {
                let streamed = post(&server, path, kind, token, body.as_bytes()).await;
                is_problem("streamed", &streamed, 413, "too_large");
                let request = Request::post(path)
                    .header("content-type", kind)
                    .header("content-length", length)
                    .header("authorization", format!("Bearer {token}"));
                let announced = request.body(Body::from(body.clone())).unwrap();
                is_problem("announced", &server.send(announced).await, 413, "too_large");
            }
        }
    }
    assert_eq!(server.verify(&token).await, 200);
    let largest = padded(&good, MAX_BODY);
    let answer = post(&server, "/login", JSON, "", largest.as_bytes()).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
}

async fn logout_refused(bodies: &[&[u8]]) {
    let (server, _) = good().await;
    let token = server.login("alice").await;
    for body in bodies {
        let answer = post(&server, "/logout", JSON, &token, body).await;
        let name = String::from_utf8_lossy(body);
        is_problem(&name, &answer, 400, "invalid_request");
        says_nothing(&name, &answer, &[&token]);
        assert_eq!(
            server.verify(&token).await,
            200,
            "{name}: the session ended"
        );
    }
}

#[tokio::test]
async fn logout_with_a_bad_body() {
    logout_refused(&[
        &b"{}"[..],
        br#"{"scope":null}"#,
        br#"{"scope":1}"#,
        br#"{"scope":""}"#,
        br#"{"scope":"everything"}"#,
        br#"{"scope":"All"}"#,
        br#"{"scope":"all "}"#,
        br#"{"scope":["all"]}"#,
        br#"{"TargetKind":"all"}"#,
        br#"{"scope":"this","user":"bob"}"#,
        br#"{"scope":"this","scope":"all"}"#,
        br#"{"scope":"this","\u0073cope":"this"}"#,
        br#"{"scope":"all""#,
        br#"{"scope":"all"}}"#,
        br#""all""#,
        b"all",
        b"null",
        b" ",
        b"{\"scope\":\"all\xff\"}",
    ])
    .await;
}

/// serde also reads a struct from an array, by position.
#[tokio::test]
async fn logout_with_an_array_of_the_members() {
    logout_refused(&[br#"["all"]"#]).await;
}

/// serde also reads a unit variant from an object.
#[tokio::test]
async fn logout_with_a_scope_that_is_an_object() {
    logout_refused(&[br#"{"scope":{"all":null}}"#]).await;
}

#[tokio::test]
async fn logout_without_a_good_token_is_refused_before_its_body() {
    let (server, _) = good().await;
    for (token, code) in [("", "no_credentials"), ("nonsense", "invalid_token")] {
        for body in [&b"{"[..], br#"{"scope":"all"}"#] {
            let answer = post(&server, "/logout", JSON, token, body).await;
            is_problem(code, &answer, 401, code);
        }
    }
}

#[tokio::test]
async fn another_method() {
    let (server, _) = good().await;
    for (path, allowed) in [
        ("/login", "POST"),
        ("/logout", "POST"),
        ("/session", "GET,HEAD"),
    ] {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"] {
            if allowed.contains(method) {
                continue;
            }
            let request = Request::builder().method(method).uri(path);
            let answer = server.send(request.body(Body::empty()).unwrap()).await;
            is_problem(
                &format!("{method} {path}"),
                &answer,
                405,
                "method_not_allowed",
            );
            assert_eq!(answer.headers["allow"], allowed);
        }
    }
}

#[tokio::test]
async fn another_path() {
    let (server, _) = good().await;
    let token = server.login("alice").await;
    for path in [
        "/login/",
        "//login",
        "/Login",
        "/login/x",
        "/verify/",
        "//verify",
        "/Verify",
        "/verify%2F",
        "/%76erify",
        "/./verify",
        "/x/../verify",
        "/verify;x",
        "/session/x",
        "/admin",
    ] {
        is_problem(path, &server.get(path, &token).await, 404, "not_found");
    }
}
