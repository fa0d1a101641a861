//! An app built on the library whose handlers require a session, a client, either of them, or scopes.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::routing::get;
use http_body_util::BodyExt;
use tower::ServiceExt;
use waxseal::Session;
use waxseal::http::COOKIE_NAME;
use waxseal::http::principal::{Principal, Service};
use waxseal::http::scoped::{RequiredScopes, Scoped};

use super::common::{Answer, TestServer};
use super::fixture::{access_token, add_client, ask, token};

struct ReadOrders;

impl RequiredScopes for ReadOrders {
    const SCOPES: &'static [&'static str] = &["orders:read"];
}

struct ReadAndWrite;

impl RequiredScopes for ReadAndWrite {
    const SCOPES: &'static [&'static str] = &["orders:read", "orders:write"];
}

struct AnySession;

impl RequiredScopes for AnySession {
    const SCOPES: &'static [&'static str] = &["session"];
}

async fn session(session: Session) -> String {
    format!("session of {}", session.subject())
}

async fn maybe(session: Option<Session>) -> String {
    session.map_or_else(|| "nobody".to_owned(), |it| it.subject().to_string())
}

async fn service(service: Service) -> String {
    format!("service {} with {}", service.client(), service.scopes())
}

async fn either(principal: Principal) -> &'static str {
    match principal {
        Principal::Session(_) => "a session",
        Principal::Service(_) => "a service",
    }
}

async fn read(Scoped(who, ..): Scoped<ReadOrders>) -> &'static str {
    either(who).await
}

async fn write(Scoped(who, ..): Scoped<ReadAndWrite, Service>) -> String {
    service(who).await
}

async fn person(Scoped(who, ..): Scoped<AnySession, Session>) -> String {
    session(who).await
}

const PATHS: [&str; 7] = [
    "/session", "/maybe", "/service", "/either", "/read", "/write", "/person",
];

fn app(server: &TestServer) -> Router {
    Router::new()
        .route("/session", get(session))
        .route("/maybe", get(maybe))
        .route("/service", get(service))
        .route("/either", get(either))
        .route("/read", get(read))
        .route("/write", get(write))
        .route("/person", get(person))
        .with_state(server.waxseal.verifier())
}

async fn call(app: &Router, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: body.collect().await.unwrap().to_bytes().to_vec(),
    }
}

async fn with_token(app: &Router, path: &str, token: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    call(app, path, &[("authorization", &bearer)]).await
}

async fn statuses(app: &Router, token: &str) -> [u16; 7] {
    let mut statuses = [0; 7];
    for (status, path) in statuses.iter_mut().zip(PATHS) {
        *status = with_token(app, path, token).await.status.as_u16();
    }
    statuses
}

#[tokio::test]
async fn each_extractor_accepts_only_its_kind_of_token() {
    let server = TestServer::new().await;
    let alice = server.add_user("alice").await;
    let app = app(&server);
    let session = server.login("alice").await;
    let all = add_client(&server, "all", "orders:read orders:write", &[]).await;
    let reader = add_client(&server, "reader", "orders:read", &[]).await;
    let none = add_client(&server, "none", "", &[]).await;
    let named = add_client(&server, "named", "session", &[]).await;
    let (all_token, reader) = (token(&server, &all).await, token(&server, &reader).await);
    let (none, named) = (token(&server, &none).await, token(&server, &named).await);

    //               session maybe service either read write person
    assert_eq!(
        statuses(&app, &session).await,
        [200, 200, 401, 200, 403, 401, 200]
    );
    assert_eq!(
        statuses(&app, &all_token).await,
        [401, 401, 200, 200, 200, 200, 401]
    );
    assert_eq!(
        statuses(&app, &reader).await,
        [401, 401, 200, 200, 200, 403, 401]
    );
    assert_eq!(
        statuses(&app, &none).await,
        [401, 401, 200, 200, 403, 403, 401]
    );
    // A scope does not make a client's token a session.
    assert_eq!(
        statuses(&app, &named).await,
        [401, 401, 200, 200, 403, 403, 401]
    );

    let said = with_token(&app, "/write", &all_token).await.body;
    let expected = format!("service {} with orders:read orders:write", all.id);
    assert_eq!(String::from_utf8(said).unwrap(), expected);
    let said = with_token(&app, "/person", &session).await.body;
    assert_eq!(
        String::from_utf8(said).unwrap(),
        format!("session of {alice}")
    );
    assert_eq!(
        with_token(&app, "/either", &session).await.body,
        b"a session"
    );
    assert_eq!(
        with_token(&app, "/either", &all_token).await.body,
        b"a service"
    );
}

#[tokio::test]
async fn the_scope_of_the_token_counts_and_not_that_of_the_client() {
    let server = TestServer::new().await;
    let app = app(&server);
    let client = add_client(&server, "all", "orders:read orders:write", &[]).await;
    let narrow = access_token(&ask(&server, &client, &[("scope", "orders:read")]).await);
    assert_eq!(with_token(&app, "/read", &narrow).await.status, 200);
    assert_eq!(with_token(&app, "/write", &narrow).await.status, 403);
}

