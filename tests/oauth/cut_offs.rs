//! A cut-off ends a client's tokens at once and for good, but not those issued to it afterwards.

use serde_json::json;
use waxseal::account::client::{Changed, ClientChange};
use waxseal::revocation::log::Revoke;
use waxseal::revocation::{Reason, TargetKind};
use waxseal::time::Clock;
use waxseal::verifier::Refusal;

use super::common::TestServer;
use super::fixture::{
    Service, add_client, ask, change, claims, jwt_header, refused, send_as, token,
};

fn is_ended(server: &TestServer, token: &str, scope: TargetKind) {
    let verdict = server.waxseal.verifier().verify_any(token);
    assert_eq!(verdict, Err(Refusal::Revoked(scope)));
}

async fn revoke(server: &TestServer, what: Revoke) {
    let (log, at) = (server.waxseal.log(), server.clock.now());
    log.revoke(what, Reason::Operator, at).await.unwrap();
    server.waxseal.catch_up().await.unwrap();
}

async fn two() -> (TestServer, Service, Service) {
    let server = TestServer::new().await;
    let billing = add_client(&server, "billing", "orders:read", &[]).await;
    let other = add_client(&server, "other", "", &[]).await;
    (server, billing, other)
}

#[tokio::test]
async fn disabling_and_revoking_a_client_end_its_tokens_and_no_others() {
    for wanted in [ClientChange::Disable, ClientChange::EndTokens] {
        let disables = matches!(wanted, ClientChange::Disable);
        let (server, client, other) = two().await;
        server.add_user("alice").await;
        let session = server.login("alice").await;
        let before = [token(&server, &client).await, token(&server, &client).await];
        let others = token(&server, &other).await;
        let changed = change(&server, client.id, wanted).await;
        assert!(matches!(changed, Changed::Revoked(_)), "{changed:?}");
        for token in &before {
            assert_eq!(server.verify(token).await, 401);
            is_ended(&server, token, TargetKind::Client);
        }
        for token in [&others, &session] {
            assert_eq!(server.verify(token).await, 200);
        }
        if disables {
            let answer = ask(&server, &client, &[]).await;
            refused("disabled", &answer, 401, "invalid_client");
            change(&server, client.id, ClientChange::Enable).await;
        }
        // Issued in the same millisecond, after the cut-off.
        let after = token(&server, &client).await;
        assert_eq!(server.verify(&after).await, 200);
        let server = server.restart(|_| {}).await;
        assert_eq!(server.verify(&after).await, 200);
        for token in &before {
            is_ended(&server, token, TargetKind::Client);
        }
        // A second cut-off ends that one too.
        change(&server, client.id, ClientChange::EndTokens).await;
        is_ended(&server, &after, TargetKind::Client);
        assert_eq!(server.verify(&token(&server, &client).await).await, 200);
    }
}

#[tokio::test]
async fn a_deleted_client_and_its_tokens_are_gone_and_its_name_is_free() {
    let (server, client, _) = two().await;
    let before = token(&server, &client).await;
    change(&server, client.id, ClientChange::Delete).await;
    is_ended(&server, &before, TargetKind::Client);
    let answer = ask(&server, &client, &[]).await;
    refused("deleted", &answer, 401, "invalid_client");
    let server = server.restart(|_| {}).await;
    is_ended(&server, &before, TargetKind::Client);
    let again = add_client(&server, "billing", "", &[]).await;
    assert_ne!(again.id, client.id);
    assert_eq!(server.verify(&token(&server, &again).await).await, 200);
    is_ended(&server, &before, TargetKind::Client);
}

#[tokio::test]
async fn revoking_everything_ends_clients_tokens_too() {
    let (server, client, other) = two().await;
    let before = [token(&server, &client).await, token(&server, &other).await];
    revoke(&server, Revoke::Everything).await;
    for token in &before {
        is_ended(&server, token, TargetKind::Everything);
        assert_eq!(server.verify(token).await, 401);
    }
    let after = token(&server, &client).await;
    assert_eq!(server.verify(&after).await, 200);
    let server = server.restart(|_| {}).await;
    assert_eq!(server.verify(&after).await, 200);
    for token in &before {
        is_ended(&server, token, TargetKind::Everything);
    }
    // A client added after the cut-off also gets a valid token.
    let newest = add_client(&server, "newest", "", &[]).await;
    assert_eq!(server.verify(&token(&server, &newest).await).await, 200);
}

#[tokio::test]
async fn a_revoked_key_ends_clients_tokens_and_its_successor_signs() {
    let (server, client, _) = two().await;
    let before = token(&server, &client).await;
    let kid = |token: &str| jwt_header(token)["kid"].as_str().unwrap().to_owned();
    revoke(&server, Revoke::Key(kid(&before).parse().unwrap())).await;
    is_ended(&server, &before, TargetKind::Key);
    let after = token(&server, &client).await;
    assert_ne!(kid(&after), kid(&before));
    assert_eq!(server.verify(&after).await, 200);
    let server = server.restart(|_| {}).await;
    is_ended(&server, &before, TargetKind::Key);
}

#[tokio::test]
async fn adding_a_secret_finishing_a_rotation_and_enabling_revoke_nothing() {
    let (server, client, _) = two().await;
    let before = token(&server, &client).await;
    let (_, kept) = super::fixture::new_secret();
    for wanted in [
        ClientChange::AddSecret(kept),
        ClientChange::FinishRotation,
        ClientChange::Enable,
    ] {
        assert_eq!(change(&server, client.id, wanted).await, Changed::Done);
        assert_eq!(server.verify(&before).await, 200);
    }
    let head = server.waxseal.log().read(0, 10).await.unwrap().head;
    assert_eq!(head.cursor.seq, 0);
}

/// A token that is both revoked by its `jti` and ended by a cut-off, in either order.
#[tokio::test]
async fn a_client_token_is_refused_if_any_revocation_covers_it() {
    for jti_first in [true, false] {
        let (server, client, _) = two().await;
        let one = token(&server, &client).await;
        let end_one = async || {
            let answer = send_as(&server, &client, "/oauth/revoke", &[("token", &one)]).await;
            assert_eq!(answer.status, 200);
        };
        if jti_first {
            end_one().await;
            is_ended(&server, &one, TargetKind::Token);
        }
        change(&server, client.id, ClientChange::EndTokens).await;
        end_one().await;
        assert!(server.waxseal.verifier().verify_any(&one).is_err());
        assert_eq!(claims(&one)["scope"], json!("orders:read"));
        assert_eq!(server.verify(&token(&server, &client).await).await, 200);
    }
}
