//! When the session cookie is cleared, and when it is left alone.

use std::time::Duration;

use serde_json::{Value, json};

use super::browser::{Jar, cookie, from_own_page, jar, lineage, login, request, sql};
use super::common::TestServer;

async fn of_alice() -> TestServer {
    let server = TestServer::new().await;
    server.add_user("alice").await;
    server.add_user("bob").await;
    server
}

/// A client that logs out with both also holds a cookie, which is useless from then on.
#[tokio::test]
async fn a_logout_with_cookie_and_bearer_token_clears_the_cookie() {
    let server = of_alice().await;
    for scope in ["this", "all"] {
        let token = login(&server, "alice").await;
        let bearer = ("authorization", format!("Bearer {token}"));
        let logout = json!({ "scope": scope });
        let logout = request("POST", "/logout", [cookie(&token), bearer], &logout);
        let answer = server.send(logout).await;
        assert_eq!((answer.status.as_u16(), jar(&answer)), (204, Jar::Cleared));
    }
}

/// An app on the same origin keeps its data unless the settings say otherwise.
#[tokio::test]
async fn a_setting_decides_what_a_logout_clears_besides_the_cookie() {
    for (setting, header) in [
        ("cache", Some(r#""cache""#)),
        ("cache,storage", Some(r#""cache", "storage""#)),
        ("none", None),
    ] {
        let server =
            TestServer::with(|settings| settings.clear_site_data = setting.parse().unwrap());
        let server = server.await;
        server.add_user("alice").await;
        for path in ["/logout", "/sessions/"] {
            let token = login(&server, "alice").await;
            let (method, path) = match path {
                "/logout" => ("POST", path.to_owned()),
                _ => ("DELETE", format!("{path}{}", lineage(&server, &token))),
            };
            let answer = from_own_page(&server, method, &path, &token, Value::Null).await;
            assert_eq!((answer.status.as_u16(), jar(&answer)), (204, Jar::Cleared));
            let cleared = answer.headers.get("clear-site-data");
            let cleared = cleared.map(|value| value.to_str().unwrap());
            assert_eq!(cleared, header, "{setting}: {path}");
        }
    }
}

#[tokio::test]
async fn logging_out_clears_the_cookie_unless_the_session_continues() {
    let server = of_alice().await;
    for (scope, over) in [
        (Value::Null, true),
        (json!({ "scope": "this" }), true),
        (json!({ "scope": "all" }), true),
        (json!({ "scope": "others" }), false),
    ] {
        let token = login(&server, "alice").await;
        let answer = from_own_page(&server, "POST", "/logout", &token, scope.clone()).await;
        assert_eq!(answer.status, 204, "{answer:?}");
        assert!(answer.body.is_empty());
        let cleared = answer.headers.get("clear-site-data");
        if over {
            assert_eq!(jar(&answer), Jar::Cleared);
            // "cookies" would also clear those of sibling domains, and "executionContexts" reloads pages.
            assert_eq!(cleared.unwrap(), r#""cache""#, "{scope}");
            assert!(!answer.headers.contains_key("waxseal-session"));
        } else {
            assert_eq!((jar(&answer), cleared), (Jar::Untouched, None), "{scope}");
        }
        assert_eq!(server.verify(&token).await == 200, !over, "{scope}");
        let bearer = server.login("alice").await;
        let body = (!scope.is_null()).then_some(scope);
        let answer = server.post("/logout", Some(&bearer), body).await;
        assert_eq!(
            (answer.status.as_u16(), jar(&answer)),
            (204, Jar::Untouched)
        );
    }
}

#[tokio::test]
async fn a_refused_cookie_is_cleared_and_a_possibly_good_one_is_kept() {
    let server = of_alice().await;
    let (dead, alive) = (login(&server, "alice").await, login(&server, "alice").await);
    server.post("/logout", Some(&dead), None).await;
    for (method, path) in [
        ("GET", "/session"),
        ("GET", "/sessions"),
        ("POST", "/logout"),
        ("POST", "/session/renew"),
        ("POST", "/password"),
        ("DELETE", "/sessions/x"),
    ] {
        let answer = from_own_page(&server, method, path, &dead, Value::Null).await;
        assert_eq!(answer.status, 401, "{method} {path}");
        assert_eq!(jar(&answer), Jar::Cleared, "{method} {path}");
        assert!(!answer.headers.contains_key("clear-site-data"));
    }
    // `/verify` is called by a proxy, and a login in another tab can overtake a poll.
    for method in ["GET", "HEAD"] {
        let answer = from_own_page(&server, method, "/verify", &dead, Value::Null).await;
        assert_eq!(
            (answer.status.as_u16(), jar(&answer)),
            (401, Jar::Untouched)
        );
    }
    let headers = [cookie(&dead), ("waxseal-activity", "none".to_owned())];
    let poll = server
        .send(request("GET", "/session", headers, &Value::Null))
        .await;
    assert_eq!((poll.status.as_u16(), jar(&poll)), (401, Jar::Untouched));
    // A 401 for a bearer token says nothing about a cookie.
    for path in ["/session", "/sessions", "/verify"] {
        let answer = server.get(path, &dead).await;
        assert_eq!(
            (answer.status.as_u16(), jar(&answer)),
            (401, Jar::Untouched)
        );
    }
    // Nor does a refused login: the previous session continues.
    for held in [&dead, &alive] {
        let wrong = json!({ "username": "alice", "password": "wrong", "delivery": "cookie" });
        let answer = from_own_page(&server, "POST", "/login", held, wrong).await;
        assert_eq!(
            (answer.status.as_u16(), jar(&answer)),
            (401, Jar::Untouched)
        );
    }
    let kept = [
        (400, "POST", "/logout", json!({ "scope": "nonsense" })),
        (400, "POST", "/password", json!({})),
        (404, "DELETE", "/sessions/x", Value::Null),
        (405, "PUT", "/session", Value::Null),
    ];
    for (status, method, path, body) in kept {
        let answer = from_own_page(&server, method, path, &alive, body).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(jar(&answer), Jar::Untouched, "{method} {path}");
    }
    // From another site, the service does not even check whether the session is dead.
    for token in [&dead, &alive] {
        let headers = [cookie(token), ("sec-fetch-site", "cross-site".to_owned())];
        let answer = server
            .send(request("POST", "/logout", headers, &Value::Null))
            .await;
        assert_eq!(
            (answer.status.as_u16(), jar(&answer)),
            (403, Jar::Untouched)
        );
    }
    server.clock.advance(waxseal::embedded::MAX_STALENESS);
    for (method, path) in [("GET", "/session"), ("POST", "/logout")] {
        let answer = from_own_page(&server, method, path, &alive, Value::Null).await;
        assert_eq!(
            (answer.status.as_u16(), jar(&answer)),
            (503, Jar::Untouched)
        );
        assert!(!answer.headers.contains_key("clear-site-data"));
        // A session known to be dead stays known.
        let answer = from_own_page(&server, method, path, &dead, Value::Null).await;
        assert_eq!((answer.status.as_u16(), jar(&answer)), (401, Jar::Cleared));
    }
    server.pass(Duration::ZERO).await;
    assert_eq!(server.verify(&alive).await, 200);
}

#[tokio::test]
async fn a_logout_that_could_not_be_written_leaves_the_browser_all_it_needs_to_try_again() {
    let server = of_alice().await;
    let token = login(&server, "alice").await;
    sql(
        &server,
        "CREATE TRIGGER full BEFORE INSERT ON revocation BEGIN SELECT RAISE(ABORT, 'full'); END",
    )
    .await;
    for body in [
        Value::Null,
        json!({ "scope": "all" }),
        json!({ "scope": "others" }),
    ] {
        let answer = from_own_page(&server, "POST", "/logout", &token, body).await;
        assert_eq!(
            (answer.status.as_u16(), jar(&answer)),
            (503, Jar::Untouched)
        );
        assert_eq!(answer.headers["retry-after"], "1");
        assert!(!answer.headers.contains_key("clear-site-data"));
    }
    sql(&server, "DROP TRIGGER full").await;
    let answer = from_own_page(&server, "POST", "/logout", &token, Value::Null).await;
    assert_eq!((answer.status.as_u16(), jar(&answer)), (204, Jar::Cleared));
}
