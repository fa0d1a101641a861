//! Public keys as JWK (RFC 7517), and JWK sets.

use serde_json::{Value, json};
use waxseal::key::{Algorithm, Format, KeyError, SigningKey, VerifyingKey, generate_pem};
use waxseal::keyring::{Keyring, KeyringError};
use waxseal::random::OsRandom;
use waxseal::schedule::ScheduleError;
use waxseal::time::Timestamp;
use waxseal::token::jws::UntrustedJws;

use super::{NOW, signer};

const UNSUPPORTED: &str = "kty, crv and alg name no algorithm that is supported";
const COORDINATE: &str = "a coordinate is missing or malformed";
const SECRET: &str = "it carries a secret";
const USE: &str = "its use is not sig";
const OPS: &str = "its key_ops do not have verify";
const OPS_LIST: &str = "its key_ops are not a list of texts";
const KID: &str = "its kid is not a short text";

fn new(algorithm: Algorithm) -> Value {
    let pem = generate_pem(algorithm, &OsRandom::new());
    let key = SigningKey::from_pem(pem.as_bytes(), algorithm.format()).unwrap();
    serde_json::to_value(key.public().jwk()).unwrap()
}

fn from_jwk(jwk: &Value) -> Result<VerifyingKey, KeyError> {
    VerifyingKey::from_jwk(jwk.to_string().as_bytes())
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

/// Asserts that the JWK is refused for this reason with each of these values in place of the member's own.
fn refused(jwk: &Value, name: &str, why: &'static str, values: &[Value]) {
    from_jwk(jwk).unwrap();
    for value in values {
        let bad = with(jwk, name, value.clone());
        let refused = from_jwk(&bad).expect_err(&format!("{bad}"));
        assert_eq!(refused, KeyError::Jwk(why), "{bad}");
    }
}

#[test]
fn our_own_keys_come_back() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
        let jwk = new(algorithm);
        let key = from_jwk(&jwk).unwrap();
        assert_eq!(key.algorithm(), algorithm);
        assert_eq!(serde_json::to_value(key.jwk()).unwrap(), jwk);
        assert_eq!(key.kid().as_str(), jwk["kid"]);
        // RFC 7517, section 4, allows additional members.
        let more = with(&jwk, "key_ops", json!(["verify"]));
        let more = with(&more, "x5t", json!("whatever"));
        assert_eq!(from_jwk(&more).unwrap().kid(), key.kid());
        let nameless = from_jwk(&without(&jwk, "kid")).unwrap();
        assert_eq!(nameless.kid(), key.kid(), "the thumbprint");
        from_jwk(&without(&jwk, "use")).unwrap();
    }
}

#[test]
fn names_that_contradict_each_other() {
    let (okp, ec) = (new(Algorithm::EdDsa), new(Algorithm::Es256));
    let not_text = [json!(null), json!(1), json!(["EdDSA"]), json!({})];
    for jwk in [&okp, &ec] {
        for name in ["kty", "crv", "alg"] {
            refused(jwk, name, UNSUPPORTED, &not_text);
        }
        for name in ["kty", "crv"] {
            let refused = from_jwk(&without(jwk, name)).unwrap_err();
            assert_eq!(refused, KeyError::Jwk(UNSUPPORTED));
        }
        let algorithms = [
            "none", "", "HS256", "RS256", "PS256", "ES384", "ES512", "ES521", "ES256K", "Ed448",
            "eddsa", "es256", "EdDSA ", "ECDH-ES",
        ];
        refused(jwk, "alg", UNSUPPORTED, &algorithms.map(Value::from));
        refused(
            jwk,
            "kty",
            UNSUPPORTED,
            &["oct", "RSA", "ec", "okp"].map(Value::from),
        );
    }
    refused(&okp, "kty", UNSUPPORTED, &[json!("EC")]);
    refused(&ec, "kty", UNSUPPORTED, &[json!("OKP")]);
    refused(&okp, "alg", UNSUPPORTED, &[json!("ES256")]);
    refused(&ec, "alg", UNSUPPORTED, &[json!("EdDSA"), json!("Ed25519")]);
    let curves = ["Ed448", "X25519", "X448", "P-256", "ed25519", ""];
    refused(&okp, "crv", UNSUPPORTED, &curves.map(Value::from));
    let curves = ["P-384", "P-521", "secp256k1", "Ed25519", "p-256", ""];
    refused(&ec, "crv", UNSUPPORTED, &curves.map(Value::from));
}

