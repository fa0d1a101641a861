//! Client tokens under clock steps: expired and ended tokens stay dead, and no client is locked out.

use std::time::Duration;

use waxseal::account::client::ClientChange;
use waxseal::policy::{LIFETIME_CAP, MAX_LEEWAY};
use waxseal::revocation::Reason;
use waxseal::revocation::log::Revoke;
use waxseal::time::Clock;

use super::common::{START, TestServer};
use super::fixture::{Service, add_client, change, refused, send_as, token};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

async fn billing() -> (TestServer, Service) {
    let server = TestServer::new().await;
    let client = add_client(&server, "billing", "orders:read", &[]).await;
    (server, client)
}

async fn end(server: &TestServer, client: &Service, token: &str) -> u16 {
    let answer = send_as(server, client, "/oauth/revoke", &[("token", token)]).await;
    answer.status.as_u16()
}

#[tokio::test]
async fn expired_tokens_stay_refused_when_the_clock_is_set_back() {
    for (ahead, restarted) in [
        (6 * MINUTE, false),
        (6 * MINUTE, true),
        (10 * HOUR, false),
        (10 * HOUR, true),
    ] {
        let (server, client) = billing().await;
        let first = token(&server, &client).await;
        assert_eq!(server.verify(&first).await, 200);
        server.pass(ahead).await;
        assert_eq!(server.verify(&first).await, 401);
        let server = if restarted {
            server.waxseal.compact().await.unwrap();
            server.clock.step_to(START.plus(2 * MINUTE));
            server.restart(|_| {}).await
        } else {
            server.clock.step_to(START.plus(2 * MINUTE));
            server
        };
        let case = format!("{ahead:?}, restarted: {restarted}");
        assert_eq!(server.verify(&first).await, 401, "{case}");
        let second = token(&server, &client).await;
        assert_eq!(server.verify(&second).await, 200, "{case}");

        // A token issued while the clock was back is not immune to a second step.
        server.pass(6 * MINUTE).await;
        assert_eq!(server.verify(&second).await, 401, "{case}");
        server.clock.step_to(START.plus(4 * MINUTE));
        for token in [&first, &second] {
            assert_eq!(server.verify(token).await, 401, "{case}");
        }
        let third = token(&server, &client).await;
        assert_eq!(server.verify(&third).await, 200, "{case}");
    }
}

#[tokio::test]
async fn a_larger_leeway_revives_no_expired_client_token() {
    let (server, client) = billing().await;
    let token = token(&server, &client).await;
    server.pass(Duration::from_secs(305)).await;
    assert_eq!(server.verify(&token).await, 401);
    let server = server
        .restart(|settings| settings.timeouts.leeway = MAX_LEEWAY)
        .await;
    assert_eq!(server.verify(&token).await, 401);
}

#[tokio::test]
async fn a_revoked_token_stays_refused_after_its_revocation_is_dropped() {
    let (server, client) = billing().await;
    let by_jti = token(&server, &client).await;
    assert_eq!(end(&server, &client, &by_jti).await, 200);
    let by_client = token(&server, &client).await;
    change(&server, client.id, ClientChange::EndTokens).await;
    let by_everything = token(&server, &client).await;
    let log = server.waxseal.log();
    let at = server.clock.now();
    log.revoke(Revoke::Everything, Reason::Operator, at)
        .await
        .unwrap();
    server.waxseal.catch_up().await.unwrap();
    drop(log);
    let dead = [by_jti, by_client, by_everything];

    let mut server = server;
    let ahead = LIFETIME_CAP + 3 * MAX_LEEWAY;
    for restarted in [false, true] {
        server.clock.step_to(START.plus(ahead));
        let dropped = server.waxseal.compact().await.unwrap();
        assert_eq!(dropped, if restarted { 0 } else { 3 });
        for minutes in [0, 2, 4] {
            server.clock.step_to(START.plus(minutes * MINUTE));
            for token in &dead {
                assert_eq!(server.verify(token).await, 401, "minute {minutes}");
            }
        }
        server.clock.step_to(START);
        server.waxseal.catch_up().await.unwrap();
        let live = token(&server, &client).await;
        assert_eq!(server.verify(&live).await, 200, "nobody is shut out");
        server = server.restart(|_| {}).await;
        for token in &dead {
            assert_eq!(server.verify(token).await, 401);
        }
    }
}

/// Tokens issued while the clock was hours ahead become valid again when that time comes, unless they were ended.
#[tokio::test]
async fn a_cut_off_ends_tokens_issued_while_the_clock_was_ahead() {
    for restarted in [false, true] {
        let (mut server, client) = billing().await;
        server.clock.step_to(START.plus(3 * HOUR));
        server.waxseal.catch_up().await.unwrap();
        let ahead = token(&server, &client).await;
        assert_eq!(server.verify(&ahead).await, 200);
        server.clock.step_to(START);
        if restarted {
            server = server.restart(|_| {}).await;
        }
        assert_eq!(server.verify(&ahead).await, 401, "from the future");
        change(&server, client.id, ClientChange::EndTokens).await;
        let after = token(&server, &client).await;
        assert_eq!(server.verify(&after).await, 200);
        // A token issued after the cut-off, with a time later than the cut-off's, can be revoked individually.
        assert_eq!(end(&server, &client, &after).await, 200);
        assert_eq!(server.verify(&after).await, 401);
        server.pass(3 * HOUR - MINUTE).await;
        server.waxseal.compact().await.unwrap();
        server.pass(MINUTE).await;
        assert_eq!(server.verify(&ahead).await, 401);
        server.pass(5 * MINUTE).await;
        server.waxseal.compact().await.unwrap();
        for back in [START, START.plus(3 * HOUR)] {
            server.clock.step_to(back);
            for token in [&ahead, &after] {
                assert_eq!(server.verify(token).await, 401);
            }
        }
        assert_eq!(server.verify(&token(&server, &client).await).await, 200);
    }
}

/// 200 would claim that the token is revoked, though it will soon be valid.
#[tokio::test]
async fn revoking_a_token_from_the_future_is_not_confirmed() {
    let (server, client) = billing().await;
    server.clock.step_to(START.plus(HOUR));
    server.waxseal.catch_up().await.unwrap();
    let ahead = token(&server, &client).await;
    server.clock.step_to(START);
    let fields = [("token", ahead.as_str())];
    let answer = send_as(&server, &client, "/oauth/revoke", &fields).await;
    refused("revoke", &answer, 503, "temporarily_unavailable");
    assert_eq!(answer.headers["retry-after"], "1");
    let answer = send_as(&server, &client, "/oauth/introspect", &fields).await;
    assert_eq!(answer.json(), serde_json::json!({ "active": false }));
    server.pass(HOUR).await;
    assert_eq!(server.verify(&ahead).await, 200);
    assert_eq!(end(&server, &client, &ahead).await, 200);
    assert_eq!(server.verify(&ahead).await, 401);
}
