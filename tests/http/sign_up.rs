//! Sign-up of a user by an app: which input is accepted, and what a handler tells a refused user.

use axum::response::IntoResponse;
use http_body_util::BodyExt;
use serde_json::json;
use waxseal::http::problem::Problem;
use waxseal::issuer::SignUpError;

use super::common::{Answer, PASSWORD, TestServer};

/// Returns the answer that the caller of a handler gets.
async fn told(error: SignUpError) -> Answer {
    let (parts, body) = Problem::from(error).into_response().into_parts();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: body.collect().await.unwrap().to_bytes().to_vec(),
    }
}

#[tokio::test]
async fn a_new_user_can_log_in_at_once() {
    let server = TestServer::new().await;
    let user = server.waxseal.sign_up(" Alice\t", PASSWORD).await.unwrap();
    assert_eq!(user.username.as_str(), "alice");
    assert!(user.enabled);
    let token = server.login("alice").await;
    let session = server.get("/session", &token).await;
    assert_eq!(session.json()["subject"], json!(user.id));
}

#[tokio::test]
async fn a_refused_sign_up_says_why_and_adds_no_user() {
    let server = TestServer::new().await;
    server.waxseal.sign_up("alice", PASSWORD).await.unwrap();
    let long = "a".repeat(65);
    for (username, password, status, code) in [
        ("", PASSWORD, 400, "unacceptable_username"),
        (" ", PASSWORD, 400, "unacceptable_username"),
        ("b ob", PASSWORD, 400, "unacceptable_username"),
        ("bøb", PASSWORD, 400, "unacceptable_username"),
        (&long, PASSWORD, 400, "unacceptable_username"),
        ("bob", "short", 400, "unacceptable_password"),
        ("bob", "password1", 400, "unacceptable_password"),
        ("bob", &"x".repeat(1025), 400, "unacceptable_password"),
        ("robertina1", "robertina1", 400, "unacceptable_password"),
        ("bob", "bob@12345", 400, "unacceptable_password"),
        ("bob", "Issuer2024!", 400, "unacceptable_password"),
        ("alice", PASSWORD, 409, "username_taken"),
        ("ALICE ", "another horse battery", 409, "username_taken"),
    ] {
        let error = server
            .waxseal
            .sign_up(username, password)
            .await
            .unwrap_err();
        let said = error.to_string();
        assert_eq!(format!("{error:?}"), said);
        assert!(password.is_empty() || !said.contains(password), "{said}");
        let answer = told(error).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (status, code),
            "{username:?}"
        );
    }
    assert_eq!(server.waxseal.accounts().users().await.unwrap().len(), 1);
    // The first user's password stays in force.
    server.login("alice").await;
}

#[tokio::test]
async fn random_passwords_differ_and_can_be_set() {
    let server = TestServer::new().await;
    let [one, other] = [(); 2].map(|()| server.waxseal.random_password());
    assert_ne!(one, other);
    assert_eq!(one.len(), 22);
    server.waxseal.sign_up("admin", one).await.unwrap();
}
