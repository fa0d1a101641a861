//! A cut-off ends a client's tokens at once and for good, but not those issued to it afterwards.

use serde_json::json;
use waxseal::account::client::{Changed, ClientChange};
use waxseal::revocation::log::Revoke;
use waxseal::revocation::{Reason, TargetKind};
use waxseal::time::Clock;
use waxseal::verifier::Refusal;

use super::common::House;
use super::stage::{Service, add_client, ask, change, claims, jwt_header, refused, send_as, token};

fn is_ended(house: &House, token: &str, scope: TargetKind) {
    let verdict = house.waxseal.verifier().verify_any(token);
    assert_eq!(verdict, Err(Refusal::Revoked(scope)));
}

async fn revoke(house: &House, what: Revoke) {
    let (log, at) = (house.waxseal.log(), house.clock.now());
    log.revoke(what, Reason::Operator, at).await.unwrap();
    house.waxseal.catch_up().await.unwrap();
}

async fn two() -> (House, Service, Service) {
    let house = House::new().await;
    let billing = add_client(&house, "billing", "orders:read", &[]).await;
    let other = add_client(&house, "other", "", &[]).await;
    (house, billing, other)
}

#[tokio::test]
async fn disabling_and_revoking_a_client_end_its_tokens_and_no_others() {
    for wanted in [ClientChange::Disable, ClientChange::EndTokens] {
        let disables = matches!(wanted, ClientChange::Disable);
        let (house, client, other) = two().await;
        house.add_user("alice").await;
        let session = house.login("alice").await;
        let before = [token(&house, &client).await, token(&house, &client).await];
        let others = token(&house, &other).await;
        let changed = change(&house, client.id, wanted).await;
        assert!(matches!(changed, Changed::Revoked(_)), "{changed:?}");
        for token in &before {
            assert_eq!(house.verify(token).await, 401);
            is_ended(&house, token, TargetKind::Client);
        }
        for token in [&others, &session] {
            assert_eq!(house.verify(token).await, 200);
        }
        if disables {
            let answer = ask(&house, &client, &[]).await;
            refused("disabled", &answer, 401, "invalid_client");
            change(&house, client.id, ClientChange::Enable).await;
        }
        // Issued in the same millisecond, after the cut-off.
        let after = token(&house, &client).await;
        assert_eq!(house.verify(&after).await, 200);
        let house = house.restart(|_| {}).await;
        assert_eq!(house.verify(&after).await, 200);
        for token in &before {
            is_ended(&house, token, TargetKind::Client);
        }
        // A second cut-off ends that one too.
        change(&house, client.id, ClientChange::EndTokens).await;
        is_ended(&house, &after, TargetKind::Client);
        assert_eq!(house.verify(&token(&house, &client).await).await, 200);
    }
}

#[tokio::test]
async fn a_deleted_client_and_its_tokens_are_gone_and_its_name_is_free() {
    let (house, client, _) = two().await;
    let before = token(&house, &client).await;
    change(&house, client.id, ClientChange::Delete).await;
    is_ended(&house, &before, TargetKind::Client);
    let answer = ask(&house, &client, &[]).await;
    refused("deleted", &answer, 401, "invalid_client");
    let house = house.restart(|_| {}).await;
    is_ended(&house, &before, TargetKind::Client);
    let again = add_client(&house, "billing", "", &[]).await;
    assert_ne!(again.id, client.id);
    assert_eq!(house.verify(&token(&house, &again).await).await, 200);
    is_ended(&house, &before, TargetKind::Client);
}

#[tokio::test]
async fn revoking_everything_ends_clients_tokens_too() {
    let (house, client, other) = two().await;
    let before = [token(&house, &client).await, token(&house, &other).await];
    revoke(&house, Revoke::Everything).await;
    for token in &before {
        is_ended(&house, token, TargetKind::Everything);
        assert_eq!(house.verify(token).await, 401);
    }
    let after = token(&house, &client).await;
    assert_eq!(house.verify(&after).await, 200);
    let house = house.restart(|_| {}).await;
    assert_eq!(house.verify(&after).await, 200);
    for token in &before {
        is_ended(&house, token, TargetKind::Everything);
    }
    // A client added after the cut-off also gets a valid token.
    let newest = add_client(&house, "newest", "", &[]).await;
    assert_eq!(house.verify(&token(&house, &newest).await).await, 200);
}

#[tokio::test]
async fn a_revoked_key_ends_clients_tokens_and_its_successor_signs() {
    let (house, client, _) = two().await;
    let before = token(&house, &client).await;
    let kid = |token: &str| jwt_header(token)["kid"].as_str().unwrap().to_owned();
    revoke(&house, Revoke::Key(kid(&before).parse().unwrap())).await;
    is_ended(&house, &before, TargetKind::Key);
    let after = token(&house, &client).await;
    assert_ne!(kid(&after), kid(&before));
    assert_eq!(house.verify(&after).await, 200);
    let house = house.restart(|_| {}).await;
    is_ended(&house, &before, TargetKind::Key);
}

#[tokio::test]
async fn changes_that_end_nothing_end_nothing() {
    let (house, client, _) = two().await;
    let before = token(&house, &client).await;
    let (_, kept) = super::stage::new_secret();
    for wanted in [
        ClientChange::AddSecret(kept),
        ClientChange::FinishRotation,
        ClientChange::Enable,
    ] {
        assert_eq!(change(&house, client.id, wanted).await, Changed::Done);
        assert_eq!(house.verify(&before).await, 200);
    }
    let head = house.waxseal.log().read(0, 10).await.unwrap().head;
    assert_eq!(head.cursor.seq, 0);
}

/// A token that is both revoked by its `jti` and ended by a cut-off, in either order.
#[tokio::test]
async fn any_scope_is_enough() {
    for jti_first in [true, false] {
        let (house, client, _) = two().await;
        let one = token(&house, &client).await;
        let end_one = async || {
            let answer = send_as(&house, &client, "/oauth/revoke", &[("token", &one)]).await;
            assert_eq!(answer.status, 200);
        };
        if jti_first {
            end_one().await;
            is_ended(&house, &one, TargetKind::Token);
        }
        change(&house, client.id, ClientChange::EndTokens).await;
        end_one().await;
        assert!(house.waxseal.verifier().verify_any(&one).is_err());
        assert_eq!(claims(&one)["scope"], json!("orders:read"));
        assert_eq!(house.verify(&token(&house, &client).await).await, 200);
    }
}
