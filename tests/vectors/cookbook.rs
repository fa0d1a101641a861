//! The JOSE cookbook: the examples of RFC 7520, RFC 8037 and RFC 7797.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use waxseal::key::{Algorithm, KeyError, VerifyingKey};
use waxseal::token::Malformed;
use waxseal::token::jws::UntrustedJws;

use super::{read_json, vectors};

/// RFC 8037, appendix A.3.
const RFC_8037_THUMBPRINT: &str = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";

/// The JSON files of a folder of the cookbook, with their names.
fn files(folder: &str) -> Option<Vec<(String, Value)>> {
    let folder = vectors("jose-cookbook")?.join(folder);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    paths.sort();
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    Some(
        paths
            .iter()
            .map(|path| (name(path), read_json(path)))
            .collect(),
    )
}

fn rfc_8037() -> Option<Value> {
    Some(read_json(
        &vectors("jose-cookbook")?.join("curve25519/jws.json"),
    ))
}

/// The example's public key as the appendix prints it, with additional members.
fn public_jwk(example: &Value, members: Value) -> Vec<u8> {
    let mut jwk = example["input"]["key"].as_object().unwrap().clone();
    jwk.remove("d").unwrap();
    jwk.extend(members.as_object().unwrap().clone());
    Value::from(jwk).to_string().into_bytes()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name]
        .as_str()
        .unwrap_or_else(|| panic!("{name} of {value}"))
}

fn verify(jws: &str, key: &VerifyingKey) -> Result<Vec<u8>, Malformed> {
    UntrustedJws::parse(jws).and_then(|jws| jws.verify(key))
}

#[test]
fn the_key_of_rfc_8037_is_accepted_as_it_is() {
    let Some(example) = rfc_8037() else { return };
    // The key has no `alg`, which is optional (RFC 7517, section 4.4): `kty` and `crv` determine the algorithm.
    let key = VerifyingKey::from_jwk(&public_jwk(&example, json!({})));
    let key = key.unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(key.kid().as_str(), RFC_8037_THUMBPRINT);
    assert!(verify(text(&example["output"], "compact"), &key).is_ok());
}

#[test]
fn the_signature_of_rfc_8037_is_accepted_and_its_thumbprint_names_the_key() {
    let Some(example) = rfc_8037() else { return };
    let compact = text(&example["output"], "compact");
    let payload = text(&example["input"], "payload").as_bytes();
    for alg in ["EdDSA", "Ed25519"] {
        let key = VerifyingKey::from_jwk(&public_jwk(&example, json!({ "alg": alg }))).unwrap();
        assert_eq!(key.algorithm(), Algorithm::EdDsa);
        assert_eq!(key.kid().as_str(), RFC_8037_THUMBPRINT);
        assert_eq!(verify(compact, &key).as_deref(), Ok(payload));
    }
    let named = public_jwk(&example, json!({ "alg": "EdDSA", "kid": "mine" }));
    assert_eq!(
        VerifyingKey::from_jwk(&named).unwrap().kid().as_str(),
        "mine"
    );

    let raw = URL_SAFE_NO_PAD
        .decode(text(&example["input"]["key"], "x"))
        .unwrap();
    let key = VerifyingKey::from_ed25519(&raw).unwrap();
    assert_eq!(key.kid().as_str(), RFC_8037_THUMBPRINT);
    assert_eq!(verify(compact, &key).as_deref(), Ok(payload));

    let private = example["input"]["key"].to_string();
    assert_eq!(
        VerifyingKey::from_jwk(private.as_bytes()).unwrap_err(),
        KeyError::Jwk("it carries a secret")
    );
}

#[test]
fn other_serialisations_of_a_good_signature_are_refused() {
    let Some(example) = rfc_8037() else { return };
    let key = VerifyingKey::from_jwk(&public_jwk(&example, json!({ "alg": "EdDSA" }))).unwrap();
    let (signing, compact) = (&example["signing"], text(&example["output"], "compact"));
    let (protected, signature) = (text(signing, "protected_b64u"), text(signing, "sig"));
    assert!(verify(compact, &key).is_ok());
    for json in ["json", "json_flat"] {
        let refused = verify(&example["output"][json].to_string(), &key);
        assert_eq!(refused, Err(Malformed::Shape), "{json}");
    }
    // Detached content (RFC 7515, appendix F).
    let detached = verify(&format!("{protected}..{signature}"), &key);
    assert_eq!(detached, Err(Malformed::Signature));
    // An unencoded payload (RFC 7797) keeps the three parts, but changes their meaning.
    let unencoded = verify(&format!("{protected}.Example of.{signature}"), &key);
    assert_eq!(unencoded, Err(Malformed::Shape));
}

