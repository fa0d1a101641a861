//! `POST /oauth/revoke` (RFC 7009).

use std::time::Duration;

use serde_json::json;
use waxseal::key::{Algorithm, Format};
use waxseal::revocation::TargetKind;
use waxseal::verifier::Refusal;

use super::common::House;
use super::forger::{Forger, header_and_claims};
use super::stage::{Service, add_client, claims, refused, send_as, token};

const MINUTE: Duration = Duration::from_secs(60);

async fn billing() -> (House, Service) {
    let house = House::new().await;
    let client = add_client(&house, "billing", "orders:read", &[]).await;
    (house, client)
}

/// Revokes a token, and asserts that the answer reveals nothing.
async fn end(house: &House, client: &Service, token: &str) {
    let answer = send_as(house, client, "/oauth/revoke", &[("token", token)]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.body.is_empty(), "{answer:?}");
}

#[tokio::test]
async fn a_client_ends_its_own_token_and_no_other_of_its_own() {
    let (house, client) = billing().await;
    let (one, two) = (token(&house, &client).await, token(&house, &client).await);
    end(&house, &client, &one).await;
    assert_eq!(house.verify(&one).await, 401);
    assert_eq!(house.verify(&two).await, 200);
    let verdict = house.waxseal.verifier().verify_any(&one);
    assert_eq!(verdict, Err(Refusal::Revoked(TargetKind::Token)));
    // Revoking it again writes nothing.
    let seq = async |house: &House| {
        house
            .waxseal
            .log()
            .read(0, 10)
            .await
            .unwrap()
            .head
            .cursor
            .seq
    };
    assert_eq!(seq(&house).await, 1);
    end(&house, &client, &one).await;
    assert_eq!(seq(&house).await, 1);
    let house = house.restart(|_| {}).await;
    assert_eq!(house.verify(&one).await, 401);
    assert_eq!(house.verify(&two).await, 200);
}

#[tokio::test]
async fn a_token_for_another_audience_is_ended_too_in_both_formats() {
    for format in Format::ALL {
        let house = House::with(|settings| {
            settings.format = format;
            settings.accepts = vec![format];
        })
        .await;
        let client = add_client(&house, "billing", "", &["https://stock.example"]).await;
        let token = token(&house, &client).await;
        end(&house, &client, &token).await;
        let fields = [("token", token.as_str())];
        let answer = send_as(&house, &client, "/oauth/introspect", &fields).await;
        assert_eq!(answer.json(), json!({ "active": false }));
    }
}

#[tokio::test]
async fn what_is_no_good_token_is_over_already() {
    let (house, client) = billing().await;
    let live = token(&house, &client).await;
    let [header, payload] = header_and_claims(&live);
    let stranger = Forger::stranger(Algorithm::EdDsa);
    let expired = token(&house, &client).await;
    for garbage in [
        "x",
        "..",
        "a.b.c",
        "\u{fffd}",
        &stranger.seal(&header, &payload),
        &expired[1..],
    ] {
        end(&house, &client, garbage).await;
    }
    end(&house, &client, &"x".repeat(10_000)).await;
    assert_eq!(house.verify(&live).await, 200);
    house.pass(Duration::from_secs(400)).await;
    end(&house, &client, &expired).await;
    for fields in [
        &[][..],
        &[("token", "")],
        &[("token_type_hint", "access_token")],
    ] {
        let answer = send_as(&house, &client, "/oauth/revoke", fields).await;
        refused("no token", &answer, 400, "invalid_request");
    }
    let answer = send_as(
        &house,
        &client,
        "/oauth/revoke",
        &[("token", "x"), ("token", "y")],
    )
    .await;
    refused("two tokens", &answer, 400, "invalid_request");
}

/// RFC 7009, section 2.1: a wrong hint changes nothing.
#[tokio::test]
async fn a_hint_is_only_a_hint() {
    let (house, client) = billing().await;
    for hint in ["access_token", "refresh_token", "pat", ""] {
        let token = token(&house, &client).await;
        let fields = [("token", token.as_str()), ("token_type_hint", hint)];
        let answer = send_as(&house, &client, "/oauth/revoke", &fields).await;
        assert_eq!(answer.status, 200, "{hint}");
        assert_eq!(house.verify(&token).await, 401, "{hint}");
    }
}

#[tokio::test]
async fn another_clients_token_is_refused_and_lives_on() {
    let (house, client) = billing().await;
    let other = add_client(&house, "other", "tokens:introspect revocations:read", &[]).await;
    let token = token(&house, &client).await;
    let answer = send_as(&house, &other, "/oauth/revoke", &[("token", &token)]).await;
    refused("another's", &answer, 400, "invalid_grant");
    assert_eq!(house.verify(&token).await, 200);
    assert_eq!(
        house.waxseal.log().read(0, 10).await.unwrap().entries.len(),
        0
    );
}

