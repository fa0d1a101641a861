//! Usernames and passwords that do not match a user.

use std::sync::Arc;

use axum::http::StatusCode;
use serde_json::json;
use waxseal::account::UserChange;
use waxseal::account::password::{Hasher, Password, PasswordHash};
use waxseal::id::UserId;
use waxseal::random::SeededRandom;

use super::{good, is_problem};
use crate::common::{Answer, CHEAP, PASSWORD, TestServer};

async fn log_in(server: &TestServer, username: &str, password: &str) -> Answer {
    let body = json!({ "username": username, "password": password });
    server.post("/login", None, Some(body)).await
}

async fn set_password(server: &TestServer, user: UserId, text: &str) {
    let hasher = Hasher::new(CHEAP, 1, Arc::new(SeededRandom::new(5))).unwrap();
    let chosen = Password::chosen(text.into(), "alice").unwrap();
    let hash = hasher.hash(chosen).await.unwrap();
    server.change_user(user, UserChange::Password(hash)).await;
}

#[tokio::test]
async fn passwords_that_are_too_long() {
    let (server, _) = good().await;
    for name in ["alice", "nobody"] {
        for length in [1025, 10_000] {
            let answer = log_in(&server, name, &"x".repeat(length)).await;
            is_problem(name, &answer, 400, "invalid_request");
        }
        // The limit counts bytes, not characters.
        let answer = log_in(&server, name, &"\u{e9}".repeat(513)).await;
        is_problem(name, &answer, 400, "invalid_request");
        let answer = log_in(&server, name, &"x".repeat(1_000_000)).await;
        is_problem(name, &answer, 413, "too_large");
    }
    let user = server.add_user("bob").await;
    let longest = &"correct horse battery ".repeat(50)[..1024];
    set_password(&server, user, longest).await;
    assert_eq!(log_in(&server, "bob", longest).await.status, StatusCode::OK);
    // Passwords are not truncated at 72 bytes as bcrypt would.
    for shorter in [72, 73, 255, 1023] {
        let answer = log_in(&server, "bob", &longest[..shorter]).await;
        is_problem("cut", &answer, 401, "invalid_credentials");
    }
}

/// A Mac and a PC, or two keyboards, encode one password in two ways.
#[tokio::test]
async fn one_password_typed_on_two_machines() {
    let server = TestServer::new().await;
    let user = server.add_user("alice").await;
    for (one, other) in [
        ("caf\u{e9} tisch lampe", "cafe\u{301} tisch lampe"),
        (
            "\u{1ead}p m\u{1eed} \u{111}\u{1ed3}ng",
            "a\u{323}\u{302}p mu\u{31b}\u{309} \u{111}o\u{302}\u{300}ng",
        ),
        (
            "\u{d328}\u{c2a4}\u{c6cc}\u{b4dc} \u{c5f4}\u{c1e0} 7kq",
            "\u{1111}\u{1162}\u{1109}\u{1173}\u{110b}\u{116f}\u{1103}\u{1173} \u{110b}\u{1167}\u{11af}\u{1109}\u{116c} 7kq",
        ),
        ("two plain horses", "two\u{3000}plain\u{a0}horses"),
    ] {
        for (chosen, presented) in [(one, other), (other, one)] {
            set_password(&server, user, chosen).await;
            for typed in [chosen, presented] {
                let answer = log_in(&server, "alice", typed).await;
                assert_eq!(answer.status, StatusCode::OK, "{chosen:?} {typed:?}");
            }
            let token = log_in(&server, "alice", presented).await.json();
            let token = token["access_token"].as_str().unwrap();
            let change = json!({ "current_password": presented, "new_password": "\u{fc}ber das gr\u{fc}ne" });
            let changed = server.post("/password", Some(token), Some(change)).await;
            assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
            let typed = "u\u{308}ber das gru\u{308}ne";
            assert_eq!(log_in(&server, "alice", typed).await.status, StatusCode::OK);
        }
    }
}