#[test]
fn another_purpose() {
    for jwk in [new(Algorithm::EdDsa), new(Algorithm::Es256)] {
        let uses = [
            json!("enc"),
            json!("SIG"),
            json!(""),
            json!(null),
            json!(["sig"]),
        ];
        refused(&jwk, "use", USE, &uses);
        let ops = [
            json!(["sign"]),
            json!(["encrypt", "deriveKey"]),
            json!([]),
            json!(["Verify"]),
        ];
        refused(&jwk, "key_ops", OPS, &ops);
        let no_list = [
            json!("verify"),
            json!([["verify"]]),
            json!(["verify", 1]),
            json!([null, "verify"]),
            json!(null),
        ];
        refused(&jwk, "key_ops", OPS_LIST, &no_list);
    }
}

#[test]
fn secrets() {
    for jwk in [new(Algorithm::EdDsa), new(Algorithm::Es256)] {
        for name in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
            let values = [jwk["x"].clone(), json!(""), json!(null), json!([])];
            refused(&jwk, name, SECRET, &values);
        }
    }
}

#[test]
fn coordinates() {
    let (okp, ec) = (new(Algorithm::EdDsa), new(Algorithm::Es256));
    for (jwk, name) in [(&okp, "x"), (&ec, "x"), (&ec, "y")] {
        let good = jwk[name].as_str().unwrap();
        assert_eq!(good.len(), 43);
        // The last character carries two bits that must be zero.
        let last = good.bytes().last().unwrap();
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let at = alphabet.iter().position(|&byte| byte == last).unwrap();
        let twin = format!("{}{}", &good[..42], char::from(alphabet[at + 1]));
        let values = [
            json!(format!("{good}=")),
            json!(format!("{good}==")),
            json!(format!(" {good}")),
            json!(format!("{good}\n")),
            json!(format!("{}+{}", &good[..10], &good[11..])),
            json!(format!("{}/{}", &good[..10], &good[11..])),
            json!(twin),
            json!(&good[..42]),
            json!(&good[..40]),
            json!(format!("AA{good}")),
            json!(format!("{}{good}", "A".repeat(4))),
            json!(""),
            json!(null),
            json!(7),
            json!([good]),
        ];
        refused(jwk, name, COORDINATE, &values);
        let missing = from_jwk(&without(jwk, name)).unwrap_err();
        assert_eq!(missing, KeyError::Jwk(COORDINATE));
    }
}

#[test]
fn names_that_are_not_valid_kids() {
    for jwk in [new(Algorithm::EdDsa), new(Algorithm::Es256)] {
        let names = [
            json!(""),
            json!("a b"),
            json!("a\u{0}"),
            json!("a\n"),
            json!("\u{e9}"),
            json!("a".repeat(129)),
            json!(1),
            json!(null),
        ];
        refused(&jwk, "kid", KID, &names);
        from_jwk(&with(&jwk, "kid", json!("a".repeat(128)))).unwrap();
    }
}

