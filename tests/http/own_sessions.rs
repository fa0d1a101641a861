//! A user's own sessions: listing them, and ending them one by one.

use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::ConnectInfo;
use serde_json::{Value, json};
use waxseal::account::UserChange;
use waxseal::embedded::open_store;
use waxseal::id::UserId;
use waxseal::inventory::Inventory;
use waxseal::policy::MAX_LEEWAY;
use waxseal::time::Clock;
use waxseal::time::Timestamp;

use super::browser::{Jar, credentials, from_own_page, jar, lineage, listed, login, request, sql};
use super::common::{Answer, TestServer};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

async fn of_alice_and_bob() -> TestServer {
    let server = TestServer::with(|settings| {
        settings.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
    })
    .await;
    server.add_user("alice").await;
    server.add_user("bob").await;
    server
}

type Headers<'a> = &'a [(&'a str, &'a [u8])];

/// Logs in from `peer` with these headers.
async fn login_from(server: &TestServer, peer: &str, headers: Headers<'_>) -> String {
    let body = credentials("alice", "bearer");
    let mut login = request("POST", "/login", headers.iter().copied(), &body);
    let peer = SocketAddr::new(peer.parse().unwrap(), 4711);
    login.extensions_mut().insert(ConnectInfo(peer));
    let answer = server.send(login).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

async fn end(server: &TestServer, token: &str, id: &str) -> Answer {
    let headers = [("authorization", format!("Bearer {token}"))];
    let path = format!("/sessions/{id}");
    server
        .send(request("DELETE", &path, headers, &Value::Null))
        .await
}

fn is_missing(answer: &Answer) {
    assert_eq!(answer.status, 404, "{answer:?}");
    assert_eq!(answer.code(), "not_found");
    assert_eq!(jar(answer), Jar::Untouched);
    assert!(!answer.headers.contains_key("clear-site-data"));
}

async fn rows(server: &TestServer, user: UserId) -> usize {
    let store = open_store(&server.settings).await.unwrap();
    store.sessions(user, Timestamp::EPOCH).await.unwrap().len()
}

#[tokio::test]
async fn a_user_sees_where_each_session_was_begun_the_newest_first() {
    let server = of_alice_and_bob().await;
    server.login("bob").await;
    let places: [(&str, Headers, Value); 5] = [
        (
            "203.0.113.7",
            &[("user-agent", b"Mozilla/5.0 (X11; Linux x86_64)")],
            json!(["203.0.113.7", "Mozilla/5.0 (X11; Linux x86_64)"]),
        ),
        ("2001:db8::7", &[], json!(["2001:db8::7", null])),
        (
            "::ffff:192.0.2.1",
            &[("user-agent", b"curl/8")],
            json!(["192.0.2.1", "curl/8"]),
        ),
        (
            "10.1.1.1",
            &[
                ("x-forwarded-for", b"1.1.1.1, 198.51.100.9"),
                ("user-agent", b"a"),
                ("user-agent", b"b"),
            ],
            json!(["198.51.100.9", "a"]),
        ),
        (
            "203.0.113.8",
            &[("x-forwarded-for", b"198.51.100.9")],
            json!(["203.0.113.8", null]),
        ),
    ];
    let mut tokens = Vec::new();
    for (peer, headers, _) in &places {
        tokens.push(login_from(&server, peer, headers).await);
        server.pass(SECOND).await;
    }
    let by_cookie = login(&server, "alice").await;
    for (current, token) in tokens.iter().enumerate() {
        let answer = server.get("/sessions", token).await;
        let body = answer.json();
        assert_eq!(answer.headers["cache-control"], "no-store");
        let members: Vec<_> = body.as_object().unwrap().keys().collect();
        assert_eq!(members, ["sessions", "username"]);
        assert_eq!(body["username"], "alice");
        let sessions = body["sessions"].as_array().unwrap();
        assert_eq!(sessions.len(), places.len() + 1);
        assert_eq!(sessions[0]["id"], lineage(&server, &by_cookie));
        assert_eq!(
            sessions[0]["address"],
            Value::Null,
            "no connection, no address"
        );
        for (n, (_, _, place)) in places.iter().enumerate() {
            let listed = &sessions[places.len() - n];
            let expected = json!({
                "id": lineage(&server, &tokens[n]),
                "created_at": format!("2027-01-15T08:00:0{n}Z"),
                "expires_at": format!("2027-01-15T10:00:0{n}Z"),
                "address": place[0],
                "browser": place[1],
                "current": n == current,
            });
            assert_eq!(*listed, expected);
        }
    }
    let seen = from_own_page(&server, "GET", "/sessions", &by_cookie, Value::Null).await;
    let current = |session: &&Value| session["current"] == true;
    let body = seen.json();
    let current: Vec<_> = body["sessions"]
        .as_array()
        .unwrap()
        .iter()
        .filter(current)
        .collect();
    assert_eq!(current.len(), 1);
    assert_eq!(current[0]["id"], lineage(&server, &by_cookie));
}

#[tokio::test]
async fn only_printable_characters_of_a_user_agent_are_stored() {
    let server = of_alice_and_bob().await;
    let script = r#"<script>alert("1")</script>'; DROP TABLE session; --\u0000${x}"#;
    let cases: [(&[u8], Value); 10] = [
        (b"", Value::Null),
        (b"   ", json!("   ")),
        (b"\t", Value::Null),
        (b"a\tb", json!("ab")),
        (script.as_bytes(), json!(script)),
        (
            br#"quote " and \ backslash"#,
            json!(r#"quote " and \ backslash"#),
        ),
        (b"%00%0d%0aSet-Cookie:x", json!("%00%0d%0aSet-Cookie:x")),
        (&[b'x'; 10_000], json!("x".repeat(256))),
        (&[b'x'; 256], json!("x".repeat(256))),
        (&[b'x'; 255], json!("x".repeat(255))),
    ];
    // Bytes outside ASCII have no defined meaning there (RFC 9110, section 5.5); the service does not guess one.
    let foreign: [&[u8]; 4] = [
        "Броузер/1.0".as_bytes(),
        b"caf\xe9/1.0",
        b"\xff\xfe\xfd",
        "Mozilla \u{202e}evil".as_bytes(),
    ];
    let foreign = foreign.map(|name| (name, Value::Null));
    for (sent, kept) in cases.into_iter().chain(foreign) {
        let token = login_from(&server, "203.0.113.7", &[("user-agent", sent)]).await;
        let answer = server.get("/sessions", &token).await;
        assert_eq!(answer.headers["content-type"], "application/json");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        let body = answer.json();
        let sessions = body["sessions"].as_array().unwrap();
        let own = sessions.iter().find(|session| session["current"] == true);
        let name = String::from_utf8_lossy(sent).into_owned();
        assert_eq!(own.unwrap()["browser"], kept, "{name}");
        end(&server, &token, &lineage(&server, &token)).await;
    }
}

#[tokio::test]
async fn a_user_ends_another_session_and_only_that() {
    let server = of_alice_and_bob().await;
    let (here, there, third) = (
        login(&server, "alice").await,
        server.login("alice").await,
        server.login("alice").await,
    );
    let path = format!("/sessions/{}", lineage(&server, &there));
    let answer = from_own_page(&server, "DELETE", &path, &here, Value::Null).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    assert!(answer.body.is_empty());
    assert_eq!(jar(&answer), Jar::Untouched);
    assert!(!answer.headers.contains_key("clear-site-data"));
    assert_eq!(server.verify(&there).await, 401);
    for token in [&here, &third] {
        assert_eq!(server.verify(token).await, 200);
    }
    let both = [lineage(&server, &third), lineage(&server, &here)];
    let mut seen = listed(&server, &here).await;
    assert_eq!(seen.len(), 2);
    seen.sort();
    assert!(both.iter().all(|id| seen.contains(id)));
    let twice = from_own_page(&server, "DELETE", &path, &here, Value::Null).await;
    is_missing(&twice);
    let server = server.restart(|_| {}).await;
    assert_eq!(server.verify(&there).await, 401);
}

#[tokio::test]
async fn ending_the_current_session_logs_out() {
    let server = of_alice_and_bob().await;
    let (by_cookie, by_bearer) = (login(&server, "alice").await, server.login("alice").await);
    let path = format!("/sessions/{}", lineage(&server, &by_cookie));
    let answer = from_own_page(&server, "DELETE", &path, &by_cookie, Value::Null).await;
    assert_eq!((answer.status.as_u16(), jar(&answer)), (204, Jar::Cleared));
    assert_eq!(answer.headers["clear-site-data"], r#""cache""#);
    assert_eq!(server.verify(&by_cookie).await, 401);
    let again = from_own_page(&server, "DELETE", &path, &by_cookie, Value::Null).await;
    assert_eq!((again.status.as_u16(), jar(&again)), (401, Jar::Cleared));
    let id = lineage(&server, &by_bearer);
    let answer = end(&server, &by_bearer, &id).await;
    assert_eq!(
        (answer.status.as_u16(), jar(&answer)),
        (204, Jar::Untouched)
    );
    assert_eq!(server.verify(&by_bearer).await, 401);
}

#[tokio::test]
async fn only_live_sessions_of_the_user_are_found() {
    let server = of_alice_and_bob().await;
    let token = server.login("alice").await;
    let bobs = server.login("bob").await;
    let dead = server.login("alice").await;
    let dead_id = lineage(&server, &dead);
    server.post("/logout", Some(&dead), None).await;
    let id = lineage(&server, &token);
    let swapped = format!("{}{}", &id[..35], if id.ends_with('0') { '1' } else { '0' });
    let malformed = [
        lineage(&server, &bobs),
        dead_id,
        swapped,
        format!("{id}.0"),
        format!("{id}.1"),
        id.to_uppercase(),
        id.replace('-', ""),
        format!("{{{id}}}"),
        format!("urn:uuid:{id}"),
        format!("{id}%00"),
        format!("%20{id}"),
        format!("{id}%20"),
        format!("..%2f{id}"),
        "all".to_owned(),
        "%2a".to_owned(),
        "0".to_owned(),
        "00000000-0000-0000-0000-000000000000".to_owned(),
        "%27%20OR%201=1%20--".to_owned(),
        "x".repeat(5000),
    ];
    for id in &malformed {
        is_missing(&end(&server, &token, id).await);
    }
    for odd in ["", "/", &format!("{id}/"), &format!("{id}/x")] {
        is_missing(&end(&server, &token, odd).await);
    }
    assert_eq!(end(&server, &token, "%ff").await.status, 400);
    for live in [&token, &bobs] {
        assert_eq!(server.verify(live).await, 200);
    }
    let nobody = request(
        "DELETE",
        &format!("/sessions/{id}"),
        super::browser::NOTHING,
        &Value::Null,
    );
    assert_eq!(server.send(nobody).await.code(), "no_credentials");
    assert_eq!(server.verify(&token).await, 200);
}

#[tokio::test]
async fn sessions_ended_by_a_cut_off_are_not_listed() {
    let server = of_alice_and_bob().await;
    let (here, there) = (login(&server, "alice").await, server.login("alice").await);
    let bobs = server.login("bob").await;
    let there_id = lineage(&server, &there);
    let others = json!({ "scope": "others" });
    let answer = from_own_page(&server, "POST", "/logout", &here, others).await;
    assert_eq!(answer.status, 204);
    assert_eq!(listed(&server, &here).await, [lineage(&server, &here)]);
    is_missing(&end(&server, &here, &there_id).await);
    let all = json!({ "scope": "all" });
    from_own_page(&server, "POST", "/logout", &here, all).await;
    let after = server.login("alice").await;
    assert_eq!(listed(&server, &after).await, [lineage(&server, &after)]);
    assert_eq!(listed(&server, &bobs).await, [lineage(&server, &bobs)]);
    let bob = server.waxseal.verifier().verify(&bobs).unwrap().subject();
    server.change_user(bob, UserChange::Disable).await;
    server.waxseal.accounts().enable_user(bob).await.unwrap();
    let bobs = server.login("bob").await;
    assert_eq!(listed(&server, &bobs).await, [lineage(&server, &bobs)]);
}

#[tokio::test]
async fn expired_and_idle_sessions_are_not_listed() {
    let server = of_alice_and_bob().await;
    let idle = server.login("alice").await;
    let idle_id = lineage(&server, &idle);
    // A session that is not used after its login can live until its renewal is overdue by the idle timeout.
    server.pass(45 * MINUTE).await;
    let watch = server.login("alice").await;
    assert!(listed(&server, &watch).await.contains(&idle_id));
    server.pass(5 * SECOND).await;
    assert_eq!(listed(&server, &watch).await, [lineage(&server, &watch)]);
    is_missing(&end(&server, &watch, &idle_id).await);

    // A session in use is listed until its absolute end.
    let server = of_alice_and_bob().await;
    let mut used = server.login("alice").await;
    let id = lineage(&server, &used);
    for _ in 0..11 {
        server.pass(10 * MINUTE).await;
        let renewed = server.post("/session/renew", Some(&used), None).await;
        used = renewed.json()["access_token"].as_str().unwrap().to_owned();
    }
    server.pass(10 * MINUTE).await;
    let watch = server.login("alice").await;
    assert!(
        listed(&server, &watch).await.contains(&id),
        "within the leeway"
    );
    server.pass(5 * SECOND).await;
    assert_eq!(server.verify(&used).await, 401);
    assert_eq!(listed(&server, &watch).await, [lineage(&server, &watch)]);
}

#[tokio::test]
async fn sessions_are_listed_after_a_restart_and_until_their_end() {
    let server = of_alice_and_bob().await;
    let (first, second) = (server.login("alice").await, server.login("alice").await);
    let alice = server.waxseal.verifier().verify(&first).unwrap().subject();
    let before = listed(&server, &first).await;
    let server = server.restart(|_| {}).await;
    assert_eq!(listed(&server, &second).await, before);
    server.post("/logout", Some(&first), None).await;
    server.waxseal.compact().await.unwrap();
    assert_eq!(
        rows(&server, alice).await,
        1,
        "what is ended is forgotten, what lives is not"
    );
    server.pass(120 * MINUTE + MAX_LEEWAY - SECOND).await;
    server.waxseal.compact().await.unwrap();
    assert_eq!(rows(&server, alice).await, 1);
    server.pass(SECOND).await;
    server.waxseal.compact().await.unwrap();
    assert_eq!(rows(&server, alice).await, 0);
    // Deleting a user removes the rows at once.
    server.login("alice").await;
    assert_eq!(rows(&server, alice).await, 1);
    server.change_user(alice, UserChange::Delete).await;
    assert_eq!(rows(&server, alice).await, 0);
}

#[tokio::test]
async fn verification_needs_no_inventory_and_renewal_without_one_revives_nothing() {
    let server = of_alice_and_bob().await;
    let (mut bearer, mut by_cookie) = (server.login("alice").await, login(&server, "alice").await);
    let dead = server.login("alice").await;
    server.post("/logout", Some(&dead), None).await;
    sql(&server, "DELETE FROM session").await;
    assert_eq!(listed(&server, &bearer).await, [""; 0]);
    for token in [&bearer, &by_cookie] {
        assert_eq!(server.verify(token).await, 200);
    }
    assert_eq!(server.verify(&dead).await, 401);
    let path = format!("/sessions/{}", lineage(&server, &by_cookie));
    is_missing(&from_own_page(&server, "DELETE", &path, &by_cookie, Value::Null).await);
    // A touch writes nothing and does not need the row.
    for _ in 0..2 {
        server.pass(10 * MINUTE).await;
        let touched = server.post("/session/renew", Some(&bearer), None).await;
        bearer = touched.json()["access_token"].as_str().unwrap().to_owned();
        let touched = from_own_page(&server, "GET", "/session", &by_cookie, Value::Null).await;
        let Jar::Set(token) = jar(&touched) else {
            panic!("{touched:?}")
        };
        by_cookie = token;
    }
    server.pass(10 * MINUTE).await;
    let due = server.post("/session/renew", Some(&bearer), None).await;
    assert_eq!(
        (due.status.as_u16(), due.code().as_str()),
        (401, "invalid_token")
    );
    let due = from_own_page(&server, "GET", "/session", &by_cookie, Value::Null).await;
    assert_eq!((due.status.as_u16(), jar(&due)), (200, Jar::Untouched));
    // The sessions expire at their usual time, and logout works as usual.
    let answer = from_own_page(&server, "POST", "/logout", &by_cookie, Value::Null).await;
    assert_eq!((answer.status.as_u16(), jar(&answer)), (204, Jar::Cleared));
    server.pass(5 * MINUTE + 5 * SECOND).await;
    for token in [&bearer, &by_cookie, &dead] {
        assert_eq!(server.verify(token).await, 401);
    }
}

/// Otherwise somebody who knows the password could hide a session behind many logins, even expired ones.
#[tokio::test]
async fn a_live_session_is_seen_and_ended_however_many_were_begun_since() {
    let server = of_alice_and_bob().await;
    let hidden = server.login("alice").await;
    let alice = server.waxseal.verifier().verify(&hidden).unwrap().subject();
    let (id, at) = (lineage(&server, &hidden), server.clock.now().millis());
    let rows = format!(
        "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 500)
         INSERT INTO session (lineage, user, auth_time, session_expiry, generation, renew_at, grace_until, idle_end)
         SELECT printf('01a20636-65df-7d0c-a454-%012x', n), '{alice}', {at} + n, {at} + n, 0, {at} + n, 0, {at} + n FROM n"
    );
    sql(&server, &rows).await;
    server.pass(MINUTE).await;
    let watch = server.login("alice").await;
    assert!(
        listed(&server, &watch).await.contains(&id),
        "hidden behind 500 that are over"
    );
    assert_eq!(end(&server, &watch, &id).await.status, 204);
    assert_eq!(server.verify(&hidden).await, 401);
}
