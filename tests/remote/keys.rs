//! The issuer's keys are fetched when they are needed, and strangers cannot trigger a fetch.

use std::time::Duration;

use serde_json::json;
use waxseal::encoding::base64url;
use waxseal::revocation::Reason;
use waxseal::revocation::log::Revoke;
use waxseal::time::Clock;
use waxseal::verifier::Refusal;

use super::common::Place;
use super::liar::{Liar, resigned, sent, strangers_key};
use super::service::{Client, http, ready, start, status, until};

/// A token whose header names that `kid`.
fn naming(kid: &str) -> String {
    let header = json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": kid });
    let header = base64url::encode(header.to_string().as_bytes());
    format!("{header}.e30.{}", base64url::encode(&[0; 64]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_unknown_kids_cause_one_fetching_at_most_in_the_cool_down() {
    let liar = Liar::new().await;
    let token = liar.server.login("alice").await;
    let before = liar.fetches_of_keys();
    for n in 0..10_000 {
        let refused = liar.verifier.verify(&naming(&format!("kid-{n}")));
        assert_eq!(refused, Err(Refusal::UnknownKey));
    }
    // The questions continue meanwhile, one per second.
    liar.asked(3).await;
    assert_eq!(
        liar.fetches_of_keys(),
        before,
        "the cool-down is 30 seconds"
    );
    assert!(liar.is_good(&token));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_signed_with_an_unknown_key_has_the_keys_fetched_once_in_a_cool_down() {
    let liar = Liar::new().await;
    // This moves the clock of the cool-down. The verifier may have needed one fetch already.
    liar.pass(Duration::from_secs(4)).await;
    let key = strangers_key();
    let before = liar.fetches_of_keys();
    liar.lie(move |page| sent(&resigned(page, &key, |_| {})));
    liar.asked(6).await;
    let fetched = liar.fetches_of_keys() - before;
    assert!(fetched <= 1, "{fetched}");
    liar.pass(Duration::from_secs(31)).await;
    let more = async || liar.fetches_of_keys() > before + fetched;
    until("it is fetched again after the cool-down", more).await;
    assert!(!liar.verifier.is_fresh());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_signed_with_a_revoked_key_proves_nothing() {
    let liar = Liar::new().await;
    let token = liar.server.login("alice").await;
    assert!(liar.is_good(&token));
    let leaked = liar.key();
    let kid = leaked.public().kid().clone();
    let (log, at) = (liar.server.waxseal.log(), liar.server.clock.now());
    log.revoke(Revoke::Key(kid), Reason::Operator, at)
        .await
        .unwrap();
    liar.server.waxseal.catch_up().await.unwrap();
    until("the key is refused", async || !liar.is_good(&token)).await;
    let after = liar.server.login("alice").await;
    until("its successor is good", async || liar.is_good(&after)).await;
    liar.lie(move |page| sent(&resigned(page, &leaked, |_| {})));
    liar.asked(2).await;
    liar.pass(Duration::from_secs(5)).await;
    liar.asked(2).await;
    assert!(liar.is_stale(&after));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_leaked_is_refused_elsewhere_too_and_its_successor_signs() {
    let place = Place::new();
    place.add_user("alice");
    let reader = Client::reader(&place, "orders");
    let issuer = place.serve();
    let service = start(&issuer.url, &reader);
    let http = http();
    ready(&http, &service).await;
    let before = issuer.login(&http, "alice").await;
    assert_eq!(status(&http, &service, &before).await, 200);
    let kid = {
        let header = before.split('.').next().unwrap();
        let header = base64url::decode(header.as_bytes()).unwrap();
        let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
        header["kid"].as_str().unwrap().to_owned()
    };
    place.ok(&["keys", "revoke", &kid], "");
    let refused = async || status(&http, &service, &before).await == 401;
    until("the leaked key is refused", refused).await;
    let after = async || {
        let token = issuer.login(&http, "alice").await;
        status(&http, &service, &token).await == 200
    };
    until("its successor is good", after).await;
    assert_eq!(status(&http, &service, &before).await, 401);
}
