//! The official vectors of PASETO v4 and PASERK.

use std::collections::BTreeMap;

use pem::Pem;
use serde_json::Value;
use waxseal::encoding::paserk;
use waxseal::key::{Format, SigningKey, VerifyingKey};
use waxseal::token::Malformed;
use waxseal::token::paseto::{UntrustedMessage, UntrustedPaseto, sign_message};

use super::{hex, read_json, vectors};

/// The DER of a PKCS#8 key (RFC 8410, section 7), up to the seed.
const PKCS8: &str = "302e020100300506032b657004220420";

fn tests(name: &str) -> Option<Vec<Value>> {
    let file = read_json(&vectors("paseto")?.join(name));
    Some(file["tests"].as_array().unwrap().clone())
}

fn text<'a>(test: &'a Value, name: &str) -> &'a str {
    test[name]
        .as_str()
        .unwrap_or_else(|| panic!("{name} of {test}"))
}

fn expect_fail(test: &Value) -> bool {
    test["expect-fail"].as_bool().unwrap()
}

/// The private key of a 4-S vector.
fn signing_key(test: &Value) -> SigningKey {
    let der = [hex(PKCS8), hex(text(test, "secret-key-seed"))].concat();
    let pem = pem::encode(&Pem::new("PRIVATE KEY", der));
    SigningKey::from_pem(pem.as_bytes(), Format::Paseto).unwrap()
}

fn public_key(test: &Value) -> VerifyingKey {
    let bytes: [u8; 32] = hex(text(test, "public-key")).try_into().unwrap();
    VerifyingKey::from_paserk(&paserk::public(&bytes)).unwrap()
}

fn verify(token: &str, key: &VerifyingKey, assertion: &[u8]) -> Result<Vec<u8>, Malformed> {
    UntrustedMessage::parse(token).and_then(|message| message.verify(key, assertion))
}

#[test]
fn every_v4_vector_gets_its_verdict() {
    let Some(tests) = tests("v4.json") else {
        return;
    };
    // The key pair that the signed vectors share, for vectors without a key.
    let key = public_key(
        tests
            .iter()
            .find(|test| text(test, "name") == "4-S-1")
            .unwrap(),
    );
    let mut seen = BTreeMap::new();
    for test in &tests {
        let (name, token) = (text(test, "name"), text(test, "token"));
        *seen.entry(&name[..3]).or_insert(0) += 1;
        let (footer, assertion) = (text(test, "footer"), text(test, "implicit-assertion"));
        if !name.starts_with("4-S-") {
            assert!(name.starts_with("4-E-") != expect_fail(test), "{name}");
            let refused = verify(token, &key, assertion.as_bytes());
            // 4-F-2 was encrypted and then relabelled as public: only the signature reveals it.
            let called_public = name == "4-F-2";
            let expected = if called_public {
                Malformed::Signature
            } else {
                Malformed::Shape
            };
            assert_eq!(refused, Err(expected), "{name}");
            assert_eq!(UntrustedPaseto::parse(token).is_ok(), called_public);
            continue;
        }
        let (private, payload) = (signing_key(test), text(test, "payload").as_bytes());
        assert_eq!(
            private.public().public_bytes(),
            hex(text(test, "public-key"))
        );
        let signed = sign_message(payload, footer.as_bytes(), assertion.as_bytes(), &private);
        assert_eq!(signed.as_deref(), Ok(token), "{name}");

        let key = public_key(test);
        assert_eq!(key.kid(), private.public().kid());
        let message = UntrustedMessage::parse(token).unwrap();
        assert_eq!(message.footer(), footer.as_bytes(), "{name}");
        assert_eq!(
            message.verify(&key, assertion.as_bytes()).as_deref(),
            Ok(payload)
        );
        let other = verify(token, &key, format!("{assertion} ").as_bytes());
        assert_eq!(other, Err(Malformed::Signature), "{name}");
        // The same key must not count if it is meant for JWTs.
        let der = [hex(PKCS8), hex(text(test, "secret-key-seed"))].concat();
        let pem = pem::encode(&Pem::new("PRIVATE KEY", der));
        let for_jwt = SigningKey::from_pem(pem.as_bytes(), Format::Jwt).unwrap();
        let refused = verify(token, for_jwt.public(), assertion.as_bytes());
        assert_eq!(refused, Err(Malformed::Algorithm), "{name}");
        assert!(sign_message(payload, b"", b"", &for_jwt).is_err());
    }
    println!("PASETO v4: {seen:?} (S signed, E encrypted, F must fail)");
    assert_eq!(seen, BTreeMap::from([("4-E", 9), ("4-F", 5), ("4-S", 3)]));
}

