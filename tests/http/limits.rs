//! How often a password can be tried: what a limited client is told, and which users the limits do not affect.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Request};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tower::ServiceExt;
use waxseal::account::UserChange;
use waxseal::account::limits::{LoginRates, Rate};
use waxseal::time::Clock;

use super::browser::{
    Jar, NOTHING, OWN_PAGE, cookie, credentials, from_own_page, jar, listed, login, request,
};
use super::common::{Answer, PASSWORD, TestServer};

const SECOND: Duration = Duration::from_secs(1);
const AT_ACCOUNT: usize = 10;
const FROM_ADDRESS: usize = 20;

pub(super) async fn limited() -> TestServer {
    with_rates(LoginRates::default()).await
}

async fn with_rates(rates: LoginRates) -> TestServer {
    let server = TestServer::with(|settings| {
        settings.login_rates = rates;
        settings.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
    })
    .await;
    server.add_user("alice").await;
    server
}

/// Marks a request as received over a connection from `peer`.
pub(super) fn from(peer: &str, mut request: Request<Body>) -> Request<Body> {
    let peer = SocketAddr::new(peer.parse().unwrap(), 50_000);
    request.extensions_mut().insert(ConnectInfo(peer));
    request
}

pub(super) fn attempt(name: &str, password: &str) -> Request<Body> {
    let body = json!({ "username": name, "password": password });
    request("POST", "/login", NOTHING, &body)
}

async fn try_at(server: &TestServer, name: &str) -> Answer {
    server.send(attempt(name, "wrong")).await
}

pub(super) async fn try_from(server: &TestServer, peer: &str, name: &str) -> Answer {
    server.send(from(peer, attempt(name, "wrong"))).await
}

/// Returns the seconds that the limit `policy` asks to wait. Asserts that all parts of the answer agree.
pub(super) fn wait(answer: &Answer, policy: &str, quota: u32, window: u64) -> u64 {
    assert_eq!(answer.status, 429, "{answer:?}");
    assert_eq!(answer.code(), "too_many_requests");
    assert_eq!(answer.json()["status"], 429);
    let text = |name: &str| answer.headers[name].to_str().unwrap();
    let seconds: u64 = text("retry-after").parse().unwrap();
    assert!(seconds >= 1);
    assert_eq!(text("ratelimit"), format!("\"{policy}\";r=0;t={seconds}"));
    assert_eq!(
        text("ratelimit-policy"),
        format!("\"{policy}\";q={quota};w={window}")
    );
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert!(!answer.headers.contains_key("www-authenticate"));
    assert_eq!(jar(answer), Jar::Untouched);
    seconds
}

#[tokio::test]
async fn an_account_has_a_limit_and_retry_after_is_exact() {
    // At any offset within a second.
    for millis in [0, 1, 500, 999, 1000, 2500, 5000, 5999] {
        let server = limited().await;
        for _ in 0..AT_ACCOUNT {
            assert_eq!(try_at(&server, "alice").await.status, 401);
        }
        server.pass(Duration::from_millis(millis)).await;
        let seconds = wait(&try_at(&server, "alice").await, "account", 1, 6);
        assert_eq!(seconds, 6 - millis / 1000, "at {millis} ms");
        server.pass(Duration::from_secs(seconds - 1)).await;
        let still = try_at(&server, "alice").await;
        assert_eq!(wait(&still, "account", 1, 6), 1, "at {millis} ms");
        server.pass(SECOND).await;
        assert_eq!(try_at(&server, "alice").await.status, 401);
        let again = try_at(&server, "alice").await;
        assert_eq!(wait(&again, "account", 1, 12), 12, "one, and not two");
        // A successful login resets the limit.
        server.pass(12 * SECOND).await;
        server.login("alice").await;
        for _ in 0..AT_ACCOUNT {
            assert_eq!(try_at(&server, "alice").await.status, 401);
        }
        let again = try_at(&server, "alice").await;
        assert_eq!(wait(&again, "account", 1, 6), 6);
    }
}

#[tokio::test]
async fn an_address_has_one_limit_for_all_accounts() {
    let server = limited().await;
    for n in 0..FROM_ADDRESS {
        let answer = try_from(&server, "203.0.113.7", &format!("user{n}")).await;
        assert_eq!(answer.status, 401);
    }
    let answer = try_from(&server, "203.0.113.7", "alice").await;
    assert_eq!(wait(&answer, "address", 20, 60), 3);
    assert_eq!(try_from(&server, "203.0.113.8", "alice").await.status, 401);
    server.pass(2 * SECOND).await;
    let answer = try_from(&server, "203.0.113.7", "alice").await;
    assert_eq!(wait(&answer, "address", 20, 60), 1);
    server.pass(SECOND).await;
    assert_eq!(try_from(&server, "203.0.113.7", "alice").await.status, 401);
    assert_eq!(try_from(&server, "203.0.113.7", "alice").await.status, 429);
}

