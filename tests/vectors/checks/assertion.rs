//! Client assertions against jsonwebtoken.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use waxseal::account::client::{Client, ClientKeys};
use waxseal::issuer::assertion::UntrustedAssertion;
use waxseal::time::Timestamp;

use super::fixture::{CLIENT, EDDSA, ES256, Fixture, ISSUER, LEEWAY, NOW, client};
use super::others::jose;

/// The type of assertions that the draft asks for.
const TYPE: &str = "client-authentication+jwt";

/// The client, which registered two keys of the fixture.
static REGISTERED: LazyLock<Client> = LazyLock::new(|| {
    let signers = [EDDSA, ES256].map(|choice| Fixture::get().signer(choice).unwrap());
    let jwks = json!({ "keys": signers.map(|signer| signer.public().jwk().unwrap()) });
    let mut client = Client::new(client(), "orders".parse().unwrap(), Timestamp::EPOCH);
    client.keys = Some(ClientKeys::parse(&jwks.to_string()).unwrap());
    client
});

pub fn check(data: &[u8]) -> bool {
    let Some(text) = Fixture::get().text(data, TYPE) else {
        return false;
    };
    let Ok(untrusted) = UntrustedAssertion::parse(&text) else {
        return false;
    };
    let named = untrusted.client();
    let Ok(presented) = untrusted.check(&REGISTERED, ISSUER, NOW, LEEWAY) else {
        return false;
    };
    assert_eq!(named, client());
    let claims = claims(&text);
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let time = |name: &str| {
        let second = claims.get(name)?.as_i64().unwrap();
        Some(Timestamp::from_secs(second))
    };
    assert_eq!([text("iss"), text("sub")], [Some(CLIENT); 2]);
    assert_eq!(text("aud"), Some(ISSUER));
    assert!(text("jti").is_some_and(|jti| !jti.is_empty()));
    let end = time("exp").unwrap().plus(LEEWAY);
    assert!(NOW < end);
    assert_eq!(presented.expires_at, end);
    for from in ["iat", "nbf"] {
        assert!(time(from).is_none_or(|from| from <= NOW.plus(LEEWAY)));
    }
    true
}

/// The claims as jsonwebtoken reads them.
fn claims(text: &str) -> Map<String, Value> {
    let part = |at| {
        let bytes = URL_SAFE_NO_PAD.decode(text.split('.').nth(at).unwrap());
        serde_json::from_slice::<Map<String, Value>>(&bytes.unwrap()).unwrap()
    };
    let keys = REGISTERED.keys.as_ref().unwrap();
    let kid = part(0)
        .get("kid")
        .map(|kid| kid.as_str().unwrap().to_owned());
    let candidates: Vec<_> = keys.candidates(kid.as_deref()).collect();
    let [key] = candidates[..] else {
        panic!("no single key: {text}");
    };
    if part(0)["alg"] == "Ed25519" {
        // jsonwebtoken does not know this name of EdDSA (RFC 9864).
        assert!(jose::is_signed(text, key));
        return part(1);
    }
    let expected = jose::Expected {
        issuer: CLIENT,
        audience: ISSUER,
        required: &["aud", "exp", "iss", "sub"],
    };
    let token = jose::verified(text, key, &expected);
    token.unwrap_or_else(|| panic!("refused: {text}")).claims
}