#[tokio::test]
async fn a_missing_scope_is_403_and_named() {
    let server = TestServer::new().await;
    server.add_user("alice").await;
    let app = app(&server);
    let client = add_client(&server, "reader", "orders:read", &[]).await;
    let token = token(&server, &client).await;
    let answer = with_token(&app, "/write", &token).await;
    assert_eq!(answer.status, 403);
    assert_eq!(answer.code(), "insufficient_scope");
    assert_eq!(answer.json()["scope"], "orders:read orders:write");
    assert_eq!(
        answer.headers["www-authenticate"],
        r#"Bearer realm="waxseal", error="insufficient_scope", scope="orders:read orders:write""#
    );
    let session = server.login("alice").await;
    let answer = with_token(&app, "/read", &session).await;
    assert_eq!(answer.json()["scope"], "orders:read");
}

#[tokio::test]
async fn missing_and_malformed_credentials_are_refused() {
    let server = TestServer::new().await;
    let app = app(&server);
    let of_another_scheme = [("authorization", "Basic YTpi")];
    let of_the_feed = Request::get("/revocations").header("authorization", "Basic YTpi");
    let answer = server.send(of_the_feed.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.code(), "no_credentials");
    for path in PATHS {
        for headers in [&[][..], &of_another_scheme] {
            let answer = call(&app, path, headers).await;
            if path == "/maybe" {
                assert_eq!(answer.body, b"nobody");
            } else {
                assert_eq!(
                    (answer.status.as_u16(), answer.code()),
                    (401, "no_credentials".to_owned())
                );
                let challenge = &answer.headers["www-authenticate"];
                assert_eq!(challenge, r#"Bearer realm="waxseal""#);
            }
        }
        let answer = with_token(&app, path, "nonsense").await;
        assert_eq!(answer.code(), "invalid_token");
        let two = [("authorization", "Bearer a"), ("authorization", "Bearer b")];
        assert_eq!(call(&app, path, &two).await.code(), "invalid_request");
    }
}

#[tokio::test]
async fn the_wrong_kind_of_token_gets_the_answer_of_any_bad_token() {
    let server = TestServer::new().await;
    server.add_user("alice").await;
    let app = app(&server);
    let client = add_client(&server, "billing", "", &[]).await;
    let bad = with_token(&app, "/session", "nonsense").await;
    let service = with_token(&app, "/session", &token(&server, &client).await).await;
    let session = with_token(&app, "/service", &server.login("alice").await).await;
    for answer in [service, session] {
        assert_eq!((answer.status, answer.body), (bad.status, bad.body.clone()));
        assert_eq!(answer.headers, bad.headers);
    }
}

#[tokio::test]
async fn a_token_for_another_service_reaches_nothing_here() {
    let server = TestServer::new().await;
    let app = app(&server);
    let audiences = ["https://orders.example"];
    let client = add_client(&server, "billing", "orders:read orders:write", &audiences).await;
    let token = token(&server, &client).await;
    assert_eq!(statuses(&app, &token).await, [401; 7]);
    // A service with that audience, with the same keys and the same log, accepts the token.
    let server = server
        .restart(|settings| settings.audience = audiences[0].to_owned())
        .await;
    let app = self::app(&server);
    assert_eq!(
        statuses(&app, &token).await,
        [401, 401, 200, 200, 200, 200, 401]
    );
}

/// Browsers carry cookies, and a browser is not a client.
#[tokio::test]
async fn a_services_token_in_the_session_cookie_is_refused() {
    let server = TestServer::new().await;
    server.add_user("alice").await;
    let app = app(&server).layer(server.waxseal.cookies());
    let client = add_client(&server, "billing", "orders:read orders:write", &[]).await;
    let (service, session) = (token(&server, &client).await, server.login("alice").await);
    let cookie = |token: &str| format!("{COOKIE_NAME}={token}");
    let own_page = ("sec-fetch-site", "same-origin");
    for path in PATHS {
        let answer = call(&app, path, &[("cookie", &cookie(&service)), own_page]).await;
        assert_eq!(answer.status, 401, "{path}");
        assert_eq!(answer.code(), "invalid_token", "{path}");
        // Also next to a bearer token of its own.
        let bearer = format!("Bearer {session}");
        let both = [("cookie", cookie(&service)), ("authorization", bearer)];
        let both = both.each_ref().map(|(name, value)| (*name, value.as_str()));
        assert_eq!(
            call(&app, path, &both).await.code(),
            "invalid_request",
            "{path}"
        );
    }
    let answer = call(&app, "/either", &[("cookie", &cookie(&session)), own_page]).await;
    assert_eq!(answer.body, b"a session");
}

#[tokio::test]
async fn client_tokens_cannot_use_session_resources_nor_sessions_the_feed() {
    let server = TestServer::new().await;
    server.add_user("alice").await;
    let client = add_client(&server, "billing", "session revocations:read", &[]).await;
    let (service, session) = (token(&server, &client).await, server.login("alice").await);
    assert_eq!(server.verify(&service).await, 200);
    for path in ["/session", "/sessions"] {
        assert_eq!(
            server.get(path, &service).await.code(),
            "invalid_token",
            "{path}"
        );
    }
    for path in ["/session/renew", "/logout"] {
        let answer = server.post(path, Some(&service), None).await;
        assert_eq!(answer.code(), "invalid_token", "{path}");
    }
    assert_eq!(server.get("/revocations", &service).await.status, 200);
    assert_eq!(
        server.get("/revocations", &session).await.code(),
        "invalid_token"
    );
    assert_eq!(server.verify(&service).await, 200, "nothing ended it");
}