#[tokio::test]
async fn retry_after_is_exact_for_other_rates() {
    // The wait after `burst` attempts, and the wait after one more.
    for (burst, seconds, first, second) in [
        (1, 1, 1, 2),
        (1, 60, 60, 120),
        (3, 10, 4, 7),
        (5, 1, 1, 1),
        (7, 3600, 515, 900),
        (2, 86_400, 43_200, 43_200),
    ] {
        let rate = Rate::new(burst, Duration::from_secs(seconds)).unwrap();
        let server = with_rates(LoginRates {
            account: rate,
            ..LoginRates::default()
        })
        .await;
        for _ in 0..burst {
            assert_eq!(try_at(&server, "alice").await.status, 401);
        }
        for longest in [first, second] {
            let refused = try_at(&server, "alice").await;
            let waiting = wait(&refused, "account", 1, longest);
            assert_eq!(waiting, longest, "{burst} in {seconds} s");
            server.pass(Duration::from_secs(waiting - 1)).await;
            assert_eq!(try_at(&server, "alice").await.status, 429);
            server.pass(SECOND).await;
            assert_eq!(try_at(&server, "alice").await.status, 401);
        }
    }
}

fn but_for_the_request_id(answer: &Answer) -> (u16, HeaderMap, &[u8]) {
    let mut headers = answer.headers.clone();
    assert!(headers.remove("x-request-id").is_some());
    headers.remove("date");
    (answer.status.as_u16(), headers, &answer.body)
}

#[tokio::test]
async fn existing_and_unknown_accounts_are_limited_alike() {
    let server = limited().await;
    let disabled = server.add_user("dora").await;
    server.change_user(disabled, UserChange::Disable).await;
    let names = ["alice", "dora", "nobody", "x@example.org"];
    for n in 0..AT_ACCOUNT + 5 {
        let mut answers = Vec::new();
        for name in names {
            answers.push(try_at(&server, name).await);
        }
        let expected = if n < AT_ACCOUNT { 401 } else { 429 };
        for answer in &answers {
            assert_eq!(answer.status, expected, "{n}");
            assert_eq!(
                but_for_the_request_id(answer),
                but_for_the_request_id(&answers[0])
            );
        }
        server.pass(Duration::from_millis(100)).await;
    }
    // While limited, the right password reveals nothing, nor does another spelling of the name.
    for name in [
        "alice",
        "Alice",
        "ALICE",
        " alice",
        "alice \u{3000}\t",
        "dora",
        "nobody",
        "nobody ",
    ] {
        for delivery in ["cookie", "bearer"] {
            let login = request("POST", "/login", [OWN_PAGE], &credentials(name, delivery));
            let answer = server.send(login).await;
            wait(&answer, "account", 1, 6);
        }
    }
    server.pass(60 * SECOND).await;
    let token = server.login("alice").await;
    assert_eq!(
        listed(&server, &token).await.len(),
        1,
        "none was begun when it was refused"
    );
}

#[tokio::test]
async fn concurrent_attempts_stay_within_the_limit() {
    let server = limited().await;
    let mut tries = JoinSet::new();
    for n in 0..60 {
        let router = server.router.clone();
        let name = ["alice", "Alice", " aLICE  "][n % 3];
        tries.spawn(async move {
            let response = router.oneshot(attempt(name, "wrong")).await.unwrap();
            response.status().as_u16()
        });
    }
    let statuses = tries.join_all().await;
    let let_through = statuses.iter().filter(|status| **status == 401).count();
    let refused = statuses.iter().filter(|status| **status == 429).count();
    assert_eq!((let_through, refused), (AT_ACCOUNT, 60 - AT_ACCOUNT));
}

