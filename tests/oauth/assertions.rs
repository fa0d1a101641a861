//! `private_key_jwt` (RFC 7523, section 3, and its revision): the assertion by which a client authenticates.

use std::time::Duration;

use serde_json::{Value, json};
use waxseal::account::client::{ClientChange, ClientKeys};
use waxseal::id::ClientId;
use waxseal::key::Algorithm;
use waxseal::policy::LIFETIME_CAP;

use super::common::{ISSUER, START, TestServer};
use super::fixture::{
    access_token, add_keyed_client, assertion, assertion_claims, change, jwk, present, refused,
};
use super::forger::{Forger, Members, quoted};

const HOUR: i64 = 3600;

async fn keyed() -> (TestServer, ClientId, Forger) {
    let server = TestServer::new().await;
    let (id, key) = add_keyed_client(&server, "keyed", Algorithm::EdDsa).await;
    (server, id, key)
}

/// Asserts that `bad` is refused, and that the same claims without the fault (`good`) are accepted.
async fn refuses(server: &TestServer, key: &Forger, what: &str, good: &Value, bad: &Value) {
    let answer = present(server, &assertion(key, "EdDSA", bad), &[]).await;
    refused(what, &answer, 401, "invalid_client");
    access_token(&present(server, &assertion(key, "EdDSA", good), &[]).await);
}

#[tokio::test]
async fn the_audience_of_an_assertion_is_the_issuer_alone() {
    let (server, id, key) = keyed().await;
    for (index, audience) in [
        json!([ISSUER]),
        json!([ISSUER, "https://elsewhere.example"]),
        json!(format!("{ISSUER}/oauth/token")),
        json!(format!("{ISSUER}/")),
        json!("https://elsewhere.example"),
        json!(""),
        json!({ "url": ISSUER }),
        Value::Null,
    ]
    .into_iter()
    .enumerate()
    {
        let good = assertion_claims(&server, id, &format!("a{index}"));
        let mut bad = good.clone();
        bad["aud"] = audience.clone();
        refuses(&server, &key, &audience.to_string(), &good, &bad).await;
        bad.as_object_mut().unwrap().remove("aud");
        let answer = present(&server, &assertion(&key, "EdDSA", &bad), &[]).await;
        refused("no audience", &answer, 401, "invalid_client");
    }
}

#[tokio::test]
async fn the_times_of_an_assertion_are_integers_close_to_now() {
    let (server, id, key) = keyed().await;
    let now = START.secs();
    // With a leeway of 5 seconds.
    for (index, (name, bad, good)) in [
        ("exp", json!(now - 5), json!(now - 4)),
        ("exp", json!(now + HOUR + 6), json!(now + HOUR + 5)),
        ("exp", json!(i64::MAX), json!(now + 1)),
        ("exp", json!(-1), json!(now + 1)),
        ("exp", json!((now + 60).to_string()), json!(now + 60)),
        ("exp", json!(1_800_000_060.5), json!(now + 60)),
        ("exp", Value::Null, json!(now + 60)),
        ("iat", json!(now + 6), json!(now + 5)),
        ("iat", json!(i64::MAX), json!(now - HOUR)),
        ("iat", json!("now"), json!(0)),
        ("nbf", json!(now + 6), json!(now + 5)),
        ("nbf", json!(i64::MAX), json!(now - HOUR)),
        ("nbf", json!(-1), json!(0)),
        ("nbf", json!(now.to_string()), json!(now)),
        ("nbf", json!(1_800_000_000.5), json!(now)),
        ("nbf", Value::Null, json!(now)),
        ("nbf", json!(true), json!(now)),
    ]
    .into_iter()
    .enumerate()
    {
        let claims = |value: &Value| {
            let mut claims = assertion_claims(&server, id, &format!("a{index}"));
            claims[name] = value.clone();
            claims
        };
        refuses(
            &server,
            &key,
            &format!("{name} {bad}"),
            &claims(&good),
            &claims(&bad),
        )
        .await;
    }
}

#[tokio::test]
async fn missing_or_mistyped_claims_of_an_assertion_are_refused() {
    let (server, id, key) = keyed().await;
    let other = "client-01a20636-65a6-7b0b-ba2c-8e6795508a1e";
    let (stranger, _) = add_keyed_client(&server, "stranger", Algorithm::EdDsa).await;
    let long = "x".repeat(257);
    for name in ["iss", "sub", "exp", "jti"] {
        let good = assertion_claims(&server, id, &format!("without {name}"));
        let mut bad = good.clone();
        bad.as_object_mut().unwrap().remove(name);
        refuses(&server, &key, &format!("no {name}"), &good, &bad).await;
    }
    for (index, (name, value)) in [
        ("iss", json!(other)),
        ("iss", json!(stranger)),
        ("iss", json!(ISSUER)),
        ("iss", json!([id])),
        ("sub", json!(other)),
        // Another client's ID, signed with this client's key.
        ("sub", json!(stranger)),
        ("sub", json!("keyed")),
        ("sub", json!(17)),
        ("jti", json!("")),
        ("jti", json!(17)),
        ("jti", json!(long)),
    ]
    .into_iter()
    .enumerate()
    {
        let good = assertion_claims(&server, id, &format!("b{index}"));
        let mut bad = good.clone();
        bad[name] = value.clone();
        refuses(&server, &key, &format!("{name} {value}"), &good, &bad).await;
    }
    let mut both = assertion_claims(&server, id, "both");
    both["iss"] = json!(stranger);
    both["sub"] = json!(stranger);
    let answer = present(&server, &assertion(&key, "EdDSA", &both), &[]).await;
    refused(
        "another client, signed by this one",
        &answer,
        401,
        "invalid_client",
    );
}

