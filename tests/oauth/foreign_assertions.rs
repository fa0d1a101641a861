//! Signed tokens that are not valid client assertions.

use ring::hmac;
use serde_json::json;
use waxseal::account::client::{ClientChange, ClientKeys};
use waxseal::key::{Algorithm, Format};

use super::common::{TestServer, signing_pem};
use super::fixture::{
    access_token, add_client, add_keyed_client, assertion, assertion_claims, change, jwk, present,
    refused, token,
};
use super::forger::{Forger, encode};

fn hs256(secret: &[u8], header: &str, claims: &str) -> String {
    let signed = format!("{}.{}", encode(header), encode(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let tag = encode(hmac::sign(&key, signed.as_bytes()));
    format!("{signed}.{tag}")
}

#[tokio::test]
async fn an_assertion_signed_with_a_shared_secret_is_refused() {
    let server = TestServer::new().await;
    let (id, key) = add_keyed_client(&server, "keyed", Algorithm::EdDsa).await;
    // The client also has a secret.
    let (secret, digest) = super::fixture::new_secret();
    change(&server, id, ClientChange::AddSecret(digest)).await;
    let claims = assertion_claims(&server, id, "a").to_string();
    let jwk = jwk(&key, Algorithm::EdDsa, "one").to_string();
    let digest = super::fixture::digest(&secret);
    for alg in ["HS256", "EdDSA", "Ed25519", "none"] {
        let header = json!({ "alg": alg, "kid": "one" }).to_string();
        for (what, mac_key) in [
            ("its secret", secret.as_bytes()),
            ("what is kept of its secret", digest.bytes().as_slice()),
            ("its public key", key.public()),
            ("its public key as SPKI", &key.spki()),
            ("its public key as JWK", jwk.as_bytes()),
            ("nothing", b""),
        ] {
            let signed = hs256(mac_key, &header, &claims);
            let answer = present(&server, &signed, &[]).await;
            refused(
                &format!("{alg} with {what}"),
                &answer,
                401,
                "invalid_client",
            );
        }
    }
    access_token(
        &present(
            &server,
            &key.seal(r#"{"alg":"EdDSA","kid":"one"}"#, &claims),
            &[],
        )
        .await,
    );
}

#[tokio::test]
async fn a_client_without_keys_cannot_use_assertions() {
    let server = TestServer::new().await;
    let client = add_client(&server, "billing", "", &[]).await;
    let claims = assertion_claims(&server, client.id, "a");
    let signed = hs256(
        client.secret.as_bytes(),
        r#"{"alg":"HS256"}"#,
        &claims.to_string(),
    );
    refused(
        "HS256",
        &present(&server, &signed, &[]).await,
        401,
        "invalid_client",
    );
    let signed = assertion(&Forger::stranger(Algorithm::EdDsa), "EdDSA", &claims);
    refused(
        "any key",
        &present(&server, &signed, &[]).await,
        401,
        "invalid_client",
    );
}

#[tokio::test]
async fn the_algorithm_of_an_assertion_is_that_of_its_key() {
    for (algorithm, right) in [(Algorithm::EdDsa, "EdDSA"), (Algorithm::Es256, "ES256")] {
        let server = TestServer::new().await;
        let (id, key) = add_keyed_client(&server, "keyed", algorithm).await;
        let claims = assertion_claims(&server, id, "a");
        let wrong = [
            "none",
            "None",
            "",
            "HS256",
            "RS256",
            "ES384",
            "eddsa",
            "EDDSA",
            "es256",
            "Ed448",
            "v4.public",
        ];
        let other = if right == "EdDSA" { "ES256" } else { "EdDSA" };
        for alg in wrong.into_iter().chain([other]) {
            let answer = present(&server, &assertion(&key, alg, &claims), &[]).await;
            refused(alg, &answer, 401, "invalid_client");
        }
        let header = encode(r#"{"alg":"none","kid":"one"}"#);
        let payload = encode(claims.to_string());
        for signature in ["", "AA"] {
            let unsigned = format!("{header}.{payload}.{signature}");
            let answer = present(&server, &unsigned, &[]).await;
            refused("unsigned", &answer, 401, "invalid_client");
        }
        access_token(&present(&server, &assertion(&key, right, &claims), &[]).await);
    }
}

#[tokio::test]
async fn an_assertion_header_has_only_alg_typ_and_kid() {
    let server = TestServer::new().await;
    let (id, key) = add_keyed_client(&server, "keyed", Algorithm::EdDsa).await;
    let claims = assertion_claims(&server, id, "a").to_string();
    for member in [
        r#""b64":false"#,
        r#""b64":true"#,
        r#""b64":false,"crit":["b64"]"#,
        r#""crit":[]"#,
        r#""crit":["exp"]"#,
        r#""jku":"https://attacker.example/keys""#,
        r#""jwk":{}"#,
        r#""x5u":"https://attacker.example""#,
        r#""zip":"DEF""#,
        r#""alg":"EdDSA""#,
        r#""kid":"two""#,
        r#""typ":"at+jwt""#,
        r#""typ":"application/at+jwt""#,
        r#""typ":"dpop+jwt""#,
        r#""typ":"jwt""#,
        r#""typ":"""#,
        r#""typ":null"#,
    ] {
        let header = format!(r#"{{"alg":"EdDSA","kid":"one",{member}}}"#);
        let answer = present(&server, &key.seal(header, &claims), &[]).await;
        refused(member, &answer, 401, "invalid_client");
    }
    for (index, typ) in ["JWT", "client-authentication+jwt"].into_iter().enumerate() {
        let header = json!({ "alg": "EdDSA", "kid": "one", "typ": typ }).to_string();
        let claims = assertion_claims(&server, id, &format!("b{index}")).to_string();
        access_token(&present(&server, &key.seal(header, claims), &[]).await);
    }
}

/// Even if a client was given the service's own public key by mistake.
#[tokio::test]
async fn an_access_token_is_refused_as_an_assertion() {
    let server = TestServer::new().await;
    server.add_user("alice").await;
    let client = add_client(&server, "billing", "", &[]).await;
    let pem = signing_pem(&server.settings.keys_dir, Format::Jwt);
    let own = Forger::from_pem(pem.as_bytes(), Format::Jwt);
    let session = server.login("alice").await;
    let kid = super::fixture::jwt_header(&session)["kid"]
        .as_str()
        .unwrap()
        .to_owned();
    let keys = jwk(&own, Algorithm::EdDsa, &kid).to_string();
    change(
        &server,
        client.id,
        ClientChange::Keys(ClientKeys::parse(&keys).unwrap()),
    )
    .await;
    for token in [token(&server, &client).await, session] {
        refused(
            "a token",
            &present(&server, &token, &[]).await,
            401,
            "invalid_client",
        );
    }
}

#[tokio::test]
async fn garbage_is_refused_as_an_assertion() {
    let server = TestServer::new().await;
    let (id, key) = add_keyed_client(&server, "keyed", Algorithm::EdDsa).await;
    let claims = assertion_claims(&server, id, "a");
    let good = assertion(&key, "EdDSA", &claims);
    let [header, payload, signature] = super::forger::parts(&good);
    let stranger = Forger::stranger(Algorithm::EdDsa);
    for (what, text) in [
        ("a word", "x".to_owned()),
        ("dots", "..".to_owned()),
        ("two parts", format!("{header}.{payload}")),
        ("four parts", format!("{good}.{signature}")),
        ("padding", format!("{good}=")),
        ("a space", format!("{good} ")),
        ("another signature", stranger.seal_parts(header, payload)),
        (
            "claims of another",
            format!("{header}.{}.{signature}", encode("{}")),
        ),
        ("no JSON", key.seal(r#"{"alg":"EdDSA","kid":"one"}"#, "x")),
        ("a PASETO", format!("v4.public.{payload}")),
        ("more than fits", format!("{good}{}", "A".repeat(9000))),
    ] {
        let answer = present(&server, &text, &[]).await;
        refused(what, &answer, 401, "invalid_client");
    }
    access_token(&present(&server, &good, &[]).await);
}
