//! Password changes: which sessions continue, which end, and which passwords are accepted.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use waxseal::account::UserChange;
use waxseal::id::SessionId;

use super::browser::{Jar, from_own_page, jar, lineage, listed, login, request, sql};
use super::common::{Answer, PASSWORD, TestServer};

pub const NEW: &str = "another horse entirely";

pub async fn of_alice_and_bob() -> TestServer {
    let server = TestServer::new().await;
    server.add_user("alice").await;
    server.add_user("bob").await;
    server
}

pub fn change(current: &str, new: &str) -> Value {
    json!({ "current_password": current, "new_password": new })
}

pub async fn by_cookie(server: &TestServer, token: &str, body: Value) -> Answer {
    from_own_page(server, "POST", "/password", token, body).await
}

pub fn id(server: &TestServer, token: &str) -> SessionId {
    server
        .waxseal
        .verifier()
        .verify(token)
        .unwrap()
        .session_id()
}

/// Returns the status of a login with `password`.
pub async fn logs_in(server: &TestServer, name: &str, password: &str) -> u16 {
    let body = json!({ "username": name, "password": password });
    server
        .post("/login", None, Some(body))
        .await
        .status
        .as_u16()
}

/// Returns the token under which the session continues after a change.
pub fn new_token(answer: &Answer, bearer: bool) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = answer.json();
    let in_body = body["access_token"].as_str().map(str::to_owned);
    let in_cookie = match jar(answer) {
        Jar::Set(token) => Some(token),
        Jar::Untouched => None,
        Jar::Cleared => panic!("{answer:?}"),
    };
    // In one place only.
    let (token, nothing) = if bearer {
        assert_eq!(body["token_type"], "Bearer");
        (in_body, in_cookie)
    } else {
        let said = answer.headers["waxseal-session"].to_str().unwrap();
        assert!(said.starts_with("did=renewed, "), "{said}");
        (in_cookie, in_body)
    };
    assert_eq!(nothing, None);
    token.unwrap()
}

/// Asserts that the answer contains no password, token or hash.
fn says_no_secret(answer: &Answer, secrets: &[&str]) {
    let said = format!(
        "{:?} {}",
        answer.headers,
        String::from_utf8_lossy(&answer.body)
    );
    for secret in secrets.iter().chain(&["$argon2", "password_hash"]) {
        assert!(!said.contains(secret), "{said}");
    }
}

#[tokio::test]
async fn a_new_password_ends_all_sessions_but_the_one_that_set_it() {
    for bearer in [false, true] {
        let server = of_alice_and_bob().await;
        let before = server.login("alice").await;
        let mine = login(&server, "alice").await;
        let after = login(&server, "alice").await;
        let bobs = server.login("bob").await;
        let answer = if bearer {
            let body = Some(change(PASSWORD, NEW));
            server.post("/password", Some(&mine), body).await
        } else {
            by_cookie(&server, &mine, change(PASSWORD, NEW)).await
        };
        assert!(!answer.headers.contains_key("clear-site-data"));
        says_no_secret(&answer, &[PASSWORD, NEW, &mine]);
        let (was, mine) = (mine, new_token(&answer, bearer));
        let (sid, before_sid) = (id(&server, &mine), answer.json()["session"]["id"].clone());
        assert_eq!((sid.generation, before_sid), (1, json!(sid.to_string())));
        assert_eq!(server.verify(&was).await, 401);
        for token in [&before, &after] {
            assert_eq!(server.verify(token).await, 401);
        }
        for token in [&mine, &bobs] {
            assert_eq!(server.verify(token).await, 200);
        }
        assert_eq!(listed(&server, &mine).await, [lineage(&server, &mine)]);
        assert_eq!(logs_in(&server, "alice", PASSWORD).await, 401);
        assert_eq!(logs_in(&server, "alice", NEW).await, 200);
        assert_eq!(logs_in(&server, "bob", PASSWORD).await, 200);
        // After a restart too.
        let server = server.restart(|_| {}).await;
        assert_eq!(server.verify(&mine).await, 200);
        for token in [&was, &before, &after] {
            assert_eq!(server.verify(token).await, 401);
        }
        assert_eq!(logs_in(&server, "alice", PASSWORD).await, 401);
        assert_eq!(logs_in(&server, "alice", NEW).await, 200);
    }
}