#[tokio::test]
async fn a_flood_of_strangers_does_not_lock_out_users_at_known_networks() {
    let server = limited().await;
    let home = async || {
        let login = attempt("alice", PASSWORD);
        server.send(from("198.51.100.1", login)).await.status
    };
    assert_eq!(home().await, 200);
    // For ten minutes, from more addresses than any limit counts, and faster than any limit allows.
    for n in 0..600 {
        let peer = format!("203.0.113.{}", n % 250);
        let answer = try_from(&server, &peer, "alice").await;
        assert!([401, 429].contains(&answer.status.as_u16()), "{answer:?}");
        if n > AT_ACCOUNT && n % 60 == 0 {
            let elsewhere = attempt("alice", PASSWORD);
            let elsewhere = server.send(from("192.0.2.50", elsewhere)).await;
            assert_eq!(elsewhere.status, 429);
            assert_eq!(home().await, 200, "after {n}");
        }
        server.pass(SECOND).await;
    }
    // When the attack is over, a locked-out user waits minutes at most.
    while try_from(&server, "203.0.113.251", "alice").await.status == 401 {}
    let refused = server.send(from("192.0.2.50", attempt("alice", PASSWORD)));
    let seconds = wait(&refused.await, "account", 1, 384);
    server.pass(Duration::from_secs(seconds)).await;
    let login = server.send(from("192.0.2.50", attempt("alice", PASSWORD)));
    assert_eq!(login.await.status, 200);
}

/// A correct password makes a network known. Wrong ones do not.
#[tokio::test]
async fn failed_attempts_do_not_make_a_network_known() {
    let server = limited().await;
    for n in 0..AT_ACCOUNT {
        let peer = format!("203.0.113.{n}");
        assert_eq!(try_from(&server, &peer, "alice").await.status, 401);
    }
    for n in 0..AT_ACCOUNT {
        let peer = format!("203.0.113.{n}");
        wait(&try_from(&server, &peer, "alice").await, "account", 1, 6);
    }
    // A network known for one account is unknown for another.
    let other = server.add_user("mallory").await.to_string();
    let login = from("203.0.113.1", attempt("mallory", PASSWORD));
    assert_eq!(server.send(login).await.status, 200, "{other}");
    wait(
        &try_from(&server, "203.0.113.1", "alice").await,
        "account",
        1,
        6,
    );
}

#[tokio::test]
async fn an_address_is_what_the_connection_says_unless_a_trusted_proxy_says_otherwise() {
    let said = |peer: &str, lines: &[(&str, String)], name: &str| {
        let headers = lines.iter().map(|(name, value)| (*name, value.clone()));
        let body = json!({ "username": name, "password": "wrong" });
        from(peer, request("POST", "/login", headers, &body))
    };
    // From an untrusted peer, headers do not change the address.
    for peer in ["203.0.113.9", "2001:db8::9", "11.0.0.1"] {
        let server = limited().await;
        for n in 0..=FROM_ADDRESS {
            let address = format!("198.51.100.{n}");
            let lines = [
                ("x-forwarded-for", address.clone()),
                ("x-forwarded-for", format!("10.0.0.1, {address}")),
                ("x-real-ip", address.clone()),
                ("forwarded", format!("for={address}")),
                ("true-client-ip", address.clone()),
                ("cf-connecting-ip", address),
            ];
            let answer = server.send(said(peer, &lines, &format!("user{n}"))).await;
            if n < FROM_ADDRESS {
                assert_eq!(answer.status, 401, "{peer}");
            } else {
                wait(&answer, "address", 20, 60);
            }
        }
    }
    // From a trusted proxy, the last address that the proxy added counts, whatever the client sent to it.
    let server = limited().await;
    for n in 0..=FROM_ADDRESS {
        let proxy = format!("10.1.2.{n}");
        let lines = [
            ("x-forwarded-for", format!("192.0.2.{n}")),
            ("x-forwarded-for", format!("192.0.2.{n}, 198.51.100.7")),
        ];
        let answer = server.send(said(&proxy, &lines, &format!("user{n}"))).await;
        if n < FROM_ADDRESS {
            assert_eq!(answer.status, 401, "{n}");
        } else {
            wait(&answer, "address", 20, 60);
        }
    }
    let lines = [("x-forwarded-for", "198.51.100.8".to_owned())];
    let answer = server.send(said("10.1.2.3", &lines, "alice")).await;
    assert_eq!(answer.status, 401, "another client of the same proxy");
    let direct = try_from(&server, "198.51.100.7", "alice").await;
    wait(&direct, "address", 20, 60);
}

#[tokio::test]
async fn an_ipv6_subscriber_counts_as_one_address() {
    let server = limited().await;
    for n in 0..FROM_ADDRESS {
        let peer = format!("2001:db8:1:2:{n:x}::{n:x}");
        let answer = try_from(&server, &peer, &format!("user{n}")).await;
        assert_eq!(answer.status, 401);
    }
    let same = try_from(&server, "2001:db8:1:2:ffff:ffff:ffff:ffff", "alice").await;
    wait(&same, "address", 20, 60);
    assert_eq!(
        try_from(&server, "2001:db8:1:3::1", "alice").await.status,
        401
    );
    // An IPv4-mapped IPv6 address counts as the IPv4 address.
    for n in 0..FROM_ADDRESS {
        let peer = ["192.0.2.1", "::ffff:192.0.2.1"][n % 2];
        try_from(&server, peer, &format!("other{n}")).await;
    }
    for peer in ["192.0.2.1", "::ffff:192.0.2.1"] {
        wait(&try_from(&server, peer, "alice").await, "address", 20, 60);
    }
    assert_eq!(
        try_from(&server, "::ffff:192.0.2.2", "alice").await.status,
        401
    );
}

