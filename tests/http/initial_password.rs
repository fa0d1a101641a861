//! An initial password: valid for one hour or until it is changed, and dead for good afterwards.

use std::time::Duration;

use serde_json::{Value, json};
use waxseal::account::UserChange;
use waxseal::account::password::{Hasher, Password};
use waxseal::random::SeededRandom;
use waxseal::time::{Clock, Timestamp};

use super::browser::{credentials, from_own_page, login};
use super::common::{Answer, CHEAP, PASSWORD, START, TestServer};
use super::password::{NEW, change, new_token};

const MEMBER: &str = "password_change_required_by";
const HOUR: Duration = Duration::from_secs(3600);
const MILLISECOND: Duration = Duration::from_millis(1);

/// A service whose first user has the initial password [`PASSWORD`], and bob, who has a password of his own.
async fn of_admin() -> TestServer {
    let server = TestServer::new().await;
    let added = server.waxseal.add_with_initial_password("admin", PASSWORD);
    let admin = added.await.unwrap();
    assert_eq!(admin.password_change_required_by, Some(START.plus(HOUR)));
    server.add_user("bob").await;
    server
}

async fn log_in(server: &TestServer, name: &str, password: &str) -> Answer {
    let body = json!({ "username": name, "password": password });
    server.post("/login", None, Some(body)).await
}

/// Returns the deadline that the answers to a login and to a session request give.
async fn required(server: &TestServer, name: &str, password: &str) -> Value {
    let answer = log_in(server, name, password).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = answer.json();
    let token = body["access_token"].as_str().unwrap();
    let sessions = server.get("/sessions", token).await.json();
    assert_eq!(sessions.get(MEMBER), body.get(MEMBER));
    body.get(MEMBER).cloned().unwrap_or_default()
}

async fn hash(password: &str) -> waxseal::account::password::PasswordHash {
    let hasher = Hasher::new(CHEAP, 1, std::sync::Arc::new(SeededRandom::new(5))).unwrap();
    let password = Password::chosen(password.into(), "admin").unwrap();
    hasher.hash(password).await.unwrap()
}

#[tokio::test]
async fn every_login_with_an_initial_password_says_its_deadline() {
    let by = json!(START.plus(HOUR));
    for by_operator in [false, true] {
        let server = of_admin().await;
        assert_eq!(required(&server, "admin", PASSWORD).await, by);
        assert_eq!(required(&server, "bob", PASSWORD).await, Value::Null);
        let cookie = from_own_page(
            &server,
            "POST",
            "/login",
            "",
            credentials("admin", "cookie"),
        );
        assert_eq!(cookie.await.json()[MEMBER], by);
        server.pass(HOUR - MILLISECOND).await;
        // In the answer to every login, not only the first.
        assert_eq!(required(&server, "admin", PASSWORD).await, by);
        if by_operator {
            let admin = server
                .waxseal
                .accounts()
                .user(&"admin".parse().unwrap())
                .await;
            let changed = UserChange::Password(hash(NEW).await);
            server
                .change_user(admin.unwrap().unwrap().id, changed)
                .await;
        } else {
            let token = server.login("admin").await;
            // Setting the same password again does not make it permanent.
            let same = Some(change(PASSWORD, PASSWORD));
            let same = server.post("/password", Some(&token), same).await;
            assert_eq!(same.status, 400);
            assert_eq!(same.code(), "unacceptable_password");
            let body = Some(change(PASSWORD, NEW));
            let changed = server.post("/password", Some(&token), body).await;
            assert!(changed.json().get(MEMBER).is_none());
            new_token(&changed, true);
        }
        assert_eq!(required(&server, "admin", NEW).await, Value::Null);
        server.pass(24 * HOUR).await;
        assert_eq!(required(&server, "admin", NEW).await, Value::Null);
    }
}

/// Asserts that the refusal is byte for byte that of a wrong password.
async fn is_dead(server: &TestServer) {
    let dead = log_in(server, "admin", PASSWORD).await;
    let wrong = log_in(server, "admin", "a wrong password").await;
    assert_eq!(
        (dead.status, dead.code()),
        (wrong.status, "invalid_credentials".to_owned())
    );
    assert_eq!(dead.body, wrong.body);
    assert_eq!(log_in(server, "bob", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn an_initial_password_expires_after_an_hour_and_its_sessions_continue() {
    let server = of_admin().await;
    server.pass(HOUR - Duration::from_secs(1)).await;
    let mine = login(&server, "admin").await;
    server.pass(Duration::from_secs(1)).await;
    is_dead(&server).await;
    assert_eq!(server.verify(&mine).await, 200);
    // Nor is it accepted as the current password of a change.
    let answer = server
        .post("/password", Some(&mine), Some(change(PASSWORD, NEW)))
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.code()),
        (403, "wrong_password".to_owned())
    );

    // Neither a clock set back nor a restart after it makes the password valid again.
    server.waxseal.compact().await.unwrap();
    let end = server.clock.now().millis();
    for back in [1, 2_500, 600_000, 3_599_000] {
        server.clock.step_to(Timestamp::from_millis(end - back));
        is_dead(&server).await;
    }
    let server = server.restart(|_| {}).await;
    is_dead(&server).await;
}
