//! JWKs and JWK sets against jsonwebtoken.

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse,
    ThumbprintHash,
};
use serde_json::{Map, Value};
use waxseal::account::client::ClientKeys;
use waxseal::key::{Algorithm, VerifyingKey};
use waxseal::keyring::Keyring;
use waxseal::time::Timestamp;

/// The members that Waxseal reads. RFC 7517, section 4, has the others ignored, and jsonwebtoken parses some of them.
const READ: [&str; 8] = ["kty", "crv", "alg", "use", "key_ops", "kid", "x", "y"];

pub fn check(data: &[u8]) -> bool {
    let one = VerifyingKey::from_jwk(data).ok();
    if let Some(key) = &one {
        let jwk: Map<String, Value> = serde_json::from_slice(data).unwrap();
        agrees(key, jwk);
        let written = serde_json::to_vec(key.jwk().unwrap()).unwrap();
        let again = VerifyingKey::from_jwk(&written).unwrap();
        assert_eq!(again.kid(), key.kid());
        assert_eq!(again.algorithm(), key.algorithm());
        assert_eq!(again.public_bytes(), key.public_bytes());
    }
    let set = Keyring::from_jwks(data).ok();
    if let Some(keyring) = &set {
        let jwks: Value = serde_json::from_slice(data).unwrap();
        let keys = jwks["keys"].as_array().unwrap();
        assert_eq!(keyring.plan().len(), keys.len());
        for (planned, jwk) in keyring.plan().iter().zip(keys) {
            let key = keyring.verifying(planned.kid.as_str(), Timestamp::EPOCH);
            agrees(key.unwrap(), jwk.as_object().unwrap().clone());
        }
    }
    let clients = str::from_utf8(data).is_ok_and(|json| ClientKeys::parse(json).is_ok());
    assert!(
        !clients || one.is_some() || data_has_keys(data),
        "a client's key"
    );
    one.is_some() || set.is_some() || clients
}

/// Whether a JWK set has at least one key, and Waxseal also accepts each key outside the set.
fn data_has_keys(data: &[u8]) -> bool {
    let jwks: Value = serde_json::from_slice(data).unwrap();
    let keys = jwks["keys"].as_array().unwrap();
    let alone = |jwk: &Value| VerifyingKey::from_jwk(jwk.to_string().as_bytes()).is_ok();
    !keys.is_empty() && keys.iter().all(alone)
}

/// Asserts that jsonwebtoken reads the same public key for the same use.
fn agrees(key: &VerifyingKey, mut jwk: Map<String, Value>) {
    jwk.retain(|name, _| READ.contains(&name.as_str()));
    let theirs: Jwk = serde_json::from_value(Value::Object(jwk)).unwrap();
    let (algorithm, name) = match &theirs.algorithm {
        AlgorithmParameters::EllipticCurve(parameters) => {
            assert_eq!(parameters.curve, EllipticCurve::P256);
            (Algorithm::Es256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(parameters) => {
            assert_eq!(parameters.curve, EllipticCurve::Ed25519);
            (Algorithm::EdDsa, KeyAlgorithm::EdDSA)
        }
        other => panic!("a key of another kind: {other:?}"),
    };
    assert_eq!(key.algorithm(), algorithm);
    let decoding = DecodingKey::from_jwk(&theirs).unwrap();
    assert_eq!(decoding.try_get_as_bytes().unwrap(), key.public_bytes());
    let common = &theirs.common;
    // jsonwebtoken does not know the name of RFC 9864, `Ed25519`.
    let named = common.key_algorithm.unwrap_or(name);
    let newer = algorithm == Algorithm::EdDsa && named == KeyAlgorithm::UNKNOWN_ALGORITHM;
    assert!(named == name || newer, "{named}");
    let r#use = common.public_key_use.as_ref();
    assert!(r#use.is_none_or(|name| *name == PublicKeyUse::Signature));
    let operations = common.key_operations.as_ref();
    assert!(operations.is_none_or(|names| names.contains(&KeyOperations::Verify)));
    let kid = match &common.key_id {
        Some(kid) => kid.clone(),
        None => theirs.thumbprint(ThumbprintHash::SHA256).unwrap(),
    };
    assert_eq!(kid, key.kid().as_str());
}
