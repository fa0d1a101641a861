//! Cookies in an app built on the library: they count below the layer `waxseal.cookies()` and nowhere else.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::{AppendHeaders, IntoResponse};
use axum::routing::get;
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;
use waxseal::Session;
use waxseal::http::presented::Carrier;

use super::browser::{COOKIE, Jar, NOTHING, OWN_PAGE, cookie, jar, lineage, login, request};
use super::common::{Answer, TestServer};

const MINUTE: Duration = Duration::from_secs(60);
const THEMES: [&str; 2] = ["theme=dark; Path=/", "seen=1"];

/// An answer with the app's own cookies that a cache may keep.
fn answer(session: Option<&Session>) -> impl IntoResponse + use<> {
    let who = match session {
        None => "nobody".to_owned(),
        Some(session) => {
            let by = match session.carrier() {
                Carrier::Bearer => "bearer",
                Carrier::Cookie => "cookie",
                other => panic!("{other:?}"),
            };
            format!("{} by {by}", session.id().lineage)
        }
    };
    let own = THEMES.map(|theme| ("set-cookie", theme));
    (AppendHeaders(own), [("cache-control", "max-age=60")], who)
}

async fn must(session: Session) -> impl IntoResponse {
    answer(Some(&session))
}

async fn may(session: Option<Session>) -> impl IntoResponse {
    answer(session.as_ref())
}

async fn refuse(_: Session) -> StatusCode {
    StatusCode::UNAUTHORIZED
}

fn app(server: &TestServer) -> Router {
    Router::new()
        .route("/must", get(must).post(must))
        .route("/may", get(may).post(may))
        .route("/refuse", get(refuse))
        .with_state(server.waxseal.verifier())
}

async fn ask(app: &Router, request: Request<Body>) -> Answer {
    let response = app.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: body.collect().await.unwrap().to_bytes().to_vec(),
    }
}

async fn by_cookie(app: &Router, method: &str, path: &str, token: &str) -> Answer {
    let headers = [cookie(token), (OWN_PAGE.0, OWN_PAGE.1.to_owned())];
    ask(app, request(method, path, headers, &Value::Null)).await
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.body.clone()).unwrap()
}

fn has_its_own_cookies(answer: &Answer) -> bool {
    THEMES.iter().all(|theme| {
        let mut lines = answer.headers.get_all("set-cookie").iter();
        lines.any(|line| line == theme)
    })
}

async fn of_alice() -> (TestServer, String) {
    let server = TestServer::new().await;
    server.add_user("alice").await;
    let token = login(&server, "alice").await;
    (server, token)
}

#[tokio::test]
async fn a_cookie_is_ignored_without_the_layer() {
    let (server, token) = of_alice().await;
    let app = app(&server);
    for held in [&token, "nonsense", &format!("{token}; {COOKIE}={token}")] {
        for method in ["GET", "POST"] {
            let answer = by_cookie(&app, method, "/must", held).await;
            assert_eq!(answer.status, 401);
            assert_eq!(answer.code(), "no_credentials");
            assert_eq!(jar(&answer), Jar::Untouched);
            let answer = by_cookie(&app, method, "/may", held).await;
            assert_eq!(
                (answer.status.as_u16(), text(&answer).as_str()),
                (200, "nobody")
            );
        }
    }
    // Nor does a cookie invalidate a bearer token.
    let both = [
        cookie("another"),
        ("authorization", format!("Bearer {token}")),
    ];
    let answer = ask(&app, request("POST", "/must", both, &Value::Null)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(text(&answer).ends_with("by bearer"));
}

#[tokio::test]
async fn below_the_layer_a_cookie_is_read_touched_and_kept_from_caches() {
    let (server, token) = of_alice().await;
    let app = app(&server).layer(server.waxseal.cookies());
    for path in ["/must", "/may"] {
        let answer = by_cookie(&app, "POST", path, &token).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(
            text(&answer),
            format!("{} by cookie", lineage(&server, &token))
        );
        assert_eq!(jar(&answer), Jar::Untouched);
        assert_eq!(answer.headers["cache-control"], "max-age=60");
        assert!(has_its_own_cookies(&answer));
        let said = answer.headers["waxseal-session"].to_str().unwrap();
        assert!(said.starts_with("did=kept, "), "{said}");
    }
    server.pass(MINUTE).await;
    for path in ["/must", "/may"] {
        let answer = by_cookie(&app, "GET", path, &token).await;
        let Jar::Set(touched) = jar(&answer) else {
            panic!("{answer:?}")
        };
        assert_ne!(touched, token);
        assert_eq!(lineage(&server, &touched), lineage(&server, &token));
        assert!(has_its_own_cookies(&answer), "{answer:?}");
        assert_eq!(answer.headers.get_all("set-cookie").iter().count(), 3);
        let said = answer.headers["waxseal-session"].to_str().unwrap();
        assert!(said.starts_with("did=touched, "), "{said}");
    }
    let idle = [cookie(&token), ("waxseal-activity", "none".to_owned())];
    let answer = ask(&app, request("GET", "/must", idle, &Value::Null)).await;
    assert_eq!(
        (answer.status.as_u16(), jar(&answer)),
        (200, Jar::Untouched)
    );
}

#[tokio::test]
async fn below_the_layer_a_bad_cookie_is_refused_where_credentials_are_optional() {
    let (server, token) = of_alice().await;
    let app = app(&server).layer(server.waxseal.cookies());
    let nobody = ask(&app, request("GET", "/may", NOTHING, &Value::Null)).await;
    assert_eq!(text(&nobody), "nobody");
    assert!(has_its_own_cookies(&nobody));
    let dead = login(&server, "alice").await;
    server.post("/logout", Some(&dead), None).await;
    for path in ["/must", "/may"] {
        for held in [&dead, "nonsense", ""] {
            let answer = by_cookie(&app, "GET", path, held).await;
            assert_eq!(answer.code(), "invalid_token");
            assert_eq!((answer.status.as_u16(), jar(&answer)), (401, Jar::Cleared));
        }
        let twice = format!("{token}; {COOKIE}={token}");
        let answer = by_cookie(&app, "GET", path, &twice).await;
        assert_eq!(
            (answer.status.as_u16(), jar(&answer)),
            (400, Jar::Untouched)
        );
        for site in ["same-site", "cross-site", "none"] {
            let headers = [cookie(&token), ("sec-fetch-site", site.to_owned())];
            let answer = ask(&app, request("POST", path, headers, &Value::Null)).await;
            assert_eq!(answer.code(), "cross_site");
            assert_eq!(
                (answer.status.as_u16(), jar(&answer)),
                (403, Jar::Untouched)
            );
        }
        let headers = [cookie(&token)];
        let answer = ask(&app, request("POST", path, headers, &Value::Null)).await;
        assert_eq!(answer.status, 403);
    }
    server.clock.advance(waxseal::embedded::MAX_STALENESS);
    for path in ["/must", "/may"] {
        let answer = by_cookie(&app, "GET", path, &token).await;
        assert_eq!(
            (answer.status.as_u16(), jar(&answer)),
            (503, Jar::Untouched)
        );
    }
}

/// The app may have its own reasons to answer 401.
#[tokio::test]
async fn an_apps_own_401_does_not_take_a_good_cookie_away() {
    let (server, token) = of_alice().await;
    let app = app(&server).layer(server.waxseal.cookies());
    server.pass(MINUTE).await;
    let answer = by_cookie(&app, "GET", "/refuse", &token).await;
    assert_eq!(
        (answer.status.as_u16(), jar(&answer)),
        (401, Jar::Untouched)
    );
    assert_eq!(server.verify(&token).await, 200);
}