#[test]
fn json_with_two_readings() {
    let jwk = new(Algorithm::EdDsa);
    let body = jwk.to_string();
    let inner = body.strip_prefix('{').unwrap();
    let strict = KeyError::Jwk("it is not strict JSON");
    for member in ["kty", "crv", "x", "alg", "use", "kid"] {
        let value = &jwk[member];
        let escaped: String = member
            .chars()
            .map(|letter| format!("\\u{:04x}", u32::from(letter)))
            .collect();
        for name in [member, &escaped] {
            let bad = format!(r#"{{"{name}":{value},{inner}"#);
            let refused = VerifyingKey::from_jwk(bad.as_bytes()).unwrap_err();
            assert_eq!(refused, strict, "{bad}");
        }
    }
    for bad in [
        String::new(),
        "null".to_owned(),
        "[]".to_owned(),
        format!("[{body}]"),
        format!("{body}{body}"),
        format!("\u{feff}{body}"),
        format!(r#"{{"x5c":{{"a":1,"a":2}},{inner}"#),
    ] {
        let refused = VerifyingKey::from_jwk(bad.as_bytes()).unwrap_err();
        assert_eq!(refused, strict, "{bad}");
    }
}

#[test]
fn a_p256_point_that_is_not_on_the_curve_verifies_nothing() {
    let pem = generate_pem(Algorithm::Es256, &OsRandom::new());
    let good = SigningKey::from_pem(pem.as_bytes(), Format::Jwt).unwrap();
    let good = serde_json::to_value(good.public().jwk()).unwrap();
    let swapped = with(&with(&good, "x", good["y"].clone()), "y", good["x"].clone());
    let zero = with(
        &with(&good, "x", json!("A".repeat(43))),
        "y",
        json!("A".repeat(43)),
    );
    for bad in [swapped, zero] {
        // ring checks the point only when it verifies.
        let Ok(key) = from_jwk(&bad) else { continue };
        for signature in ["A".repeat(86), format!("{}AQ", "A".repeat(84))] {
            // The header is {"alg":"ES256"}.
            let text = format!("eyJhbGciOiJFUzI1NiJ9.Zm9v.{signature}");
            let jws = UntrustedJws::parse(&text).unwrap();
            assert!(jws.verify(&key).is_err(), "{bad}");
        }
    }
}

#[test]
fn sets() {
    let set = |keys: Value| Keyring::from_jwks(json!({ "keys": keys }).to_string().as_bytes());
    let (one, two) = (new(Algorithm::EdDsa), new(Algorithm::Es256));
    let both = set(json!([one, two])).unwrap();
    assert_eq!(both.plan().len(), 2);
    assert!(signer(&both).is_none());
    for now in [Timestamp::EPOCH, NOW, Timestamp::from_millis(i64::MAX - 1)] {
        assert!(both.verifying(one["kid"].as_str().unwrap(), now).is_some());
        assert!(both.verifying("", now).is_none());
    }

    let kid = one["kid"].as_str().unwrap();
    let double = KeyringError::Schedule(ScheduleError::DoubleKid(kid.parse().unwrap()));
    let impostor = with(&two, "kid", json!(kid));
    let nameless = without(&one, "kid");
    for keys in [
        json!([one, impostor]),
        json!([one, one]),
        json!([one, two, nameless]),
        json!([nameless, nameless]),
    ] {
        assert_eq!(set(keys).unwrap_err(), double);
    }
    assert!(double.to_string().contains("remove one of them"));

    let secret = with(&one, "d", json!("AA"));
    assert_eq!(
        set(json!([two, secret])).unwrap_err(),
        KeyringError::Key(1, KeyError::Jwk(SECRET)),
        "one bad key refuses the set"
    );
    for bad in [
        "",
        "[]",
        "{}",
        r#"{"keys":{}}"#,
        r#"{"keys":[1]}"#,
        r#"{"keys":[],"keys":[]}"#,
        r#"{"Keys":[]}"#,
        &json!([one]).to_string(),
        &one.to_string(),
    ] {
        let refused = Keyring::from_jwks(bad.as_bytes()).unwrap_err();
        assert_eq!(refused, KeyringError::NotJwkSet, "{bad}");
    }
}
