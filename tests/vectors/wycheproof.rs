//! Project Wycheproof's vectors, each case by its number.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm as Jose, DecodingKey};
use serde_json::{Value, json};
use waxseal::key::{Algorithm, KeyError, VerifyingKey};
use waxseal::keyring::Keyring;
use waxseal::time::Timestamp;
use waxseal::token::Malformed;
use waxseal::token::jws::UntrustedJws;

use super::{hex, read_json, vectors};

/// These are byte-identical to the valid case 357, and yet marked invalid: they test nothing.
const LEFT_OUT: [u64; 2] = [367, 370];

/// Cases that are marked valid and that Waxseal refuses on purpose.
const STRICTER: [(u64, &str); 6] = [
    (346, "PS256 key, PS384 header: one key, one algorithm"),
    (347, "ES521 key, ES512 header: one key, one algorithm"),
    (350, "PS256 key, PS384 header: one key, one algorithm"),
    (351, "ES521 key, ES512 header: one key, one algorithm"),
    (372, "a ? inside the header's base64url"),
    (373, "a ? inside the payload's base64url"),
];

fn file(name: &str) -> Option<Value> {
    Some(read_json(&vectors("wycheproof")?.join(name)))
}

/// The groups of the file, each with its cases.
fn groups(file: &Value) -> &[Value] {
    file["testGroups"].as_array().unwrap()
}

fn cases(group: &Value) -> &[Value] {
    group["tests"].as_array().unwrap()
}

fn number(case: &Value) -> u64 {
    case["tcId"].as_u64().unwrap()
}

fn marked_valid(case: &Value) -> bool {
    match case["result"].as_str().unwrap() {
        "valid" => true,
        "invalid" => false,
        other => panic!("{}: the verdict {other} is new", number(case)),
    }
}

fn verify(jws: &str, key: &VerifyingKey) -> Result<Vec<u8>, Malformed> {
    UntrustedJws::parse(jws).and_then(|jws| jws.verify(key))
}

fn from_jwk(jwk: &Value) -> Result<VerifyingKey, KeyError> {
    VerifyingKey::from_jwk(jwk.to_string().as_bytes())
}

/// Whether Waxseal supports the key, by the RFCs' names.
fn supported(jwk: &Value) -> bool {
    let names = ["kty", "crv", "alg"].map(|name| jwk[name].as_str().unwrap_or_default());
    matches!(
        names,
        ["EC", "P-256", "ES256"] | ["OKP", "Ed25519", "EdDSA" | "Ed25519"]
    )
}

#[test]
fn every_compact_jws_gets_its_verdict() {
    let Some(file) = file("json_web_signature_test.json") else {
        return;
    };
    let (mut seen, mut left_out, mut accepted, mut stricter, mut unsupported) = (0, 0, 0, 0, 0);
    let mut keys = Vec::new();
    for group in groups(&file) {
        let key = match group.get("public") {
            Some(public) => from_jwk(public),
            None => {
                let key = from_jwk(&group["private"]);
                assert_eq!(
                    key.as_ref().err(),
                    Some(&KeyError::Jwk("it carries a secret"))
                );
                key
            }
        };
        let jwk = group.get("public").unwrap_or(&group["private"]);
        assert_eq!(key.is_ok(), supported(jwk), "{jwk}: {key:?}");
        for case in cases(group) {
            seen += 1;
            let number = number(case);
            let jws = case["jws"].as_str().unwrap();
            if LEFT_OUT.contains(&number) {
                left_out += 1;
                continue;
            }
            let on_purpose = STRICTER.iter().find(|(refused, _)| *refused == number);
            if let Some((_, why)) = on_purpose {
                assert!(
                    marked_valid(case),
                    "{number} is not a quirk any more: {why}"
                );
                stricter += 1;
            }
            let Ok(key) = &key else {
                unsupported += 1;
                continue;
            };
            let expected = marked_valid(case) && on_purpose.is_none();
            let verdict = verify(jws, key);
            assert_eq!(verdict.is_ok(), expected, "{number}: {case} {verdict:?}");
            accepted += usize::from(expected);
        }
        keys.extend(key);
    }
    println!(
        "Wycheproof JWS: {seen} cases, {accepted} accepted, {} refused under a key of ours, \
         {unsupported} refused with their key, {stricter} stricter than marked, {left_out} left out",
        seen - accepted - unsupported - left_out
    );
    assert_eq!(
        (seen, left_out, stricter),
        (401, LEFT_OUT.len(), STRICTER.len())
    );
    assert!(accepted > 0 && unsupported > 0);
    assert_eq!(seen - unsupported - left_out, 15 + 24, "both ES256 groups");

    // The two keys are equal, so what passes under one passes under both. 354 and 356 are the token of 18: only the
    // `use` of the key that comes with them is wrong.
    let again = groups(&file)
        .iter()
        .flat_map(cases)
        .flat_map(|case| keys.iter().map(move |key| (case, key)))
        .filter(|(case, key)| verify(case["jws"].as_str().unwrap(), key).is_ok())
        .map(|(case, _)| number(case))
        .collect::<Vec<_>>();
    assert_eq!(again, [18, 18, 354, 354, 356, 356, 378, 378]);
}