#[tokio::test]
async fn a_wrong_current_password_changes_nothing_and_costs_no_session() {
    let server = of_alice_and_bob().await;
    let (mine, other) = (login(&server, "alice").await, server.login("alice").await);
    for wrong in [
        "",
        "wrong",
        "Correct horse battery",
        "correct horse battery ",
        "correct horse batter",
        "correct horse battery\0",
        NEW,
    ] {
        // The new password is not checked if the current one is wrong.
        for new in [NEW, "shorter", "12345678", &"x".repeat(2000)] {
            let answer = by_cookie(&server, &mine, change(wrong, new)).await;
            assert_eq!(answer.status, 403, "{wrong:?}: {answer:?}");
            assert_eq!(answer.code(), "wrong_password");
            assert_eq!(jar(&answer), Jar::Untouched);
            assert!(!answer.headers.contains_key("clear-site-data"));
            assert!(!answer.headers.contains_key("www-authenticate"));
            says_no_secret(&answer, &[new, &mine]);
        }
    }
    for token in [&mine, &other] {
        assert_eq!(server.verify(token).await, 200);
    }
    assert_eq!(logs_in(&server, "alice", PASSWORD).await, 200);
}

#[tokio::test]
async fn a_password_is_long_enough_and_uncommon_and_no_more_is_asked_of_it() {
    let server = of_alice_and_bob().await;
    server.add_user("wilhelmina").await;
    let mine = login(&server, "wilhelmina").await;
    let common = "too common";
    let expected = "made from the username";
    let short = "at least 8 characters";
    let long = "at most 1024 bytes";
    let not = [
        ("", short),
        ("x7!Kq2z", short),
        // Characters, not bytes: these are seven characters.
        ("пароль!", short),
        ("🦭🦭🦭🦭🦭🦭🦭", short),
        (&*"x7!Kq".repeat(205), long),
        (&*"ü".repeat(513), long),
        (&*"x7!Kq".repeat(2000), long),
        ("password", common),
        ("Password1!", common),
        ("P@ssw0rd", common),
        ("12345678", common),
        ("qwertyuiop", common),
        ("aaaaaaaaaaaaaaaa", common),
        ("letmein1", common),
        ("Admin@123", common),
        ("Welcome2024!", common),
        ("Test@12345", common),
        ("wilhelmina", expected),
        ("WILHELMINA", expected),
        ("W1lhelmina@12345", expected),
        ("animlehliw", expected),
        ("waxseal1", expected),
        ("Issuer@2024", expected),
    ];
    for (new, why) in not {
        let answer = by_cookie(&server, &mine, change(PASSWORD, new)).await;
        assert_eq!(answer.status, 400, "{new:?}: {answer:?}");
        assert_eq!(answer.code(), "unacceptable_password", "{new:?}");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(why), "{new:?}: {detail}");
        assert_eq!(jar(&answer), Jar::Untouched);
        if new.len() > 8 {
            says_no_secret(&answer, &[new, PASSWORD, &mine]);
        }
    }
    assert_eq!(logs_in(&server, "wilhelmina", PASSWORD).await, 200);
    let mixed = |n: u32| n * n * 31 + n * 7919;
    let two_bytes_each = |length: u32| {
        let letter = |n| char::from_u32(0x400 + mixed(n) % 256).unwrap();
        (0..length).map(letter).collect::<String>()
    };
    let exactly = |length: u32| {
        let letter = |n| char::from_u32(0x21 + mixed(n) % 94).unwrap();
        (0..length).map(letter).collect::<String>()
    };
    let good = [
        "vgxqkzpw",
        "VGXQKZPW",
        "40917735286",
        "   qzv kxw   ",
        "ein pferd, zwei pferde",
        "пароль моей бабушки",
        "パスワードは秘密です",
        "🦭🐙🦞🦀🐡🐠🐟🐬",
        "nul\0 in the middle of it",
        "\u{202e}backwards and forwards",
        "\"quotes\" and \\backslashes\\",
        &exactly(64),
        &exactly(65),
        &exactly(200),
        &exactly(1024),
        &two_bytes_each(512),
        "the last one of them",
    ];
    let (mut current, mut mine) = (PASSWORD, mine);
    for new in good {
        let answer = by_cookie(&server, &mine, change(current, new)).await;
        assert_eq!(answer.status, 200, "{new:?}: {answer:?}");
        mine = new_token(&answer, false);
        assert_eq!(logs_in(&server, "wilhelmina", new).await, 200, "{new:?}");
        assert_eq!(logs_in(&server, "wilhelmina", current).await, 401);
        // Nothing is truncated or trimmed.
        let mut less = new.to_owned();
        less.pop();
        for near in [less.as_str(), &format!("{new} "), &format!(" {new}")] {
            let status = logs_in(&server, "wilhelmina", near).await;
            assert!([400, 401].contains(&status), "{near:?}");
        }
        current = new;
    }
}

