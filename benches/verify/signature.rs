//! Verifying and signing, beside ring alone.

use std::hint::black_box;
use std::sync::Arc;

use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair,
    Ed25519KeyPair, Signature, UnparsedPublicKey, VerificationAlgorithm,
};
use waxseal::key::Algorithm;
use waxseal::token::{base64url, jwt};

use crate::Size;
use crate::harness::{line, micros, nanos, ratio, take_turns};
use crate::subject::{Bench, filled};

/// Signatures in one turn: few, so that both contenders meet the same noise.
const TURN: usize = 8;

type Signer = Box<dyn Fn(&[u8]) -> Signature>;

/// The whole of verification to the bare signature check.
pub fn verify(size: &Size, algorithm: Algorithm) {
    let bench = Bench::new(algorithm);
    let verifier = bench.verifier(&Arc::new(filled(size.small)));
    let tokens = bench.tokens(TURN);
    let public = bench.public();
    let method: &dyn VerificationAlgorithm = match algorithm {
        Algorithm::EdDsa => &ED25519,
        Algorithm::Es256 => &ECDSA_P256_SHA256_FIXED,
    };
    let parts: Vec<(&[u8], Vec<u8>)> = tokens
        .iter()
        .map(|token| {
            let (signed, signature) = token.rsplit_once('.').unwrap();
            let signature = base64url::decode(signature.as_bytes()).unwrap();
            (signed.as_bytes(), signature)
        })
        .collect();
    let [bare, whole] = take_turns(
        size.rounds,
        [
            &mut |_| {
                nanos(0..TURN, |index| {
                    let (signed, signature) = &parts[index];
                    let key = UnparsedPublicKey::new(method, &public);
                    key.verify(black_box(signed), signature).unwrap()
                })
            },
            &mut |_| {
                nanos(0..TURN, |index| {
                    verifier.verify(black_box(&tokens[index])).unwrap()
                })
            },
        ],
    );
    line(
        &format!("verify, {}, to the bare signature check", algorithm.name()),
        ratio(&whole, &bare),
        Some(1.10),
        &micros(&whole, &bare),
    );
}

/// The whole of signing to the bare signature.
pub fn sign(size: &Size, algorithm: Algorithm) {
    let bench = Bench::new(algorithm);
    let claims: Vec<_> = (0..TURN).map(|_| bench.claims()).collect();
    let tokens: Vec<_> = claims
        .iter()
        .map(|claims| jwt::sign(claims, bench.key()).unwrap())
        .collect();
    let pkcs8 = pem::parse(&bench.pem).unwrap().into_contents();
    let sign = bare_signer(algorithm, &pkcs8);
    let [bare, whole] = take_turns(
        size.rounds,
        [
            &mut |_| {
                nanos(0..TURN, |index| {
                    let (signed, _) = tokens[index].rsplit_once('.').unwrap();
                    sign(black_box(signed.as_bytes()))
                })
            },
            &mut |_| {
                nanos(0..TURN, |index| {
                    jwt::sign(black_box(&claims[index]), bench.key()).unwrap()
                })
            },
        ],
    );
    line(
        &format!("sign, {}, to the bare signature", algorithm.name()),
        ratio(&whole, &bare),
        None,
        &micros(&whole, &bare),
    );
}

#[expect(
    clippy::disallowed_methods,
    reason = "the baseline is ring alone, with none of this package's own"
)]
fn bare_signer(algorithm: Algorithm, pkcs8: &[u8]) -> Signer {
    let random = SystemRandom::new();
    match algorithm {
        Algorithm::EdDsa => {
            let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).unwrap();
            Box::new(move |message| key.sign(message))
        }
        Algorithm::Es256 => {
            let method = &ECDSA_P256_SHA256_FIXED_SIGNING;
            let key = EcdsaKeyPair::from_pkcs8(method, pkcs8, &random).unwrap();
            Box::new(move |message| key.sign(&random, message).unwrap())
        }
    }
}