fn change(current: &str) -> Value {
    json!({ "current_password": current, "new_password": "another horse entirely" })
}

#[tokio::test]
async fn a_password_is_guessed_by_a_session_no_faster_and_the_session_stays() {
    let server = limited().await;
    server.add_user("bob").await;
    let (alice, bob) = (login(&server, "alice").await, login(&server, "bob").await);
    for _ in 0..AT_ACCOUNT {
        let answer = from_own_page(&server, "POST", "/password", &alice, change("wrong")).await;
        assert_eq!(
            (answer.status.as_u16(), jar(&answer)),
            (403, Jar::Untouched)
        );
    }
    for current in ["wrong", PASSWORD] {
        let answer = from_own_page(&server, "POST", "/password", &alice, change(current)).await;
        assert_eq!(wait(&answer, "account", 1, 6), 6);
        let answer = server.post("/password", Some(&alice), Some(change(current)));
        wait(&answer.await, "account", 1, 6);
    }
    assert_eq!(server.verify(&alice).await, 200);
    let bobs = from_own_page(&server, "POST", "/password", &bob, change("wrong")).await;
    assert_eq!(bobs.status, 403, "each has a limit of their own");
    server.pass(5 * SECOND).await;
    let answer = from_own_page(&server, "POST", "/password", &alice, change(PASSWORD)).await;
    wait(&answer, "account", 1, 6);
    server.pass(SECOND).await;
    let answer = from_own_page(&server, "POST", "/password", &alice, change(PASSWORD)).await;
    assert_eq!(answer.status, 200);
}

/// A user's ID is not secret: every token contains it, and a client can send it as a username.
#[tokio::test]
async fn strangers_do_not_use_up_the_limit_of_password_changes() {
    let server = limited().await;
    let bob = server.add_user("bob").await;
    let token = server.login("bob").await;
    for _ in 0..AT_ACCOUNT {
        try_at(&server, &bob.to_string()).await;
    }
    let answer = server.post("/password", Some(&token), Some(change(PASSWORD)));
    assert_eq!(
        answer.await.status,
        200,
        "logins as the name {bob} are counted as bob's changes of password"
    );
}

#[tokio::test]
async fn a_429_keeps_the_cookie() {
    let server = limited().await;
    let (mine, dead) = (login(&server, "alice").await, login(&server, "alice").await);
    server.post("/logout", Some(&dead), None).await;
    for _ in 0..AT_ACCOUNT {
        try_at(&server, "alice").await;
    }
    for held in [&mine, &dead, "nonsense"] {
        let (name, value) = cookie(held);
        let headers = [(name, value.as_str()), OWN_PAGE];
        let again = request("POST", "/login", headers, &credentials("alice", "cookie"));
        wait(&server.send(again).await, "account", 1, 6);
    }
    assert_eq!(server.verify(&mine).await, 200, "nor is the session ended");
}

/// The limits use the monotonic clock, not the wall clock.
#[tokio::test]
async fn a_step_of_the_wall_clock_neither_opens_nor_prolongs_a_limit() {
    let year = Duration::from_secs(365 * 24 * 3600);
    let steps: [fn(waxseal::time::Timestamp, Duration) -> waxseal::time::Timestamp; 2] = [
        waxseal::time::Timestamp::minus,
        waxseal::time::Timestamp::plus,
    ];
    for step in steps {
        for before in [false, true] {
            let server = limited().await;
            if before {
                server.clock.step_to(step(server.clock.now(), year));
            }
            for _ in 0..AT_ACCOUNT {
                assert_eq!(try_at(&server, "alice").await.status, 401);
            }
            server.clock.step_to(step(server.clock.now(), year));
            assert_eq!(wait(&try_at(&server, "alice").await, "account", 1, 6), 6);
            server.clock.advance(5 * SECOND);
            assert_eq!(wait(&try_at(&server, "alice").await, "account", 1, 6), 1);
            server.clock.advance(SECOND);
            assert_eq!(try_at(&server, "alice").await.status, 401);
        }
    }
}