#[tokio::test]
async fn a_body_that_is_not_what_the_resource_takes_changes_nothing() {
    let server = of_alice_and_bob().await;
    let mine = login(&server, "alice").await;
    let good = change(PASSWORD, NEW).to_string();
    let more = |member: &str| good.replace('}', &format!(",{member}}}"));
    let bodies = [
        String::new(),
        "{}".to_owned(),
        "null".to_owned(),
        "[]".to_owned(),
        json!([PASSWORD, NEW]).to_string(),
        json!([["current_password", PASSWORD], ["new_password", NEW]]).to_string(),
        format!("[{good}]"),
        json!(good).to_string(),
        json!({ "current_password": PASSWORD }).to_string(),
        json!({ "new_password": NEW }).to_string(),
        json!({ "current_password": PASSWORD, "new_password": null }).to_string(),
        json!({ "current_password": PASSWORD, "new_password": [NEW] }).to_string(),
        json!({ "current_password": PASSWORD, "new_password": { NEW: null } }).to_string(),
        json!({ "current_password": [PASSWORD], "new_password": NEW }).to_string(),
        json!({ "current_password": true, "new_password": 12345678 }).to_string(),
        more(r#""username":"bob""#),
        more(r#""user":"bob""#),
        more(r#""delivery":"cookie""#),
        more(r#""new_password":"yet another horse""#),
        more(r#""current_password":"x""#),
        more(r#""ne\u0077_password":"yet another horse""#),
        good.replace("new_password", "New_password"),
        good.replace("new_password", "newPassword"),
        good.replace('}', ""),
        format!("{good}}}"),
        format!("current_password={PASSWORD}&new_password={NEW}"),
    ];
    for body in &bodies {
        for kind in ["application/json", "text/plain"] {
            let ask = Request::post("/password")
                .header("authorization", format!("Bearer {mine}"))
                .header("content-type", kind);
            let answer = server
                .send(ask.body(Body::from(body.clone())).unwrap())
                .await;
            let other_type = kind == "text/plain" && !body.is_empty();
            let (status, code) = if other_type {
                (415, "unsupported_media_type")
            } else {
                (400, "invalid_request")
            };
            assert_eq!(answer.status, status, "{body}: {answer:?}");
            assert_eq!(answer.code(), code, "{body}");
            says_no_secret(&answer, &[PASSWORD, NEW, "yet another horse", &mine]);
        }
    }
    let long = change(PASSWORD, &"x".repeat(17_000));
    let answer = by_cookie(&server, &mine, long).await;
    assert_eq!(
        (answer.status.as_u16(), jar(&answer)),
        (413, Jar::Untouched)
    );
    // A request without credentials changes no password.
    let nobody = request(
        "POST",
        "/password",
        super::browser::NOTHING,
        &change(PASSWORD, NEW),
    );
    assert_eq!(server.send(nobody).await.code(), "no_credentials");
    assert_eq!(server.verify(&mine).await, 200);
    for name in ["alice", "bob"] {
        assert_eq!(logs_in(&server, name, PASSWORD).await, 200);
    }
}

/// Without the check, the second of two that read the same old password would overwrite the first's change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_concurrent_password_changes_succeeds() {
    for round in 0..20 {
        let server = of_alice_and_bob().await;
        let first = server.login("alice").await;
        let second = if round % 2 == 0 {
            first.clone()
        } else {
            server.login("alice").await
        };
        let passwords = ["the first horse entirely", "the second horse entirely"];
        let (one, two) = tokio::join!(
            server.post(
                "/password",
                Some(&first),
                Some(change(PASSWORD, passwords[0]))
            ),
            server.post(
                "/password",
                Some(&second),
                Some(change(PASSWORD, passwords[1]))
            ),
        );
        let won: Vec<_> = [&one, &two]
            .iter()
            .map(|answer| answer.status == 200)
            .collect();
        assert_eq!(
            won.iter().filter(|won| **won).count(),
            1,
            "{round}: {one:?} {two:?}"
        );
        for (won, (password, (answer, token))) in won
            .iter()
            .zip(passwords.iter().zip([(&one, &first), (&two, &second)]))
        {
            let status = logs_in(&server, "alice", password).await;
            assert_eq!(status == 200, *won, "{round}");
            // In the session that changed the password, only the new token stays valid.
            assert_eq!(server.verify(token).await, 401, "{round}");
            if *won {
                let token = new_token(answer, true);
                assert_eq!(server.verify(&token).await, 200, "{round}");
            } else {
                let code = answer.code();
                assert!(
                    ["wrong_password", "invalid_token"].contains(&code.as_str()),
                    "{round}: {answer:?}"
                );
            }
        }
        assert_eq!(logs_in(&server, "alice", PASSWORD).await, 401);
    }
}

/// A login that read the old password before the change must not be alive afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_with_the_old_password_that_races_the_change_loses() {
    let server = of_alice_and_bob().await;
    let mut mine = server.login("alice").await;
    let passwords = [PASSWORD, NEW];
    for round in 0..20 {
        let (current, new) = (passwords[round % 2], passwords[(round + 1) % 2]);
        let old = json!({ "username": "alice", "password": current });
        let logins = async {
            let mut answers = Vec::new();
            for _ in 0..4 {
                answers.push(server.post("/login", None, Some(old.clone())).await);
            }
            answers
        };
        let (changed, answers) = tokio::join!(
            server.post("/password", Some(&mine), Some(change(current, new))),
            logins
        );
        mine = new_token(&changed, true);
        for answer in answers {
            if answer.status == 200 {
                let body = answer.json();
                let token = body["access_token"].as_str().unwrap();
                assert_eq!(server.verify(token).await, 401, "{round}");
            } else {
                assert_eq!(answer.status, 401, "{round}");
            }
        }
        assert_eq!(server.verify(&mine).await, 200, "{round}");
    }
}

#[tokio::test]
async fn a_password_change_that_is_not_written_has_no_effect() {
    let server = of_alice_and_bob().await;
    let (mine, other) = (login(&server, "alice").await, server.login("alice").await);
    let trigger = "CREATE TRIGGER full BEFORE INSERT ON revocation
        BEGIN SELECT RAISE(ABORT, 'full'); END";
    sql(&server, trigger).await;
    let answer = by_cookie(&server, &mine, change(PASSWORD, NEW)).await;
    assert_eq!(
        (answer.status.as_u16(), jar(&answer)),
        (503, Jar::Untouched)
    );
    assert_eq!(answer.headers["retry-after"], "1");
    says_no_secret(&answer, &[PASSWORD, NEW, "full"]);
    sql(&server, "DROP TRIGGER full").await;
    for token in [&mine, &other] {
        assert_eq!(server.verify(token).await, 200);
    }
    assert_eq!(logs_in(&server, "alice", NEW).await, 401);
    assert_eq!(logs_in(&server, "alice", PASSWORD).await, 200);
    let answer = by_cookie(&server, &mine, change(PASSWORD, NEW)).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn all_sessions_of_a_user_who_is_disabled_or_deleted_end_at_once() {
    for what in [UserChange::Disable, UserChange::Delete] {
        let server = of_alice_and_bob().await;
        let tokens = [login(&server, "alice").await, server.login("alice").await];
        let bobs = server.login("bob").await;
        let alice = server
            .waxseal
            .verifier()
            .verify(&tokens[0])
            .unwrap()
            .subject();
        server.change_user(alice, what.clone()).await;
        for token in &tokens {
            for (method, path) in [
                ("GET", "/session"),
                ("GET", "/sessions"),
                ("GET", "/verify"),
                ("POST", "/session/renew"),
                ("POST", "/logout"),
                ("POST", "/password"),
            ] {
                let body = if path == "/password" {
                    change(PASSWORD, NEW)
                } else {
                    Value::Null
                };
                let held = from_own_page(&server, method, path, token, body.clone()).await;
                // A proxy calls `/verify` and drops the answer.
                let left = match path {
                    "/verify" => Jar::Untouched,
                    _ => Jar::Cleared,
                };
                assert_eq!((held.status.as_u16(), jar(&held)), (401, left));
                assert_eq!(held.code(), "invalid_token");
                let bearer = [("authorization", format!("Bearer {token}"))];
                let sent = server.send(request(method, path, bearer, &body)).await;
                assert_eq!((sent.status.as_u16(), jar(&sent)), (401, Jar::Untouched));
                assert_eq!(sent.code(), "invalid_token");
            }
        }
        assert_eq!(server.verify(&bobs).await, 200);
        assert_eq!(logs_in(&server, "alice", PASSWORD).await, 401);
        // Neither a new user of the same name, nor enabling the user again, nor a restart revives the tokens.
        server.pass(Duration::from_secs(1)).await;
        if matches!(what, UserChange::Delete) {
            server.add_user("alice").await;
        } else {
            let enabled = server.waxseal.accounts().enable_user(alice).await.unwrap();
            assert!(enabled);
        }
        let server = server.restart(|_| {}).await;
        assert_eq!(logs_in(&server, "alice", PASSWORD).await, 200);
        for token in &tokens {
            assert_eq!(server.verify(token).await, 401, "{what:?}");
        }
        assert_eq!(server.verify(&bobs).await, 200);
    }
}