#[tokio::test]
async fn a_duplicate_claim_is_refused() {
    let (server, id, key) = keyed().await;
    let good = Members::of(assertion_claims(&server, id, "a").to_string().as_bytes());
    let header = json!({ "alg": "EdDSA", "kid": "one" }).to_string();
    let names: Vec<_> = good.names().map(str::to_owned).collect();
    assert!(names.len() >= 6);
    for name in names {
        let raw = good.raw(&name).to_owned();
        for bad in [good.and(&name, &raw), good.and(&name, &quoted("other"))] {
            let answer = present(&server, &key.seal(&header, bad.text()), &[]).await;
            refused(&name, &answer, 401, "invalid_client");
        }
    }
    access_token(&present(&server, &key.seal(&header, good.text()), &[]).await);
}

#[tokio::test]
async fn client_id_equals_the_subject_of_the_assertion_or_is_absent() {
    let (server, id, key) = keyed().await;
    let (other, _) = add_keyed_client(&server, "other", Algorithm::EdDsa).await;
    let signed = assertion(&key, "EdDSA", &assertion_claims(&server, id, "a"));
    for beside in [&other.to_string(), "keyed", ISSUER] {
        let answer = present(&server, &signed, &[("client_id", beside)]).await;
        refused(beside, &answer, 401, "invalid_client");
    }
    access_token(&present(&server, &signed, &[("client_id", &id.to_string())]).await);
}

#[tokio::test]
async fn an_assertion_is_accepted_once() {
    let (server, id, key) = keyed().await;
    let claims = assertion_claims(&server, id, "a");
    let signed = assertion(&key, "EdDSA", &claims);
    access_token(&present(&server, &signed, &[]).await);
    let answer = present(&server, &signed, &[]).await;
    refused("the same text", &answer, 401, "invalid_client");
    // Replay detection uses the `jti`, not the text: this assertion has the same `jti` and another `exp`.
    let mut other = claims.clone();
    other["exp"] = json!(START.secs() + 90);
    let answer = present(&server, &assertion(&key, "EdDSA", &other), &[]).await;
    refused("the same name", &answer, 401, "invalid_client");

    // Another client may use the same `jti`.
    let (second, key_of_second) = add_keyed_client(&server, "second", Algorithm::EdDsa).await;
    let own = assertion(
        &key_of_second,
        "EdDSA",
        &assertion_claims(&server, second, "a"),
    );
    access_token(&present(&server, &own, &[]).await);

    // The assertion is used up at the other endpoints too.
    for path in ["/oauth/revoke", "/oauth/introspect"] {
        let fields = super::fixture::form(&[
            ("client_assertion_type", super::fixture::BEARER_ASSERTION),
            ("client_assertion", &signed),
            ("token", "x"),
        ]);
        let answer = super::fixture::send(&server, path, &[], &fields).await;
        refused(path, &answer, 401, "invalid_client");
    }
}

#[tokio::test]
async fn one_of_twenty_concurrent_uses_of_an_assertion_succeeds() {
    let (server, id, key) = keyed().await;
    for round in 0..5 {
        let claims = assertion_claims(&server, id, &format!("{round}"));
        let signed = assertion(&key, "EdDSA", &claims);
        let all = (0..20).map(|_| present(&server, &signed, &[]));
        let answers = futures_util::future::join_all(all).await;
        let won = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!(won, 1);
        for answer in answers.iter().filter(|answer| answer.status != 200) {
            refused("a loser", answer, 401, "invalid_client");
        }
    }
}

#[tokio::test]
async fn a_used_assertion_stays_refused_after_restarts_compactions_and_clock_steps() {
    let (server, id, key) = keyed().await;
    let mut claims = assertion_claims(&server, id, "a");
    claims["exp"] = json!(START.secs() + HOUR);
    let signed = assertion(&key, "EdDSA", &claims);
    access_token(&present(&server, &signed, &[]).await);
    let refuses = async |server: &TestServer, when: &str| {
        let answer = present(server, &signed, &[]).await;
        refused(when, &answer, 401, "invalid_client");
    };
    let server = server.restart(|_| {}).await;
    refuses(&server, "after a restart").await;
    for ahead in [Duration::from_secs(7200), LIFETIME_CAP] {
        server.clock.step_to(START.plus(ahead));
        server.waxseal.compact().await.unwrap();
        server.clock.step_to(START);
        server.waxseal.catch_up().await.unwrap();
        refuses(&server, "after a compaction while the clock was ahead").await;
    }
    let server = server.restart(|settings| {
        settings.timeouts.leeway = Duration::from_secs(60);
    });
    refuses(&server.await, "with a larger leeway").await;
}