#[test]
fn every_pem_of_the_v4_vectors_is_the_same_key() {
    let Some(tests) = tests("v4.json") else {
        return;
    };
    let mut seen = 0;
    for test in tests
        .iter()
        .filter(|test| test.get("secret-key-pem").is_some())
    {
        let pem = text(test, "secret-key-pem").as_bytes();
        let key = SigningKey::from_pem(pem, Format::Paseto).unwrap();
        assert_eq!(key.public().public_bytes(), hex(text(test, "public-key")));
        seen += 1;
    }
    assert_eq!(seen, 4, "4-S-1 to 4-S-3, and 4-F-1");
}

#[test]
fn every_k4_public_gets_its_verdict() {
    let Some(tests) = tests("PASERK/k4.public.json") else {
        return;
    };
    let mut failed = 0;
    for test in &tests {
        let (name, bytes) = (text(test, "name"), hex(text(test, "key")));
        let key: Result<[u8; 32], _> = bytes.try_into();
        // The type does not admit a key of another length.
        assert_eq!(key.is_err(), expect_fail(test), "{name}");
        let Ok(key) = key else {
            failed += 1;
            continue;
        };
        assert_eq!(paserk::public(&key), text(test, "paserk"), "{name}");
        assert_eq!(paserk::parse_public(text(test, "paserk")), Some(key));
    }
    println!("PASERK k4.public: {} cases, {failed} refused", tests.len());
    assert_eq!((tests.len(), failed), (4, 1));
}

#[test]
fn every_k4_pid_gets_its_verdict() {
    let Some(tests) = tests("PASERK/k4.pid.json") else {
        return;
    };
    let mut failed = 0;
    for test in &tests {
        let (name, bytes) = (text(test, "name"), hex(text(test, "key")));
        let key: Result<[u8; 32], _> = bytes.try_into();
        assert_eq!(key.is_err(), expect_fail(test), "{name}");
        let Ok(key) = key else {
            failed += 1;
            continue;
        };
        assert_eq!(paserk::public_id(&key), text(test, "paserk"), "{name}");
    }
    println!("PASERK k4.pid: {} cases, {failed} refused", tests.len());
    assert_eq!((tests.len(), failed), (5, 2));
}

/// Private keys come as PKCS#8 or JWK. These texts are refused, and never parsed as public keys.
#[test]
fn secret_paserks_are_refused() {
    let mut seen = 0;
    for name in ["k4.secret", "k4.sid"] {
        let Some(tests) = tests(&format!("PASERK/{name}.json")) else {
            return;
        };
        for text in tests.iter().filter_map(|test| test["paserk"].as_str()) {
            assert!(text.starts_with(name), "{text}");
            assert_eq!(paserk::parse_public(text), None, "{text}");
            assert!(VerifyingKey::from_paserk(text).is_err(), "{text}");
            assert!(SigningKey::from_pem(text.as_bytes(), Format::Paseto).is_err());
            seen += 1;
        }
    }
    println!("LEFT OUT: PASERK k4.secret and k4.sid are not supported; {seen} texts are refused");
    assert_eq!(seen, 6);
}

#[test]
fn texts_that_are_nearly_a_k4_public() {
    let good = paserk::public(&[0x70; 32]);
    assert!(paserk::parse_public(&good).is_some());
    let body = good.strip_prefix("k4.public.").unwrap();
    for text in [
        String::new(),
        body.to_owned(),
        format!("k4.public{body}"),
        format!("k4.Public.{body}"),
        format!("K4.public.{body}"),
        format!("k3.public.{body}"),
        format!("k2.public.{body}"),
        format!("k1.public.{body}"),
        format!("k4.local.{body}"),
        format!("k4.pid.{body}"),
        format!("{good}="),
        format!("{good}."),
        format!("{good} "),
        format!(" {good}"),
        format!("{good}\n"),
        good[..good.len() - 1].to_owned(),
        format!("{good}A"),
        format!("{good}AAAA"),
        // Another last character that decodes to the same bytes.
        format!("{}x", &good[..good.len() - 1]),
        good.replacen("cH", "c+", 1),
        "k4.public.".to_owned(),
    ] {
        assert_eq!(paserk::parse_public(&text), None, "{text:?}");
        assert!(VerifyingKey::from_paserk(&text).is_err(), "{text:?}");
    }
}
