//! Promise 2 between two real processes: a service that never calls home refuses a session that was ended elsewhere,
//! within the bound.

use std::time::{Duration, Instant};

use super::common::Place;
use super::service::{Client, get, http, ready, start, status, until};

/// The bound of `Verifier::remote`.
pub const BOUND: Duration = Duration::from_secs(5);

/// How many logouts are measured: a hundred, or `WAXSEAL_LOGOUTS`.
fn logouts_wanted() -> usize {
    let given = std::env::var("WAXSEAL_LOGOUTS").ok();
    given.map_or(100, |text| {
        text.parse().expect("WAXSEAL_LOGOUTS is a number")
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(
    clippy::disallowed_methods,
    reason = "real processes are measured on the real clock"
)]
async fn a_logout_at_the_issuer_is_refused_in_another_process_within_the_bound() {
    let place = Place::new();
    place.add_user("alice");
    let reader = Client::reader(&place, "orders");
    let issuer = place.serve();
    let service = start(&issuer.url, &reader);
    let http = http();
    ready(&http, &service).await;
    let logouts = logouts_wanted();
    let mut delays = Vec::with_capacity(logouts);
    for _ in 0..logouts {
        let token = issuer.login(&http, "alice").await;
        assert_eq!(status(&http, &service, &token).await, 200);
        assert_eq!(issuer.logout(&http, &token).await.unwrap(), 204);
        let began = Instant::now();
        loop {
            let asked = began.elapsed();
            match status(&http, &service, &token).await {
                401 => break,
                200 => assert!(asked < BOUND, "accepted {asked:?} after the logout"),
                // The verifier cannot judge, which is correct if the machine stalls for that long.
                503 => {}
                other => panic!("{other}"),
            }
        }
        delays.push(began.elapsed());
    }
    delays.sort();
    let (median, p99) = (delays[logouts / 2], delays[logouts * 99 / 100]);
    let most = delays[logouts - 1];
    println!(
        "two processes: from a logout's answer to the refusal elsewhere, {logouts} logouts: median {median:?}, p99 {p99:?}, maximum {most:?}; bound {BOUND:?}"
    );
}

#[tokio::test]
async fn a_remote_verifier_refuses_exactly_what_is_revoked() {
    let place = Place::new();
    for name in ["alice", "bob", "carol", "dora"] {
        place.add_user(name);
    }
    let reader = Client::reader(&place, "orders");
    let caller = Client::add(
        &place,
        "caller",
        "orders:read",
        Some("https://orders.example"),
    );
    let other = Client::add(
        &place,
        "other",
        "orders:read",
        Some("https://other.example"),
    );
    let narrow = Client::add(&place, "narrow", "orders", Some("https://orders.example"));
    let issuer = place.serve();
    let service = start(&issuer.url, &reader);
    let http = http();
    ready(&http, &service).await;
    let orders = async |token: &str| get(&http, &service, "/orders", token).await;

    let mut sessions = Vec::new();
    for name in ["alice", "bob", "carol", "dora"] {
        let token = issuer.login(&http, name).await;
        assert_eq!(status(&http, &service, &token).await, 200, "{name}");
        assert_eq!(orders(&token).await, 401, "a session is not a service");
        sessions.push(token);
    }
    let called = caller.token(&http, &issuer.url).await;
    assert_eq!(orders(&called).await, 200);
    assert_eq!(
        status(&http, &service, &called).await,
        401,
        "a service is not a session"
    );
    let elsewhere = other.token(&http, &issuer.url).await;
    assert_eq!(orders(&elsewhere).await, 401, "meant for another audience");
    let too_little = narrow.token(&http, &issuer.url).await;
    assert_eq!(orders(&too_little).await, 403, "without the scope");

    place.ok(&["user", "disable", "alice"], "");
    place.ok(&["revoke", "user", "bob"], "");
    place.ok(&["client", "disable", "caller"], "");
    for token in &sessions[..2] {
        let refused = async || status(&http, &service, token).await == 401;
        until("a session of a user is refused", refused).await;
    }
    until("a client is refused", async || orders(&called).await == 401).await;
    assert_eq!(status(&http, &service, &sessions[2]).await, 200);

    place.ok(&["revoke", "all"], "");
    for token in &sessions[2..] {
        let refused = async || status(&http, &service, token).await == 401;
        until("every session is refused", refused).await;
    }
    let again = issuer.login(&http, "carol").await;
    assert_eq!(status(&http, &service, &again).await, 200);
    place.ok(&["client", "enable", "caller"], "");
    let again = caller.token(&http, &issuer.url).await;
    assert_eq!(orders(&again).await, 200);
}