#[test]
fn the_listed_quirks_of_the_vectors_are_still_true() {
    let Some(file) = file("json_web_signature_test.json") else {
        return;
    };
    let jws = |wanted| {
        groups(&file)
            .iter()
            .flat_map(cases)
            .find(|case| number(case) == wanted)
            .map(|case| case["jws"].as_str().unwrap())
            .unwrap()
    };
    for number in LEFT_OUT {
        assert_eq!(jws(number), jws(357), "{number}");
    }
    // The key is irrelevant for these two.
    for number in [372, 373] {
        assert_eq!(
            UntrustedJws::parse(jws(number)).err(),
            Some(Malformed::Shape),
            "{number}"
        );
    }
    assert!(UntrustedJws::parse(jws(357)).is_ok());
}

#[test]
fn every_key_set_gets_its_verdict() {
    let Some(file) = file("json_web_key_test.json") else {
        return;
    };
    let by_kid = |set: &Value, jws: &str| {
        let keyring = Keyring::from_jwks(set.to_string().as_bytes()).ok()?;
        let kid = UntrustedJws::parse(jws).ok()?.kid()?.to_owned();
        verify(jws, keyring.verifying(&kid, Timestamp::EPOCH)?).ok()
    };
    let (mut seen, mut accepted, mut unsupported) = (0, 0, 0);
    for group in groups(&file) {
        let set = group.get("public").unwrap_or(&group["private"]);
        let usable = set["keys"]
            .as_array()
            .is_some_and(|keys| keys.iter().all(supported));
        if group.get("public").is_none() {
            assert!(
                Keyring::from_jwks(set.to_string().as_bytes()).is_err(),
                "secrets: {set}"
            );
        }
        for case in cases(group) {
            seen += 1;
            let jws = case["jws"].as_str().unwrap();
            let verdict = by_kid(set, jws).is_some();
            assert_eq!(verdict, marked_valid(case) && usable, "{case}");
            accepted += usize::from(verdict);
            unsupported += usize::from(!usable);
        }
    }
    println!(
        "Wycheproof JWK: {seen} cases, {accepted} accepted, {unsupported} with a key set of algorithms that are not supported"
    );
    // The file's valid cases are HMAC and RSA.
    assert_eq!((seen, accepted), (26, 0));

    // Only the `use` of case 21 is wrong: it shows that the path above can succeed.
    let (set, jws) = groups(&file)
        .iter()
        .flat_map(|group| cases(group).iter().map(move |case| (group, case)))
        .find(|(_, case)| number(case) == 21)
        .map(|(group, case)| (group["public"].clone(), case["jws"].as_str().unwrap()))
        .unwrap();
    assert_eq!(set["keys"][0]["use"], "enc");
    let mut righted = set.clone();
    righted["keys"][0]["use"] = json!("sig");
    assert_eq!(by_kid(&righted, jws).as_deref(), Some(&b"foo"[..]));
    assert_eq!(by_kid(&set, jws), None);
}

/// Raw messages and signatures, through the provider that Waxseal installs in jsonwebtoken.
fn raw(name: &str, jose: Jose, key: impl Fn(&Value) -> (VerifyingKey, DecodingKey)) {
    let Some(file) = file(name) else { return };
    let (mut seen, mut accepted, mut acceptable) = (0, 0, 0);
    for group in groups(&file) {
        let (ours, decoding) = key(group);
        assert_eq!(ours.algorithm().name(), format!("{jose:?}"));
        for case in cases(group) {
            seen += 1;
            let bytes = |name: &str| hex(case[name].as_str().unwrap());
            let signature = URL_SAFE_NO_PAD.encode(bytes("sig"));
            let verdict =
                jsonwebtoken::crypto::verify(&signature, &bytes("msg"), &decoding, jose).unwrap();
            if case["result"] == "acceptable" {
                acceptable += 1;
            } else {
                assert_eq!(verdict, marked_valid(case), "{}: {case}", number(case));
            }
            accepted += usize::from(verdict);
        }
    }
    println!("Wycheproof {jose:?}: {seen} cases, {accepted} accepted, {acceptable} may be either");
    assert_eq!(Some(seen), file["numberOfTests"].as_u64());
    assert!(accepted > 0);
}

#[test]
fn every_ed25519_signature_gets_its_verdict() {
    raw("ed25519_test.json", Jose::EdDSA, |group| {
        let public = hex(group["publicKey"]["pk"].as_str().unwrap());
        let key = VerifyingKey::from_ed25519(&public).unwrap();
        assert_eq!(key.algorithm(), Algorithm::EdDsa);
        let jwk = serde_json::to_value(key.jwk()).unwrap();
        assert_eq!(jwk["x"], group["publicKeyJwk"]["x"]);
        (key, DecodingKey::from_ed_der(&public))
    });
}

#[test]
fn every_p256_signature_gets_its_verdict() {
    raw(
        "ecdsa_secp256r1_sha256_p1363_test.json",
        Jose::ES256,
        |group| {
            let mut jwk = match group.get("publicKeyJwk") {
                Some(jwk) => jwk.clone(),
                None => {
                    let point = hex(group["publicKey"]["uncompressed"].as_str().unwrap());
                    let text = |bytes| URL_SAFE_NO_PAD.encode::<&[u8]>(bytes);
                    json!({ "kty": "EC", "crv": "P-256", "x": text(&point[1..33]), "y": text(&point[33..]) })
                }
            };
            jwk["alg"] = json!("ES256");
            let key = from_jwk(&jwk).unwrap_or_else(|why| panic!("{jwk}: {why}"));
            assert_eq!(key.algorithm(), Algorithm::Es256);
            let point = hex(group["publicKey"]["uncompressed"].as_str().unwrap());
            (key, DecodingKey::from_ec_der(&point))
        },
    );
}
