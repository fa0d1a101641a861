//! Verification and signing, compared with ring alone.

use std::hint::black_box;
use std::sync::Arc;

use pasetors::Public;
use pasetors::keys::AsymmetricPublicKey;
use pasetors::token::UntrustedToken;
use pasetors::version4::{PublicToken, V4};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair,
    Ed25519KeyPair, Signature, UnparsedPublicKey, VerificationAlgorithm,
};
use waxseal::encoding::base64url;
use waxseal::key::Algorithm;
use waxseal::token::{self, paseto};

use crate::Size;
use crate::harness::{line, micros, nanos, ratio, take_turns};
use crate::subject::{Bench, filled};

/// Signatures in one turn. Few, so that both contenders see the same noise.
const TURN: usize = 8;

type Signer = Box<dyn Fn(&[u8]) -> Signature>;

/// Returns the text that a token's signature covers, and the signature.
fn parts(token: &str) -> (Vec<u8>, Vec<u8>) {
    let decode = |part: &str| base64url::decode(part.as_bytes()).unwrap();
    let Some(rest) = token.strip_prefix(paseto::HEADER) else {
        let (signed, signature) = token.rsplit_once('.').unwrap();
        return (signed.as_bytes().to_vec(), decode(signature));
    };
    let (body, footer) = rest.split_once('.').unwrap();
    let (mut message, footer) = (decode(body), decode(footer));
    let signature = message.split_off(message.len() - 64);
    let mut signed = 4_u64.to_le_bytes().to_vec();
    for piece in [paseto::HEADER.as_bytes(), &message, &footer, b""] {
        signed.extend((piece.len() as u64).to_le_bytes());
        signed.extend(piece);
    }
    (signed, signature)
}

/// Verification in each format, and with the rejected library.
pub fn verify_each(size: &Size) {
    for algorithm in Algorithm::ALL {
        verify(size, algorithm);
    }
    pasetors(size);
}

/// Signing in each format.
pub fn sign_each(size: &Size) {
    for algorithm in Algorithm::ALL {
        sign(size, algorithm);
    }
}

/// Complete verification, compared with the bare signature check.
fn verify(size: &Size, algorithm: Algorithm) {
    let bench = Bench::new(algorithm);
    let verifier = bench.verifier(&Arc::new(filled(size.small)));
    let tokens = bench.tokens(TURN);
    let public = bench.key().public().public_bytes();
    let method: &dyn VerificationAlgorithm = match algorithm {
        Algorithm::EdDsa | Algorithm::V4Public => &ED25519,
        Algorithm::Es256 => &ECDSA_P256_SHA256_FIXED,
        other => panic!("{other:?}"),
    };
    let parts: Vec<_> = tokens.iter().map(|token| parts(token)).collect();
    let [bare, whole] = take_turns(
        size.rounds,
        [
            &mut |_| {
                nanos(0..TURN, |index| {
                    let (signed, signature) = &parts[index];
                    let key = UnparsedPublicKey::new(method, public);
                    key.verify(black_box(signed.as_slice()), signature).unwrap()
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
        Some(1.05),
        &micros(&whole, &bare),
    );
}

/// The cost of the rejected library: pasetors' own check of the same tokens.
fn pasetors(size: &Size) {
    let bench = Bench::new(Algorithm::V4Public);
    let tokens = bench.tokens(TURN);
    let public = bench.key().public().public_bytes();
    let key = AsymmetricPublicKey::<V4>::from(public).unwrap();
    let parts: Vec<_> = tokens.iter().map(|token| parts(token)).collect();
    let [bare, whole] = take_turns(
        size.rounds,
        [
            &mut |_| {
                nanos(0..TURN, |index| {
                    let (signed, signature) = &parts[index];
                    let key = UnparsedPublicKey::new(&ED25519, public);
                    key.verify(black_box(signed.as_slice()), signature).unwrap()
                })
            },
            &mut |_| {
                nanos(0..TURN, |index| {
                    let token =
                        UntrustedToken::<Public, V4>::try_from(black_box(tokens[index].as_str()))
                            .unwrap();
                    PublicToken::verify(&key, &token, None, None).unwrap()
                })
            },
        ],
    );
    line(
        "the signature alone by pasetors, to the bare check",
        ratio(&whole, &bare),
        None,
        &micros(&whole, &bare),
    );
}

/// Complete signing, compared with the bare signature.
fn sign(size: &Size, algorithm: Algorithm) {
    let bench = Bench::new(algorithm);
    let claims: Vec<_> = (0..TURN).map(|_| bench.claims()).collect();
    let signed: Vec<_> = claims
        .iter()
        .map(|claims| parts(&token::sign(claims, bench.key()).unwrap()))
        .collect();
    let pkcs8 = pem::parse(&bench.pem).unwrap().into_contents();
    let sign = bare_signer(algorithm, &pkcs8);
    let [bare, whole] = take_turns(
        size.rounds,
        [
            &mut |_| nanos(0..TURN, |index| sign(black_box(&signed[index].0))),
            &mut |_| {
                nanos(0..TURN, |index| {
                    token::sign(black_box(&claims[index]), bench.key()).unwrap()
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
        Algorithm::EdDsa | Algorithm::V4Public => {
            let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).unwrap();
            Box::new(move |message| key.sign(message))
        }
        Algorithm::Es256 => {
            let method = &ECDSA_P256_SHA256_FIXED_SIGNING;
            let key = EcdsaKeyPair::from_pkcs8(method, pkcs8, &random).unwrap();
            Box::new(move |message| key.sign(&random, message).unwrap())
        }
        other => panic!("{other:?}"),
    }
}