#[test]
fn an_extension_is_refused_even_under_a_good_signature() {
    let Some(example) = rfc_8037() else { return };
    let seed = URL_SAFE_NO_PAD
        .decode(text(&example["input"]["key"], "d"))
        .unwrap();
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
    let key = VerifyingKey::from_ed25519(pair.public_key().as_ref()).unwrap();
    let sign = |header: Value| {
        let signed = format!("{}.JC4wMg", URL_SAFE_NO_PAD.encode(header.to_string()));
        let signature = URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    };
    assert!(
        verify(
            &sign(json!({ "alg": "EdDSA", "typ": "x", "kid": "y" })),
            &key
        )
        .is_ok()
    );
    for extension in [
        json!({ "b64": false, "crit": ["b64"] }),
        json!({ "b64": false }),
        json!({ "b64": true, "crit": ["b64"] }),
        json!({ "crit": [] }),
        json!({ "crit": ["exp"], "exp": 1 }),
        json!({ "jwk": { "kty": "OKP" } }),
        json!({ "jku": "https://issuer.example" }),
        json!({ "x5c": [] }),
        json!({ "zip": "DEF" }),
        json!({ "cty": "JWT" }),
    ] {
        let mut header = json!({ "alg": "EdDSA" });
        let members = extension.as_object().unwrap().clone();
        header.as_object_mut().unwrap().extend(members);
        let refused = verify(&sign(header), &key);
        assert!(
            matches!(refused, Err(Malformed::Header(_))),
            "{extension}: {refused:?}"
        );
    }
}

#[test]
fn unsupported_algorithms_and_forms_are_refused() {
    let (Some(rfc_7520), Some(rfc_7797)) = (files("jws"), files("rfc7797")) else {
        return;
    };
    let ours = rfc_8037().unwrap();
    let ours = VerifyingKey::from_jwk(&public_jwk(&ours, json!({ "alg": "EdDSA" }))).unwrap();
    let (mut compact, mut json, mut keys) = (0, 0, 0);
    for (name, example) in rfc_7520.iter().chain(&rfc_7797) {
        let input = &example["input"]["key"];
        for key in input.as_array().unwrap_or(&vec![input.clone()]) {
            keys += 1;
            let refused = VerifyingKey::from_jwk(key.to_string().as_bytes());
            assert_eq!(
                refused.unwrap_err(),
                KeyError::Jwk("it carries a secret"),
                "{name}"
            );
            let mut public = key.as_object().unwrap().clone();
            public.retain(|name, _| {
                ["kty", "crv", "x", "y", "n", "e", "use", "alg"].contains(&name.as_str())
            });
            for alg in ["ES256", "EdDSA", "ES512", "RS256", "PS384", "HS256"] {
                public.insert("alg".into(), alg.into());
                let refused =
                    VerifyingKey::from_jwk(Value::from(public.clone()).to_string().as_bytes());
                assert!(matches!(refused, Err(KeyError::Jwk(_))), "{name} {alg}");
            }
        }
        for (form, value) in example["output"].as_object().unwrap() {
            match value.as_str() {
                Some(jws) => {
                    compact += 1;
                    let refused = verify(jws, &ours);
                    let b64_false = name.contains("b64_false");
                    let expected = if b64_false {
                        Malformed::Shape
                    } else {
                        Malformed::Algorithm
                    };
                    assert_eq!(refused, Err(expected), "{name} {form}");
                }
                None => {
                    json += 1;
                    let refused = verify(&value.to_string(), &ours);
                    assert_eq!(refused, Err(Malformed::Shape), "{name} {form}");
                }
            }
        }
    }
    println!(
        "JOSE cookbook: {} examples refused: {compact} compact, {json} in JSON; {keys} keys",
        rfc_7520.len() + rfc_7797.len()
    );
    assert_eq!((rfc_7520.len(), rfc_7797.len()), (8, 2));
    // 4.6 to 4.8 and 4.2 of RFC 7797 exist in JSON alone.
    assert_eq!(compact, 10 - 4);
    assert!(json > 0);
}

#[test]
fn jwk_files_are_refused() {
    let Some(files) = files("jwk") else { return };
    for (name, jwk) in &files {
        let refused = VerifyingKey::from_jwk(jwk.to_string().as_bytes()).unwrap_err();
        let secret = name.contains("private") || name.contains("symmetric");
        let expected = if secret {
            "it carries a secret"
        } else {
            "kty, crv and alg name no algorithm that is supported"
        };
        assert_eq!(refused, KeyError::Jwk(expected), "{name}");
    }
    println!("JOSE cookbook: {} JWK files refused", files.len());
    assert_eq!(files.len(), 6);
}
