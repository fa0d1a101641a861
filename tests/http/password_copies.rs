//! Copies of a token from before a password change: what their holder can do.

use std::time::Duration;

use serde_json::Value;
use waxseal::time::Clock;

use super::browser::{Jar, credentials, from_own_page, jar, lineage, request};
use super::common::{PASSWORD, TestServer};
use super::password::{NEW, by_cookie, change, id, logs_in, new_token, of_alice_and_bob};

/// Every way to present a copy of the token.
const WAYS: [(&str, &str, bool); 12] = [
    ("GET", "/verify", true),
    ("GET", "/verify", false),
    ("GET", "/session", true),
    ("GET", "/session", false),
    ("GET", "/sessions", false),
    ("POST", "/session/renew", true),
    ("POST", "/session/renew", false),
    ("POST", "/logout", true),
    ("POST", "/logout", false),
    ("POST", "/password", true),
    ("POST", "/password", false),
    ("DELETE", "/sessions/", true),
];

/// The copy gains nothing and costs the owner nothing: its holder cannot log the owner out either.
#[tokio::test]
async fn a_copy_of_the_old_token_gains_nothing_and_ends_nothing() {
    for bearer in [false, true] {
        let mut server = of_alice_and_bob().await;
        let copy = server.login("alice").await;
        let lineage = lineage(&server, &copy);
        let body = change(PASSWORD, NEW);
        let answer = match bearer {
            true => server.post("/password", Some(&copy), Some(body)).await,
            false => by_cookie(&server, &copy, body).await,
        };
        let mine = new_token(&answer, bearer);
        for again in [
            "at once",
            "after a restart",
            "by a clock that was set back",
            "later",
        ] {
            match again {
                "after a restart" => server = server.restart(|_| {}).await,
                "by a clock that was set back" => {
                    let start = server.clock.now();
                    server
                        .clock
                        .step_to(start.minus(Duration::from_millis(1500)));
                }
                "later" => server.pass(Duration::from_secs(100)).await,
                _ => {}
            }
            for (method, path, by_bearer) in WAYS {
                let what = format!("{method} {path}, {by_bearer}, {again}");
                let path = match path {
                    "/sessions/" => &format!("/sessions/{lineage}"),
                    path => path,
                };
                // The thief knows the passwords too.
                let body = match path {
                    "/password" => change(NEW, "a third horse entirely"),
                    _ => Value::Null,
                };
                let presented = if by_bearer {
                    let bearer = [("authorization", format!("Bearer {copy}"))];
                    server.send(request(method, path, bearer, &body)).await
                } else {
                    from_own_page(&server, method, path, &copy, body).await
                };
                assert_eq!(presented.status, 401, "{what}: {presented:?}");
                assert_eq!(presented.code(), "invalid_token", "{what}");
                // The browser may already hold the new cookie.
                assert_eq!(jar(&presented), Jar::Untouched, "{what}");
                assert_eq!(server.verify(&mine).await, 200, "{what}");
            }
            // A login with the copied cookie ends only the session that it replaces.
            let body = credentials("bob", "cookie");
            let login = from_own_page(&server, "POST", "/login", &copy, body).await;
            assert_eq!(login.status, 200, "{login:?}");
            assert_eq!(server.verify(&mine).await, 200, "{again}");
        }
        assert_eq!(logs_in(&server, "alice", NEW).await, 200);
        // The session continues like any other: it is touched, and renewed with a grace.
        let mut mine = mine;
        for (seconds, generation) in [(700, 1), (700, 1), (700, 2)] {
            server.pass(Duration::from_secs(seconds)).await;
            let visit = from_own_page(&server, "GET", "/session", &mine, Value::Null).await;
            let Jar::Set(token) = jar(&visit) else {
                panic!("{visit:?}")
            };
            assert_eq!(id(&server, &token).generation, generation);
            assert_eq!(server.verify(&mine).await, 200);
            mine = token;
        }
    }
}

/// A thief with a copy renews it as fast as possible while the owner changes the password.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_copied_token_is_refused_after_a_hundred_of_a_hundred_changes() {
    let server = TestServer::with(|settings| {
        settings.timeouts.renewal = Duration::from_secs(60);
        settings.timeouts.touch_interval = Duration::from_secs(1);
    });
    let server = server.await;
    server.add_user("alice").await;
    let passwords = [PASSWORD, NEW];
    let mut mine = server.login("alice").await;
    for round in 0..100 {
        // In every other round a renewal is due, and the thief may be the first to get the next session ID.
        let pause = if round % 2 == 0 { 61 } else { 2 };
        server.pass(Duration::from_secs(pause)).await;
        let (current, new) = (passwords[round % 2], passwords[(round + 1) % 2]);
        let change = server.post("/password", Some(&mine), Some(change(current, new)));
        let steal = async {
            let mut gained = Vec::new();
            for _ in 0..3 {
                let answer = server.post("/session/renew", Some(&mine), None).await;
                if answer.status == 200 {
                    gained.push(new_token(&answer, true));
                }
                tokio::task::yield_now().await;
            }
            gained
        };
        let (changed, gained) = tokio::join!(change, steal);
        let was = std::mem::replace(&mut mine, new_token(&changed, true));
        for copy in gained.iter().chain([&was]) {
            assert_eq!(server.verify(copy).await, 401, "{round}");
            let renewed = server.post("/session/renew", Some(copy), None).await;
            assert_eq!(renewed.status, 401, "{round}");
        }
        assert_eq!(server.verify(&mine).await, 200, "{round}");
    }
}