/// Returns the session's token, renewed or touched if that is due.
async fn renewed(house: &House, token: &str) -> String {
    let answer = house.post("/session/renew", Some(token), None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

fn generation(token: &str) -> String {
    let sid = claims(token)["sid"].as_str().unwrap().to_owned();
    sid.rsplit_once('.').unwrap().1.to_owned()
}

#[tokio::test]
async fn a_session_ends_with_its_whole_lineage_whichever_of_its_tokens_comes() {
    for presented in 0..4 {
        let (house, client) = billing().await;
        house.add_user("alice").await;
        let first = house.login("alice").await;
        house.pass(14 * MINUTE).await;
        let touched = renewed(&house, &first).await;
        house.pass(14 * MINUTE).await;
        let touched_again = renewed(&house, &touched).await;
        assert_eq!(generation(&touched_again), "0");
        house.pass(3 * MINUTE).await;
        let next = renewed(&house, &touched_again).await;
        assert_eq!(generation(&next), "1");
        let copy = renewed(&house, &next).await;
        // The grace of the superseded generation is over.
        house.pass(2 * MINUTE).await;
        let all = [&touched, &touched_again, &next, &copy];
        let alive: Vec<_> = [
            house.verify(&touched_again).await,
            house.verify(&next).await,
        ]
        .iter()
        .map(|status| status.as_u16())
        .collect();
        assert_eq!(alive, [401, 200]);
        end(&house, &client, all[presented]).await;
        // A token that has expired by the idle timeout ends nothing.
        let ends = presented > 0;
        let expected = if ends { 401 } else { 200 };
        for token in [&next, &copy] {
            assert_eq!(house.verify(token).await, expected, "{presented}");
        }
        let house = house.restart(|_| {}).await;
        for token in [&next, &copy] {
            assert_eq!(house.verify(token).await, expected, "{presented}");
        }
        if ends {
            let answer = house.post("/session/renew", Some(&next), None).await;
            assert_eq!(answer.status, 401);
        }
        // Another session of the user stays valid, and no longer lists this one.
        let after = house.login("alice").await;
        assert_eq!(house.verify(&after).await, 200);
        let listed = house.get("/sessions", &after).await.json().to_string();
        let sid = claims(&next)["sid"].as_str().unwrap().to_owned();
        let lineage = sid.split_once('.').unwrap().0;
        assert_eq!(listed.contains(lineage), !ends, "{presented}: {listed}");
    }
}

#[tokio::test]
async fn only_a_client_revokes() {
    let (house, client) = billing().await;
    let token = token(&house, &client).await;
    let body = super::stage::form(&[("token", &token)]);
    let bearer = format!("Bearer {token}");
    for headers in [&[][..], &[("authorization", bearer.as_str())]] {
        let answer = super::stage::send(&house, "/oauth/revoke", headers, &body).await;
        refused("no client", &answer, 401, "invalid_client");
        assert_eq!(house.verify(&token).await, 200);
    }
}

/// With a stale list the service does not know whether there is something to revoke, and 200 would claim that it does.
#[tokio::test]
async fn a_list_that_is_stale_is_no_answer() {
    let (house, client) = billing().await;
    house.add_user("alice").await;
    let tokens = [token(&house, &client).await, house.login("alice").await];
    // The clock advances without a refresh of the list.
    house.clock.advance(Duration::from_secs(6));
    for token in &tokens {
        assert_eq!(house.verify(token).await, 503);
        for path in ["/oauth/revoke", "/oauth/introspect"] {
            let answer = send_as(&house, &client, path, &[("token", token)]).await;
            refused(path, &answer, 503, "temporarily_unavailable");
            assert_eq!(answer.headers["retry-after"], "1");
        }
    }
    end(&house, &client, "garbage").await;
    house.waxseal.catch_up().await.unwrap();
    for token in &tokens {
        assert_eq!(house.verify(token).await, 200);
        end(&house, &client, token).await;
        assert_eq!(house.verify(token).await, 401);
    }
}

/// The token is valid wherever its format is accepted again.
#[tokio::test]
async fn a_token_of_a_format_that_is_not_accepted_is_not_said_to_be_over() {
    let both = Format::ALL.to_vec();
    let house = House::with(|settings| settings.accepts = both.clone()).await;
    let client = add_client(&house, "billing", "", &[]).await;
    let jwt = token(&house, &client).await;
    house.pass(20 * MINUTE).await;
    let jwt_later = token(&house, &client).await;
    let house = house
        .restart(|settings| {
            settings.format = Format::Paseto;
            settings.accepts = vec![Format::Paseto];
        })
        .await;
    for token in [&jwt, &jwt_later] {
        let answer = send_as(&house, &client, "/oauth/revoke", &[("token", token)]).await;
        refused("a JWT", &answer, 400, "unsupported_token_type");
    }
    let house = house.restart(|settings| settings.accepts = both).await;
    assert_eq!(house.verify(&jwt_later).await, 200);
    end(&house, &client, &jwt_later).await;
    assert_eq!(house.verify(&jwt_later).await, 401);
}

/// The token is valid again once the service has its old issuer.
#[tokio::test]
async fn a_token_from_under_another_name_is_not_said_to_be_over() {
    let house = House::new().await;
    let client = add_client(&house, "billing", "", &[]).await;
    let before = token(&house, &client).await;
    let house = house
        .restart(|settings| settings.issuer = "https://renamed.example".to_owned())
        .await;
    let answer = send_as(&house, &client, "/oauth/revoke", &[("token", &before)]).await;
    refused("another's", &answer, 400, "unsupported_token_type");
}
