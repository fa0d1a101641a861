//! Imported private keys in JWK form.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use waxseal::key::{Algorithm, Format, KeyError, SigningKey, pem_from_jwk};

use super::{der, new_ec, new_ed25519, openssl};

const PART: &str = "a private half or a coordinate is missing or malformed";
const UNSUPPORTED: &str = "kty, crv and alg name no algorithm that is supported";

/// RFC 8037, appendix A.1.
fn rfc_8037() -> Value {
    json!({
        "kty": "OKP",
        "crv": "Ed25519",
        "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    })
}

/// RFC 7515, appendix A.3.
fn rfc_7515() -> Value {
    json!({
        "kty": "EC",
        "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI",
    })
}

/// RFC 7517, appendix A.2.
fn rfc_7517() -> Value {
    json!({
        "kty": "EC",
        "crv": "P-256",
        "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
        "d": "870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE",
        "use": "enc",
        "kid": "1",
    })
}

fn import(jwk: &Value) -> Result<String, KeyError> {
    pem_from_jwk(jwk.to_string().as_bytes()).map(|pem| pem.to_string())
}

fn with(jwk: &Value, name: &str, value: Value) -> Value {
    let mut jwk = jwk.clone();
    jwk[name] = value;
    jwk
}

fn without(jwk: &Value, name: &str) -> Value {
    let mut jwk = jwk.clone();
    jwk.as_object_mut().unwrap().remove(name).unwrap();
    jwk
}

fn refused(jwk: &Value, why: KeyError) {
    assert_eq!(import(jwk).unwrap_err(), why, "{jwk}");
}

#[test]
fn the_keys_of_the_rfcs() {
    let ed25519 = import(&rfc_8037()).unwrap();
    let key = SigningKey::from_pem(ed25519.as_bytes(), Format::Jwt).unwrap();
    let thumbprint = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
    assert_eq!(key.public().kid().as_str(), thumbprint);
    let paseto = SigningKey::from_pem(ed25519.as_bytes(), Format::Paseto).unwrap();
    assert_eq!(paseto.public().public_bytes(), key.public().public_bytes());

    let ec = import(&rfc_7515()).unwrap();
    let key = SigningKey::from_pem(ec.as_bytes(), Format::Jwt).unwrap();
    assert_eq!(key.public().algorithm(), Algorithm::Es256);
    let jwk = serde_json::to_value(key.public().jwk()).unwrap();
    for coordinate in ["x", "y"] {
        assert_eq!(jwk[coordinate], rfc_7515()[coordinate]);
    }
    let refused = SigningKey::from_pem(ec.as_bytes(), Format::Paseto).unwrap_err();
    assert_eq!(refused, KeyError::NotForPaseto);

    // The key's use is encryption.
    self::refused(&rfc_7517(), KeyError::Jwk("its use is not sig"));
    import(&with(&rfc_7517(), "use", json!("sig"))).unwrap();
}

/// Returns the JWK with the private half at its offset in PKCS#8, and the public half that OpenSSL computes.
fn by_openssl(pem: &[u8], at: usize, members: &Value) -> Value {
    let spki = openssl("pkey -pubout -outform DER", pem);
    let mut jwk = members.clone();
    jwk["d"] = json!(URL_SAFE_NO_PAD.encode(&der(pem)[at..at + 32]));
    for (name, from_end) in [("x", if at == 16 { 32 } else { 64 }), ("y", 32)] {
        let start = spki.len() - from_end;
        jwk[name] = json!(URL_SAFE_NO_PAD.encode(&spki[start..start + 32]));
    }
    jwk
}

#[test]
fn keys_made_by_openssl() {
    let okp = json!({ "kty": "OKP", "crv": "Ed25519" });
    let ec = json!({ "kty": "EC", "crv": "P-256" });
    for (pem, at, members) in [(new_ed25519(), 16, okp), (new_ec("P-256"), 36, ec)] {
        let jwk = by_openssl(&pem, at, &members);
        let imported = import(&jwk).unwrap();
        let name = |pem: &[u8]| {
            let key = SigningKey::from_pem(pem, Format::Jwt).unwrap();
            key.public().kid().clone()
        };
        assert_eq!(name(imported.as_bytes()), name(&pem));
        assert_eq!(
            openssl("pkey -pubout", imported.as_bytes()),
            openssl("pkey -pubout", &pem),
            "OpenSSL reads it"
        );
        for (name, value) in [
            ("use", json!("sig")),
            ("key_ops", json!(["sign"])),
            ("key_ops", json!(["verify", "sign"])),
            ("kid", json!("theirs")),
            ("x5t", json!("whatever")),
        ] {
            assert_eq!(import(&with(&jwk, name, value)).unwrap(), imported);
        }
    }
}

#[test]
fn a_public_half_of_another_key() {
    let okp = json!({ "kty": "OKP", "crv": "Ed25519" });
    let ed25519 = by_openssl(&new_ed25519(), 16, &okp);
    refused(
        &with(&rfc_8037(), "x", ed25519["x"].clone()),
        KeyError::PublicHalfDiffers,
    );
    refused(
        &with(&rfc_8037(), "d", ed25519["d"].clone()),
        KeyError::PublicHalfDiffers,
    );
    let mut other = rfc_7515();
    for name in ["x", "y"] {
        other[name] = rfc_7517()[name].clone();
    }
    refused(&other, KeyError::PublicHalfDiffers);
    let private = with(&rfc_7515(), "d", rfc_7517()["d"].clone());
    refused(&private, KeyError::PublicHalfDiffers);
    // A point off the curve, or coordinates swapped.
    let swapped = with(&rfc_7515(), "x", rfc_7515()["y"].clone());
    for bad in [
        with(&swapped, "y", rfc_7515()["x"].clone()),
        with(&rfc_7515(), "y", rfc_7515()["x"].clone()),
    ] {
        let why = import(&bad).unwrap_err();
        assert!(
            matches!(why, KeyError::PublicHalfDiffers | KeyError::Malformed),
            "{why:?}"
        );
    }
}

#[test]
fn parts_that_are_missing_or_malformed() {
    for (jwk, names) in [
        (rfc_8037(), &["d", "x"][..]),
        (rfc_7515(), &["d", "x", "y"]),
    ] {
        for name in names {
            let good = jwk[name].as_str().unwrap();
            refused(&without(&jwk, name), KeyError::Jwk(PART));
            for bad in [
                json!(format!("{good}=")),
                json!(format!(" {good}")),
                json!(format!("{good}AAAA")),
                json!(&good[..40]),
                json!(&good[..42]),
                json!(format!("+{}", &good[1..])),
                json!(""),
                json!(null),
                json!(1),
                json!([good]),
            ] {
                refused(&with(&jwk, name, bad), KeyError::Jwk(PART));
            }
        }
    }
    // Values that are not valid P-256 scalars.
    for d in ["A".repeat(43), format!("{}8", "_".repeat(42))] {
        let why = import(&with(&rfc_7515(), "d", json!(d))).unwrap_err();
        assert!(
            matches!(why, KeyError::PublicHalfDiffers | KeyError::Malformed),
            "{why:?}"
        );
    }
}

#[test]
fn other_keys_and_other_purposes() {
    for jwk in [rfc_8037(), rfc_7515()] {
        for (name, values) in [
            (
                "kty",
                [json!("RSA"), json!("oct"), json!("ec"), json!(null)],
            ),
            (
                "crv",
                [json!("P-384"), json!("Ed448"), json!("X25519"), json!(1)],
            ),
            (
                "alg",
                [json!("ES512"), json!("none"), json!("ECDH-ES"), json!(null)],
            ),
        ] {
            for value in values {
                refused(&with(&jwk, name, value), KeyError::Jwk(UNSUPPORTED));
            }
        }
        for value in [json!("enc"), json!(null), json!(["sig"])] {
            let why = KeyError::Jwk("its use is not sig");
            refused(&with(&jwk, "use", value), why);
        }
        let ops = "its key_ops do not have sign";
        let no_list = "its key_ops are not a list of texts";
        for (value, why) in [
            (json!(["verify"]), ops),
            (json!([]), ops),
            (json!("sign"), no_list),
            (json!(["sign", 1]), no_list),
            (json!(null), no_list),
        ] {
            refused(&with(&jwk, "key_ops", value), KeyError::Jwk(why));
        }
    }
    refused(
        &with(&rfc_8037(), "alg", json!("ES256")),
        KeyError::Jwk(UNSUPPORTED),
    );
    refused(
        &with(&rfc_7515(), "alg", json!("EdDSA")),
        KeyError::Jwk(UNSUPPORTED),
    );
}

#[test]
fn json_with_two_readings() {
    let strict = KeyError::Jwk("it is not strict JSON");
    for jwk in [rfc_8037(), rfc_7515()] {
        let text = jwk.to_string();
        for bad in [
            text.replacen('{', r#"{"d":"AA","#, 1),
            text.replacen('{', r#"{"\u0064":"AA","#, 1),
            format!("[{text}]"),
            format!("{text}{text}"),
            format!(r#"{{"keys":[{text}]"#),
            text[1..].to_owned(),
            String::new(),
        ] {
            let refused = pem_from_jwk(bad.as_bytes()).unwrap_err();
            assert_eq!(refused, strict, "{bad}");
        }
        // A set is not a key.
        let set = json!({ "keys": [jwk] });
        refused(&set, KeyError::Jwk(UNSUPPORTED));
    }
}
