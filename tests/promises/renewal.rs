//! Promises 1 and 4 for renewals: what was superseded stays dead, and a crash ends no session.

use std::time::Duration;

use reqwest::Client;
use serde_json::Value;
use tokio::task::JoinSet;
use waxseal::policy::Timeouts;
use waxseal::revocation::Reason;
use waxseal::time::Clock;
use waxseal::verifier::Refusal;

use super::common::{ISSUER, Place, Server, TestServer, program};
use super::never_revived::log;
use super::restored::sql;
use super::token_forge::TestRng;

const SECOND: Duration = Duration::from_secs(1);
const GRACE: Duration = Duration::from_secs(30);
const MINUTE: Duration = Duration::from_secs(60);

async fn renew(server: &TestServer, token: &str) -> String {
    let answer = server.post("/session/renew", Some(token), None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

/// Logs in, keeps the session alive until it is due, and renews it. Returns the old token and the new one.
async fn renewed(server: &TestServer) -> (String, String) {
    let mut old = server.login("alice").await;
    for _ in 0..3 {
        server.pass(10 * MINUTE).await;
        if server.clock.now() < renew_at(server, &old) {
            old = renew(server, &old).await;
        }
    }
    let new = renew(server, &old).await;
    let generation = |token| {
        let claims = server.waxseal.verifier().verify(token).unwrap();
        claims.session_id().generation
    };
    assert_eq!((generation(&old), generation(&new)), (0, 1));
    (old, new)
}

fn renew_at(server: &TestServer, token: &str) -> waxseal::time::Timestamp {
    let verified = server.waxseal.verifier().verify(token).unwrap();
    verified.claims().renew_at
}

fn superseded(server: &TestServer, token: &str) -> bool {
    match server.waxseal.verifier().verify(token) {
        Err(Refusal::Superseded(_)) => true,
        Ok(_) => false,
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_superseded_token_stays_refused_after_restarts_compactions_and_new_settings() {
    let server = TestServer::new().await;
    server.add_user("alice").await;
    let (old, new) = renewed(&server).await;
    let server = server.restart(|_| {}).await;
    assert!(!superseded(&server, &old), "within the grace");
    server.pass(GRACE - SECOND).await;
    assert!(!superseded(&server, &old), "within the grace");
    server.pass(SECOND).await;
    assert!(superseded(&server, &old));
    // A later setting does not extend a grace that was already given.
    let long = Timeouts {
        renewal_grace: 10 * MINUTE,
        ..Timeouts::default()
    };
    let mut server = server;
    for timeouts in [long, Timeouts::default(), Timeouts::default()] {
        server.waxseal.compact().await.unwrap();
        server = server
            .restart(|settings| settings.timeouts = timeouts)
            .await;
        assert!(superseded(&server, &old));
        assert_eq!(server.verify(&new).await, 200);
    }
}

#[tokio::test]
async fn a_grace_that_is_over_stays_over_when_the_clock_is_set_back() {
    for (restarted, back) in [(false, 5), (false, 29), (true, 5), (true, 29)] {
        let server = TestServer::new().await;
        server.add_user("alice").await;
        let (old, new) = renewed(&server).await;
        let before = server.clock.now();
        server.pass(GRACE).await;
        assert!(superseded(&server, &old));
        // The service persists the latest time of its clock every minute.
        server.waxseal.compact().await.unwrap();
        server
            .clock
            .step_to(before.plus(GRACE).minus(back * SECOND));
        let server = if restarted {
            server.restart(|_| {}).await
        } else {
            server
        };
        assert!(superseded(&server, &old), "{back} s back, {restarted}");
        assert_eq!(server.verify(&new).await, 200);
    }
}

/// The entry that a renewal writes must not revive what another entry ended, in whatever order.
#[tokio::test]
async fn a_renewal_that_races_a_logout_brings_nothing_back() {
    for seed in 0..20_u64 {
        let server = TestServer::new().await;
        server.add_user("alice").await;
        let token = server.login("alice").await;
        let mut tokens = vec![token];
        for _ in 0..2 {
            server.pass(10 * MINUTE).await;
            tokens.push(renew(&server, &tokens[tokens.len() - 1]).await);
        }
        server.pass(10 * MINUTE).await;
        let last = tokens[tokens.len() - 1].clone();
        let renewals = (0..5).map(|_| server.post("/session/renew", Some(&last), None));
        let renewals = futures_of(renewals, seed);
        let logout = async {
            for _ in 0..seed {
                tokio::task::yield_now().await;
            }
            server.post("/logout", Some(&last), None).await.status
        };
        let (answers, logout) = tokio::join!(renewals, logout);
        assert_eq!(logout, 204);
        for answer in answers {
            if answer.status == 200 {
                let body = answer.json();
                tokens.push(body["access_token"].as_str().unwrap().to_owned());
            } else {
                assert_eq!(answer.status, 401, "{answer:?}");
            }
        }
        let server = server.restart(|_| {}).await;
        for token in &tokens {
            assert_eq!(server.verify(token).await, 401);
        }
    }
}

async fn futures_of<F: Future>(futures: impl Iterator<Item = F>, seed: u64) -> Vec<F::Output> {
    let mut outputs = Vec::new();
    let mut pending: Vec<_> = futures.map(Box::pin).collect();
    // One after the other, but for the first two: the order depends on the seed.
    if seed.is_multiple_of(2) {
        pending.reverse();
    }
    let (first, second) = (pending.remove(0), pending.remove(0));
    let (first, second) = tokio::join!(first, second);
    outputs.extend([first, second]);
    for future in pending {
        outputs.push(future.await);
    }
    outputs
}

#[tokio::test]
async fn theft_ends_only_that_session_and_is_logged() {
    let server = TestServer::new().await;
    server.add_user("alice").await;
    let (old, new) = renewed(&server).await;
    let other = server.login("alice").await;
    server.pass(GRACE).await;
    let entries = log(&server).await.entries.len();
    // A verification is not an exchange.
    assert_eq!(server.verify(&old).await, 401);
    assert_eq!(server.verify(&new).await, 200);
    let stolen = server.post("/session/renew", Some(&old), None).await;
    assert_eq!(
        (stolen.status.as_u16(), stolen.code()),
        (401, "invalid_token".to_owned())
    );
    assert_eq!(server.verify(&new).await, 401);
    assert_eq!(server.verify(&other).await, 200);
    // A repeated attempt has nothing left to end.
    server.post("/session/renew", Some(&old), None).await;
    let log = log(&server).await;
    assert_eq!(log.entries.len(), entries + 1);
    let last = &log.entries.last().unwrap().revocation;
    assert_eq!(last.reason, Reason::Reused);
    let server = server.restart(|_| {}).await;
    assert_eq!(server.verify(&new).await, 401);
}

/// A log from before renewals existed: its entries hash and bind as before.
#[tokio::test]
async fn a_database_from_before_sessions_were_listed_is_brought_up_to_date() {
    let server = TestServer::new().await;
    server.add_user("alice").await;
    let (dead, alive) = (server.login("alice").await, server.login("alice").await);
    assert_eq!(server.post("/logout", Some(&dead), None).await.status, 204);
    let database = server.settings.data_dir.join("waxseal.db");
    let server = server
        .restart_after(async move || {
            let as_before = "DROP TABLE session;
                ALTER TABLE revocation DROP COLUMN grace_until;
                ALTER TABLE head DROP COLUMN leeway;
                ALTER TABLE user DROP COLUMN password_change_required_by;
                DELETE FROM _sqlx_migrations WHERE version IN (2, 7, 9);";
            sql(&database, as_before).await;
        })
        .await;
    assert_eq!(server.verify(&dead).await, 401);
    assert_eq!(server.verify(&alive).await, 200);
    // The session was never entered in the table, so it ends when it is due, and nothing is written about it.
    server.pass(10 * MINUTE).await;
    let touched = renew(&server, &alive).await;
    server.pass(10 * MINUTE).await;
    let touched = renew(&server, &touched).await;
    server.pass(10 * MINUTE).await;
    let due = server.post("/session/renew", Some(&touched), None).await;
    assert_eq!(due.status, 401);
    let (_, new) = renewed(&server).await;
    assert_eq!(server.verify(&new).await, 200);
}

const CALLERS: usize = 24;
const ROUNDS: usize = 2;
/// Long enough to restart a server on a busy machine.
const RENEWAL: Duration = Duration::from_secs(12);

fn serve(place: &Place) -> Server {
    let mut command = program();
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--issuer", ISSUER])
        .args(["--renewal-timeout", "12s", "--renewal-grace", "6s"])
        .current_dir(place.path());
    Server::start(command)
}

async fn post_renew(client: &Client, url: &str, token: &str) -> Option<(u16, Value)> {
    let request = client
        .post(format!("{url}/session/renew"))
        .bearer_auth(token);
    let answer = request.send().await.ok()?;
    let status = answer.status().as_u16();
    Some((status, answer.json().await.ok()?))
}

/// A client that lost the answer asks again, and gets the answer that it would have got.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_interrupted_by_a_crash_keeps_the_session() {
    let (rng, _) = TestRng::new();
    let place = Place::new();
    place.add_user("alice");
    let mut server = serve(&place);
    let client = Client::new();
    let mut held = Vec::new();
    for _ in 0..CALLERS {
        held.push(server.login(&client, "alice").await);
    }
    let (mut answered, mut cut_short) = (0, 0);
    for round in 0..ROUNDS {
        tokio::time::sleep(RENEWAL + SECOND).await;
        let mut calls = JoinSet::new();
        for (index, token) in held.iter().cloned().enumerate() {
            let (client, url) = (client.clone(), server.url.clone());
            calls.spawn(async move { (index, post_renew(&client, &url, &token).await) });
        }
        tokio::time::sleep(Duration::from_micros(rng.below(90_000) as u64)).await;
        server.kill();
        while let Some(call) = calls.join_next().await {
            match call.unwrap() {
                (index, Some((200, body))) => {
                    answered += 1;
                    held[index] = body["access_token"].as_str().unwrap().to_owned();
                }
                (_, None) => cut_short += 1,
                (index, Some(other)) => panic!("{index}: {other:?}"),
            }
        }
        server = serve(&place);
        for token in &mut held {
            let (status, body) = post_renew(&client, &server.url, token).await.unwrap();
            assert_eq!(status, 200, "round {round}: {body}");
            *token = body["access_token"].as_str().unwrap().to_owned();
            let sid = body["session"]["id"].as_str().unwrap();
            assert!(sid.ends_with(&format!(".{}", round + 1)), "{sid}");
            assert_eq!(server.verify(&client, token).await, 200);
        }
    }
    println!("renewals answered: {answered}, cut short by a kill: {cut_short}; sessions lost: 0");
}
