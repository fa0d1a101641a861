//! Names and passwords that are not somebody's.

use std::sync::Arc;

use axum::http::StatusCode;
use serde_json::json;
use waxseal::account::UserChange;
use waxseal::account::password::{Hasher, Password};
use waxseal::id::UserId;
use waxseal::random::SeededRandom;

use super::{good, is_problem};
use crate::common::{Answer, CHEAP, House, PASSWORD};

async fn log_in(house: &House, username: &str, password: &str) -> Answer {
    let body = json!({ "username": username, "password": password });
    house.post("/login", None, Some(body)).await
}

async fn set_password(house: &House, user: UserId, text: &str) {
    let hasher = Hasher::new(CHEAP, 1, Arc::new(SeededRandom::new(5))).unwrap();
    let chosen = Password::chosen(text.into(), "alice").unwrap();
    let hash = hasher.hash(chosen).await.unwrap();
    house.change_user(user, UserChange::Password(hash)).await;
}

#[tokio::test]
async fn passwords_that_are_too_long() {
    let (house, _) = good().await;
    for name in ["alice", "nobody"] {
        for length in [1025, 10_000] {
            let answer = log_in(&house, name, &"x".repeat(length)).await;
            is_problem(name, &answer, 400, "invalid_request");
        }
        // Bytes are counted, not characters.
        let answer = log_in(&house, name, &"\u{e9}".repeat(513)).await;
        is_problem(name, &answer, 400, "invalid_request");
        let answer = log_in(&house, name, &"x".repeat(1_000_000)).await;
        is_problem(name, &answer, 413, "too_large");
    }
    let user = house.add_user("bob").await;
    let longest = &"correct horse battery ".repeat(50)[..1024];
    set_password(&house, user, longest).await;
    assert_eq!(log_in(&house, "bob", longest).await.status, StatusCode::OK);
    // Not cut at 72 bytes as bcrypt would.
    for shorter in [72, 73, 255, 1023] {
        let answer = log_in(&house, "bob", &longest[..shorter]).await;
        is_problem("cut", &answer, 401, "invalid_credentials");
    }
}

#[tokio::test]
async fn passwords_that_look_alike() {
    let house = House::new().await;
    let user = house.add_user("alice").await;
    let forms = [
        "caf\u{e9} tisch lampe",
        "cafe\u{301} tisch lampe",
        "caf\u{e9} tisch lampe\0",
        "caf\u{e9} tisch lampe\0x",
        "\0caf\u{e9} tisch lampe",
        "caf\u{e9} tisch lampe ",
        " caf\u{e9} tisch lampe",
        "Caf\u{e9} tisch lampe",
        "caf\u{e9} tisch lampe\n",
        "\u{ff43}af\u{e9} tisch lampe",
    ];
    for chosen in forms {
        set_password(&house, user, chosen).await;
        for presented in forms {
            let answer = log_in(&house, "alice", presented).await;
            if presented == chosen {
                assert_eq!(answer.status, StatusCode::OK, "{chosen:?}");
            } else {
                is_problem(presented, &answer, 401, "invalid_credentials");
            }
        }
        let answer = log_in(&house, "alice", "").await;
        is_problem("empty", &answer, 401, "invalid_credentials");
    }
}

#[tokio::test]
async fn usernames_that_are_none() {
    let (house, _) = good().await;
    for name in [
        "",
        "alice\0",
        "\0alice",
        " alice",
        "alice ",
        "al\u{131}ce",
        "\u{ff41}lice",
        "alice'--",
        "' OR '1'='1",
        "alice'; DROP TABLE users; --",
        "alice\" OR \"\"=\"",
        "%",
        "al%",
        "_lice",
        "*",
        "alice)(|(uid=*",
        "../alice",
        &"a".repeat(65),
        &"a".repeat(10_000),
    ] {
        let answer = log_in(&house, name, PASSWORD).await;
        is_problem(name, &answer, 401, "invalid_credentials");
    }
    let answer = log_in(&house, &"a".repeat(1_000_000), PASSWORD).await;
    is_problem("1 MB", &answer, 413, "too_large");
    assert_eq!(house.waxseal.accounts().users().await.unwrap().len(), 1);
    assert_eq!(
        log_in(&house, "alice", PASSWORD).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn every_failed_login_has_one_answer() {
    let (house, _) = good().await;
    let disabled = house.add_user("disabled").await;
    house.change_user(disabled, UserChange::Disable).await;
    let deleted = house.add_user("deleted").await;
    house.change_user(deleted, UserChange::Delete).await;
    let mut answers = Vec::new();
    for (name, password) in [
        ("alice", "wrong"),
        ("alice", ""),
        ("alice", "correct horse batterx"),
        ("nobody", PASSWORD),
        ("nobody", "wrong"),
        ("disabled", PASSWORD),
        ("disabled", "wrong"),
        ("deleted", PASSWORD),
        ("", ""),
        ("no name", PASSWORD),
        ("' OR 1=1 --", "wrong"),
    ] {
        let mut answer = log_in(&house, name, password).await;
        is_problem(name, &answer, 401, "invalid_credentials");
        for own in ["x-request-id", "date"] {
            answer.headers.remove(own);
        }
        answers.push((name, answer.headers, answer.body));
    }
    let (_, headers, body) = &answers[0];
    for (name, other_headers, other_body) in &answers {
        assert_eq!(other_headers, headers, "{name}");
        assert_eq!(other_body, body, "{name}");
    }
}
