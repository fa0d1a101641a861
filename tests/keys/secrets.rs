//! Private keys are never printed.

use std::fmt::Debug;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use waxseal::key::{Format, KeyError, SigningKey, VerifyingKey};
use waxseal::keyring::Keyring;
use waxseal::store::key_folder::{keyring, load};

use super::{Keys, NOW, der, new_ec, new_ed25519, private_pem, set_mode, signer};

/// Returns whether the text contains nine consecutive bytes of the secret in a usual notation for bytes. Nine bytes
/// contain whole groups of base64 at any offset within the secret.
fn shows(secret: &[u8], text: &str) -> bool {
    secret.windows(9).any(|part| {
        let hex: String = part.iter().map(|byte| format!("{byte:02x}")).collect();
        let list = format!("{part:?}");
        let written = [
            hex.to_uppercase(),
            hex,
            list.trim_matches(['[', ']']).to_owned(),
            STANDARD.encode(part),
            URL_SAFE_NO_PAD.encode(part),
        ];
        written.iter().any(|written| text.contains(written))
    })
}

fn hides(secret: &[u8], text: &str) {
    assert!(!shows(secret, text), "{text}");
}

fn debug(value: &impl Debug) -> String {
    format!("{value:?}\n{value:#?}").replace(",\n", ", ")
}

#[test]
fn private_bytes_are_in_no_debug_and_no_display() {
    for (pem, at) in [(new_ed25519(), 16), (new_ec("P-256"), 36)] {
        let der = der(&pem);
        let secret = &der[at..at + 32];
        assert_eq!(der[at - 2..at], [4, 32], "the secret follows");
        for shown in [debug(&der), String::from_utf8(pem.clone()).unwrap()] {
            assert!(shows(secret, &shown), "the test is blind");
        }
        let folder = Keys::new();
        let path = folder.write("mine.pem", &pem);

        let files = load(folder.path()).unwrap();
        hides(secret, &debug(&files));
        hides(secret, &debug(&files[0].key));
        hides(secret, &debug(files[0].key.public()));
        hides(secret, &debug(&files[0].key.public().jwk()));
        let ring = keyring(folder.path()).unwrap();
        hides(secret, &debug(&ring));
        let jwks = serde_json::to_value(ring.jwks(NOW, |_| false)).unwrap();
        hides(secret, &jwks.to_string());
        assert_eq!(jwks["keys"][0].get("d"), None);
        assert!(debug(&files[0].key).contains(signer(&ring).unwrap().public().kid().as_str()));

        set_mode(&path, 0o644);
        let error = load(folder.path()).unwrap_err();
        hides(secret, &format!("{error}\n{}", debug(&error)));
        set_mode(&path, 0o600);
        folder.write("same.pem", &pem);
        let error = keyring(folder.path()).unwrap_err();
        hides(secret, &format!("{error}\n{}", debug(&error)));
    }
}

#[test]
fn a_refusal_shows_nothing_of_a_key_that_is_nearly_good() {
    for (pem, at) in [(new_ed25519(), 16), (new_ec("P-256"), 36)] {
        let der = der(&pem);
        let secret = &der[at..at + 32];
        for (bad, expected) in [
            (private_pem(&[&der[..], &[0]].concat()), KeyError::Malformed),
            ([&pem[..], &pem].concat(), KeyError::NotPem),
            (der.clone(), KeyError::NotPem),
        ] {
            let error = SigningKey::from_pem(&bad, Format::Jwt).unwrap_err();
            assert_eq!(error, expected);
            hides(secret, &format!("{error}\n{}", debug(&error)));
        }
    }
}

#[test]
fn a_refused_jwk_shows_nothing_of_its_private_half() {
    let secret: Vec<u8> = (100..132).collect();
    let d = URL_SAFE_NO_PAD.encode(&secret);
    let jwk = format!(r#"{{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","x":"{d}","d":"{d}"}}"#);
    let error = VerifyingKey::from_jwk(jwk.as_bytes()).unwrap_err();
    hides(&secret, &format!("{error}\n{}", debug(&error)));
    let error = Keyring::from_jwks(format!(r#"{{"keys":[{jwk}]}}"#).as_bytes()).unwrap_err();
    hides(&secret, &format!("{error}\n{}", debug(&error)));
}