/// A `jti` is remembered for as long as its assertion could be accepted, and no longer.
#[tokio::test]
async fn a_used_assertion_is_stored_until_long_after_its_expiry() {
    let (server, id, key) = keyed().await;
    let claims = assertion_claims(&server, id, "a");
    access_token(&present(&server, &assertion(&key, "EdDSA", &claims), &[]).await);
    for (wait, forgotten) in [(LIFETIME_CAP, false), (Duration::from_secs(65), true)] {
        server.pass(wait).await;
        server.waxseal.compact().await.unwrap();
        // The same `jti`, with times that are valid now.
        let claims = assertion_claims(&server, id, "a");
        let answer = present(&server, &assertion(&key, "EdDSA", &claims), &[]).await;
        assert_eq!(answer.status == 200, forgotten, "{wait:?}: {answer:?}");
    }
}

#[tokio::test]
async fn new_keys_replace_the_previous_ones() {
    let (server, id, old) = keyed().await;
    let sign = |key: &Forger, kid: &str, alg: &str, jti: &str| {
        let header = json!({ "alg": alg, "kid": kid }).to_string();
        key.seal(header, assertion_claims(&server, id, jti).to_string())
    };
    let (ed, ec) = (
        Forger::stranger(Algorithm::EdDsa),
        Forger::stranger(Algorithm::Es256),
    );
    let set = json!({ "keys": [
        jwk(&old, Algorithm::EdDsa, "one"), jwk(&ed, Algorithm::EdDsa, "two"), jwk(&ec, Algorithm::Es256, "three"),
    ] });
    let keys = ClientKeys::parse(&set.to_string()).unwrap();
    change(&server, id, ClientChange::Keys(keys)).await;
    // The old key and the new ones, side by side.
    for (key, kid, alg) in [
        (&old, "one", "EdDSA"),
        (&ed, "two", "EdDSA"),
        (&ec, "three", "ES256"),
    ] {
        access_token(&present(&server, &sign(key, kid, alg, kid), &[]).await);
    }
    for (what, signed) in [
        ("the wrong name", sign(&ed, "one", "EdDSA", "x")),
        ("an unknown name", sign(&ed, "four", "EdDSA", "x")),
        ("another algorithm's name", sign(&ec, "three", "EdDSA", "x")),
        (
            "no name, where there are several keys",
            ed.seal(
                r#"{"alg":"EdDSA"}"#,
                assertion_claims(&server, id, "x").to_string(),
            ),
        ),
    ] {
        refused(
            what,
            &present(&server, &signed, &[]).await,
            401,
            "invalid_client",
        );
    }
    let keys = ClientKeys::parse(&jwk(&ed, Algorithm::EdDsa, "two").to_string()).unwrap();
    change(&server, id, ClientChange::Keys(keys)).await;
    let answer = present(&server, &sign(&old, "one", "EdDSA", "y"), &[]).await;
    refused("the old key", &answer, 401, "invalid_client");
    access_token(&present(&server, &sign(&ed, "two", "EdDSA", "y"), &[]).await);
    // A client with a single key may omit the `kid`.
    let unnamed = ed.seal(
        r#"{"alg":"EdDSA"}"#,
        assertion_claims(&server, id, "z").to_string(),
    );
    access_token(&present(&server, &unnamed, &[]).await);
}

#[tokio::test]
async fn unknown_disabled_and_deleted_clients_get_the_same_answer() {
    let (server, id, key) = keyed().await;
    let (gone, key_of_gone) = add_keyed_client(&server, "gone", Algorithm::EdDsa).await;
    change(&server, id, ClientChange::Disable).await;
    change(&server, gone, ClientChange::Delete).await;
    let unknown: ClientId = "client-01a20636-65a6-7b0b-ba2c-8e6795508a1e"
        .parse()
        .unwrap();
    let mut bodies = Vec::new();
    for (what, id, key) in [
        ("disabled", id, &key),
        ("deleted", gone, &key_of_gone),
        ("unknown", unknown, &key),
    ] {
        let signed = assertion(key, "EdDSA", &assertion_claims(&server, id, "a"));
        let answer = present(&server, &signed, &[]).await;
        refused(what, &answer, 401, "invalid_client");
        bodies.push(answer.body);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1);
    // None of the refusals used the assertion up.
    change(&server, id, ClientChange::Enable).await;
    let signed = assertion(&key, "EdDSA", &assertion_claims(&server, id, "a"));
    access_token(&present(&server, &signed, &[]).await);
}
