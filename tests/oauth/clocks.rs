//! Client tokens under clock steps: expired and ended tokens stay dead, and no client is locked out.

use std::time::Duration;

use waxseal::account::client::ClientChange;
use waxseal::policy::{LIFETIME_CAP, MAX_LEEWAY};
use waxseal::revocation::Reason;
use waxseal::revocation::log::Revoke;
use waxseal::time::Clock;

use super::common::{House, START};
use super::stage::{Service, add_client, change, refused, send_as, token};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

async fn billing() -> (House, Service) {
    let house = House::new().await;
    let client = add_client(&house, "billing", "orders:read", &[]).await;
    (house, client)
}

async fn end(house: &House, client: &Service, token: &str) -> u16 {
    let answer = send_as(house, client, "/oauth/revoke", &[("token", token)]).await;
    answer.status.as_u16()
}

#[tokio::test]
async fn what_had_expired_stays_dead_when_the_clock_is_set_back() {
    for (ahead, restarted) in [
        (6 * MINUTE, false),
        (6 * MINUTE, true),
        (10 * HOUR, false),
        (10 * HOUR, true),
    ] {
        let (house, client) = billing().await;
        let first = token(&house, &client).await;
        assert_eq!(house.verify(&first).await, 200);
        house.pass(ahead).await;
        assert_eq!(house.verify(&first).await, 401);
        let house = if restarted {
            house.waxseal.compact().await.unwrap();
            house.clock.step_to(START.plus(2 * MINUTE));
            house.restart(|_| {}).await
        } else {
            house.clock.step_to(START.plus(2 * MINUTE));
            house
        };
        let case = format!("{ahead:?}, restarted: {restarted}");
        assert_eq!(house.verify(&first).await, 401, "{case}");
        let second = token(&house, &client).await;
        assert_eq!(house.verify(&second).await, 200, "{case}");

        // A token issued while the clock was back is not immune to a second step.
        house.pass(6 * MINUTE).await;
        assert_eq!(house.verify(&second).await, 401, "{case}");
        house.clock.step_to(START.plus(4 * MINUTE));
        for token in [&first, &second] {
            assert_eq!(house.verify(token).await, 401, "{case}");
        }
        let third = token(&house, &client).await;
        assert_eq!(house.verify(&third).await, 200, "{case}");
    }
}

#[tokio::test]
async fn what_had_expired_by_the_smaller_leeway_stays_dead_by_the_larger() {
    let (house, client) = billing().await;
    let token = token(&house, &client).await;
    house.pass(Duration::from_secs(305)).await;
    assert_eq!(house.verify(&token).await, 401);
    let house = house
        .restart(|settings| settings.timeouts.leeway = MAX_LEEWAY)
        .await;
    assert_eq!(house.verify(&token).await, 401);
}

#[tokio::test]
async fn what_was_ended_stays_dead_when_its_revocation_is_dropped() {
    let (house, client) = billing().await;
    let by_jti = token(&house, &client).await;
    assert_eq!(end(&house, &client, &by_jti).await, 200);
    let by_client = token(&house, &client).await;
    change(&house, client.id, ClientChange::EndTokens).await;
    let by_everything = token(&house, &client).await;
    let log = house.waxseal.log();
    let at = house.clock.now();
    log.revoke(Revoke::Everything, Reason::Operator, at)
        .await
        .unwrap();
    house.waxseal.catch_up().await.unwrap();
    drop(log);
    let dead = [by_jti, by_client, by_everything];

    let mut house = house;
    let ahead = LIFETIME_CAP + 3 * MAX_LEEWAY;
    for restarted in [false, true] {
        house.clock.step_to(START.plus(ahead));
        let dropped = house.waxseal.compact().await.unwrap();
        assert_eq!(dropped, if restarted { 0 } else { 3 });
        for minutes in [0, 2, 4] {
            house.clock.step_to(START.plus(minutes * MINUTE));
            for token in &dead {
                assert_eq!(house.verify(token).await, 401, "minute {minutes}");
            }
        }
        house.clock.step_to(START);
        house.waxseal.catch_up().await.unwrap();
        let live = token(&house, &client).await;
        assert_eq!(house.verify(&live).await, 200, "nobody is shut out");
        house = house.restart(|_| {}).await;
        for token in &dead {
            assert_eq!(house.verify(token).await, 401);
        }
    }
}

/// Tokens issued while the clock was hours ahead become valid again when that time comes, unless they were ended.
#[tokio::test]
async fn a_cut_off_by_the_right_clock_ends_what_was_got_while_it_was_ahead() {
    for restarted in [false, true] {
        let (mut house, client) = billing().await;
        house.clock.step_to(START.plus(3 * HOUR));
        house.waxseal.catch_up().await.unwrap();
        let ahead = token(&house, &client).await;
        assert_eq!(house.verify(&ahead).await, 200);
        house.clock.step_to(START);
        if restarted {
            house = house.restart(|_| {}).await;
        }
        assert_eq!(house.verify(&ahead).await, 401, "from the future");
        change(&house, client.id, ClientChange::EndTokens).await;
        let after = token(&house, &client).await;
        assert_eq!(house.verify(&after).await, 200);
        // A token issued after the cut-off, with a time later than the cut-off's, can be revoked individually.
        assert_eq!(end(&house, &client, &after).await, 200);
        assert_eq!(house.verify(&after).await, 401);
        house.pass(3 * HOUR - MINUTE).await;
        house.waxseal.compact().await.unwrap();
        house.pass(MINUTE).await;
        assert_eq!(house.verify(&ahead).await, 401);
        house.pass(5 * MINUTE).await;
        house.waxseal.compact().await.unwrap();
        for back in [START, START.plus(3 * HOUR)] {
            house.clock.step_to(back);
            for token in [&ahead, &after] {
                assert_eq!(house.verify(token).await, 401);
            }
        }
        assert_eq!(house.verify(&token(&house, &client).await).await, 200);
    }
}

/// 200 would claim that the token is revoked, though it will soon be valid.
#[tokio::test]
async fn a_token_from_the_future_is_not_said_to_be_revoked() {
    let (house, client) = billing().await;
    house.clock.step_to(START.plus(HOUR));
    house.waxseal.catch_up().await.unwrap();
    let ahead = token(&house, &client).await;
    house.clock.step_to(START);
    let fields = [("token", ahead.as_str())];
    let answer = send_as(&house, &client, "/oauth/revoke", &fields).await;
    refused("revoke", &answer, 503, "temporarily_unavailable");
    assert_eq!(answer.headers["retry-after"], "1");
    let answer = send_as(&house, &client, "/oauth/introspect", &fields).await;
    assert_eq!(answer.json(), serde_json::json!({ "active": false }));
    house.pass(HOUR).await;
    assert_eq!(house.verify(&ahead).await, 200);
    assert_eq!(end(&house, &client, &ahead).await, 200);
    assert_eq!(house.verify(&ahead).await, 401);
}