/// Older hashes are of the password as typed. A login with it replaces the hash with one of the normalized form.
#[tokio::test]
async fn a_password_that_was_set_before_it_was_normalized() {
    use argon2::password_hash::PasswordHasher;
    let server = TestServer::new().await;
    let user = server.add_user("alice").await;
    let (on_a_mac, on_a_pc) = ("cafe\u{301} tisch lampe", "caf\u{e9} tisch lampe");
    let params = argon2::Params::new(CHEAP.memory_kib, CHEAP.passes, 1, None).unwrap();
    let argon2 = argon2::Argon2::from(params);
    let before: argon2::password_hash::phc::PasswordHash = argon2
        .hash_password_with_salt(on_a_mac.as_bytes(), &[7; 16])
        .unwrap();
    let hash = PasswordHash::from_store(before.to_string());
    server.change_user(user, UserChange::Password(hash)).await;
    let answer = log_in(&server, "alice", on_a_pc).await;
    is_problem("it is not known yet", &answer, 401, "invalid_credentials");
    for typed in [on_a_mac, on_a_pc, on_a_mac] {
        let answer = log_in(&server, "alice", typed).await;
        assert_eq!(answer.status, StatusCode::OK, "{typed:?}");
    }
}

#[tokio::test]
async fn passwords_that_look_alike() {
    let server = TestServer::new().await;
    let user = server.add_user("alice").await;
    let forms = [
        "caf\u{e9} tisch lampe",
        "cafe tisch lampe",
        "caf\u{e9} tisch lampe\0",
        "caf\u{e9} tisch lampe\0x",
        "\0caf\u{e9} tisch lampe",
        "caf\u{e9} tisch lampe ",
        " caf\u{e9} tisch lampe",
        "Caf\u{e9} tisch lampe",
        "caf\u{e9} tisch lampe\n",
        "\u{ff43}af\u{e9} tisch lampe",
        "caf\u{e9} tisch\u{200b} lampe",
        "caf\u{e9}\ttisch lampe",
    ];
    for chosen in forms {
        set_password(&server, user, chosen).await;
        for presented in forms {
            let answer = log_in(&server, "alice", presented).await;
            if presented == chosen {
                assert_eq!(answer.status, StatusCode::OK, "{chosen:?}");
            } else {
                is_problem(presented, &answer, 401, "invalid_credentials");
            }
        }
        let answer = log_in(&server, "alice", "").await;
        is_problem("empty", &answer, 401, "invalid_credentials");
    }
}

#[tokio::test]
async fn malformed_usernames_are_refused() {
    let (server, _) = good().await;
    for name in [
        "",
        "alice\0",
        "\0alice",
        "al ice",
        "alice\u{200b}",
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
        let answer = log_in(&server, name, PASSWORD).await;
        is_problem(name, &answer, 401, "invalid_credentials");
    }
    let answer = log_in(&server, &"a".repeat(1_000_000), PASSWORD).await;
    is_problem("1 MB", &answer, 413, "too_large");
    assert_eq!(server.waxseal.accounts().users().await.unwrap().len(), 1);
    assert_eq!(
        log_in(&server, "alice", PASSWORD).await.status,
        StatusCode::OK
    );
}

/// Keyboards with autocompletion add a space, and pasted text has other white space.
#[tokio::test]
async fn usernames_with_white_space_around_them() {
    let (server, _) = good().await;
    for space in [" ", "   ", "\t", "\r\n", "\u{a0}", "\u{3000}", "\u{2028}"] {
        for name in [
            format!("alice{space}"),
            format!("{space}alice"),
            format!("{space} Alice {space}"),
        ] {
            let answer = log_in(&server, &name, PASSWORD).await;
            assert_eq!(answer.status, StatusCode::OK, "{name:?}");
            let answer = log_in(&server, &name, "wrong").await;
            is_problem(&name, &answer, 401, "invalid_credentials");
        }
        let answer = log_in(&server, space, PASSWORD).await;
        is_problem(space, &answer, 401, "invalid_credentials");
    }
}

#[tokio::test]
async fn every_failed_login_has_one_answer() {
    let (server, _) = good().await;
    let disabled = server.add_user("disabled").await;
    server.change_user(disabled, UserChange::Disable).await;
    let deleted = server.add_user("deleted").await;
    server.change_user(deleted, UserChange::Delete).await;
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
        let mut answer = log_in(&server, name, password).await;
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
