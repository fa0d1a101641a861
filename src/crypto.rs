//! Cryptography for tokens and for jsonwebtoken, over ring. With the feature `aws-lc-rs`, AWS-LC makes and checks the
//! signatures; only this file knows which library does.
//!
//! jsonwebtoken asks its provider for a signer on every token and hands it the PKCS#8 text, whose parsing costs as much
//! as the signature. It asks for a verifier on every token too. Waxseal therefore signs and verifies with keys that
//! were parsed when they were loaded. The provider serves other code in the process that uses jsonwebtoken, and
//! computes key IDs. A provider that the process installed earlier works as well.

use std::sync::Once;

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::jwk::ThumbprintHash;
use jsonwebtoken::signature::{Error, Signer, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, EncodingKey};
use ring::digest::{SHA256, SHA384, SHA512, digest};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};

use crate::random::OsRandom;

#[cfg(feature = "aws-lc-rs")]
mod over_aws_lc;
#[cfg(not(feature = "aws-lc-rs"))]
mod over_ring;

#[cfg(feature = "aws-lc-rs")]
use over_aws_lc as signatures;
#[cfg(not(feature = "aws-lc-rs"))]
use over_ring as signatures;

pub(crate) use signatures::{verify_ed25519, verify_p256};

/// A parsed private key.
pub(crate) enum Parsed {
    Ed25519(signatures::Ed25519Key),
    P256(signatures::P256Key),
}

/// The reason why a PKCS#8 text is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unparsed {
    /// The algorithm is neither Ed25519 nor ECDSA on P-256.
    UnknownAlgorithm,
    /// The public half in the text does not belong to the private half.
    PublicHalfDiffers,
    /// The text is not PKCS#8.
    Malformed,
}

impl Parsed {
    /// Parses PKCS#8 (RFC 5208, or RFC 5958 with the public half, which is then checked).
    pub(crate) fn from_pkcs8(der: &[u8], random: &OsRandom) -> std::result::Result<Self, Unparsed> {
        // OpenSSL writes version 1, which has no public half. ring derives it, which is as good.
        let ed25519 = match Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            Ok(key) => {
                let key = signatures::Ed25519Key::new(key, der);
                return key.map(Self::Ed25519).ok_or(Unparsed::Malformed);
            }
            Err(why) => why.to_string(),
        };
        let p256 =
            match EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, random.ring()) {
                Ok(key) => {
                    let key = signatures::P256Key::new(key, der, random);
                    return key.map(Self::P256).ok_or(Unparsed::Malformed);
                }
                Err(why) => why.to_string(),
            };
        let both = [ed25519.as_str(), p256.as_str()];
        if both.contains(&"InconsistentComponents") {
            Err(Unparsed::PublicHalfDiffers)
        } else if both.iter().all(|why| *why == "WrongAlgorithm") {
            Err(Unparsed::UnknownAlgorithm)
        } else {
            Err(Unparsed::Malformed)
        }
    }

    pub(crate) fn public(&self) -> &[u8] {
        match self {
            Self::Ed25519(key) => key.public(),
            Self::P256(key) => key.public(),
        }
    }

    /// Returns the bare signature, 64 bytes. None if the machine has no randomness, which only P-256 needs.
    pub(crate) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Ed25519(key) => key.sign(message),
            Self::P256(key) => key.sign(message),
        }
    }
}

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    key_utils: KeyUtils {
        compute_digest,
        ..KeyUtils::new_unimplemented()
    },
};

/// Installs this provider for the process, unless one is installed.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if PROVIDER.install_default().is_err() {
            tracing::debug!("another jsonwebtoken provider is installed already; it is used");
        }
    });
}

/// Computes SHA-256 (FIPS 180-4).
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

struct ParsedSigner(Parsed);

impl Signer<Vec<u8>> for ParsedSigner {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, Error> {
        self.0.sign(message).ok_or_else(Error::new)
    }
}

impl JwtSigner for ParsedSigner {
    fn algorithm(&self) -> Algorithm {
        match self.0 {
            Parsed::Ed25519(_) => Algorithm::EdDSA,
            Parsed::P256(_) => Algorithm::ES256,
        }
    }
}

fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    let parsed = Parsed::from_pkcs8(key.as_bytes(), &OsRandom::new());
    let signer = ParsedSigner(parsed.map_err(|_| ErrorKind::InvalidKeyFormat)?);
    if signer.algorithm() != *algorithm {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    Ok(Box::new(signer))
}

struct PublicVerifier {
    algorithm: Algorithm,
    public: [u8; 65],
    length: usize,
}

impl Verifier<Vec<u8>> for PublicVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        let public = &self.public[..self.length];
        let verified = match self.algorithm {
            Algorithm::EdDSA => verify_ed25519(public, message, signature),
            Algorithm::ES256 => verify_p256(public, message, signature),
            _ => false,
        };
        verified.then_some(()).ok_or_else(Error::new)
    }
}

impl JwtVerifier for PublicVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    let (family, length) = match algorithm {
        Algorithm::EdDSA => (AlgorithmFamily::Ed, 32),
        Algorithm::ES256 => (AlgorithmFamily::Ec, 65),
        _ => return Err(ErrorKind::InvalidAlgorithm.into()),
    };
    let bytes = key.try_get_as_bytes()?;
    if key.family() != family || bytes.len() != length {
        return Err(ErrorKind::InvalidKeyFormat.into());
    }
    let mut public = [0; 65];
    public[..length].copy_from_slice(bytes);
    Ok(Box::new(PublicVerifier {
        algorithm: *algorithm,
        public,
        length,
    }))
}

fn compute_digest(bytes: &[u8], hash: ThumbprintHash) -> Result<Vec<u8>> {
    let algorithm = match hash {
        ThumbprintHash::SHA256 => &SHA256,
        ThumbprintHash::SHA384 => &SHA384,
        ThumbprintHash::SHA512 => &SHA512,
        _ => return Err(ErrorKind::UnsupportedAlgorithm.into()),
    };
    Ok(digest(algorithm, bytes).as_ref().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_provider_signs_for_other_callers_of_jsonwebtoken() {
        let random = OsRandom::new();
        let ed25519 = Ed25519KeyPair::generate_pkcs8(random.ring()).unwrap();
        let method = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let p256 = EcdsaKeyPair::generate_pkcs8(method, random.ring()).unwrap();
        let keys = [
            (Algorithm::EdDSA, EncodingKey::from_ed_der(ed25519.as_ref())),
            (Algorithm::ES256, EncodingKey::from_ec_der(p256.as_ref())),
        ];
        let others = [Algorithm::ES256, Algorithm::EdDSA];
        for ((algorithm, key), other) in keys.iter().zip(others) {
            let signature = signer(algorithm, key).unwrap().sign(b"message");
            let parsed = Parsed::from_pkcs8(key.as_bytes(), &random).unwrap();
            let public = match algorithm {
                Algorithm::EdDSA => DecodingKey::from_ed_der(parsed.public()),
                _ => DecodingKey::from_ec_der(parsed.public()),
            };
            let verifier = verifier(algorithm, &public).unwrap();
            assert!(verifier.verify(b"message", &signature).is_ok());
            assert!(verifier.verify(b"another", &signature).is_err());
            assert!(signer(&other, key).is_err());
        }
        let nothing = EncodingKey::from_ed_der(b"");
        assert!(signer(&Algorithm::EdDSA, &nothing).is_err());
    }

    /// Encodes a DER value with this tag.
    fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let length = content.len();
        let [high, low] = u16::try_from(length).unwrap().to_be_bytes();
        let head: &[u8] = match length {
            0..=0x7f => &[tag, low],
            0x80..=0xff => &[tag, 0x81, low],
            _ => &[tag, 0x82, high, low],
        };
        [head, &content].concat()
    }

    /// A key signs the same in every form that ring reads, whichever library makes the signatures.
    #[test]
    fn every_form_of_a_key_signs_alike() {
        const NEW: &[u8] = &[2, 1, 1];
        const OLD: &[u8] = &[2, 1, 0];
        let random = OsRandom::new();
        let attributes = [0, 40, 90, 200, 300].map(|length| match length {
            0 => Vec::new(),
            _ => der(0xa0, &[&vec![0; length]]),
        });

        let seed = [7; 32];
        let public = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
        let public = ring::signature::KeyPair::public_key(&public).as_ref();
        let bits = [&[0], public].concat();
        let name = der(0x30, &[&[6, 3, 0x2b, 0x65, 0x70]]);
        let private = der(4, &[&der(4, &[&seed])]);
        for more in &attributes {
            for key in [
                der(0x30, &[OLD, &name, &private, more]),
                der(0x30, &[NEW, &name, &private, more, &der(0x81, &[&bits])]),
                der(
                    0x30,
                    &[NEW, &name, &private, more, &der(0xa1, &[&der(3, &[&bits])])],
                ),
            ] {
                let parsed = Parsed::from_pkcs8(&key, &random).unwrap();
                assert!(matches!(parsed, Parsed::Ed25519(_)) && parsed.public() == public);
                let signature = parsed.sign(b"message").unwrap();
                assert!(verify_ed25519(public, b"message", &signature));
            }
            let other = der(0x81, &[&[0; 33]]);
            let differs = der(0x30, &[NEW, &name, &private, more, &other]);
            let refused = Parsed::from_pkcs8(&differs, &random).err();
            assert_eq!(refused, Some(Unparsed::PublicHalfDiffers));
            let missing = der(0x30, &[NEW, &name, &private, more]);
            let refused = Parsed::from_pkcs8(&missing, &random).err();
            assert_eq!(refused, Some(Unparsed::Malformed));
        }

        let method = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let whole = EcdsaKeyPair::generate_pkcs8(method, random.ring()).unwrap();
        let whole = whole.as_ref();
        let (scalar, public) = (&whole[36..68], &whole[73..]);
        let curve = &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
        let name = der(0x30, &[&[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1], curve]);
        let private = |curve: &[u8], public: &[u8]| {
            let bits = [&[0], public].concat();
            let public = match public {
                [] => Vec::new(),
                _ => der(0xa1, &[&der(3, &[&bits])]),
            };
            der(4, &[&der(0x30, &[NEW, &der(4, &[scalar]), curve, &public])])
        };
        let curve = der(0xa0, &[curve]);
        let other = [&[4][..], &public[33..], &public[1..33]].concat();
        assert_eq!(der(0x30, &[OLD, &name, &private(b"", public)]), whole);
        for more in &attributes {
            for curve in [&b""[..], &curve] {
                let key = der(0x30, &[OLD, &name, &private(curve, public), more]);
                let parsed = Parsed::from_pkcs8(&key, &random).unwrap();
                assert!(matches!(parsed, Parsed::P256(_)) && parsed.public() == public);
                let signature = parsed.sign(b"message").unwrap();
                assert!(verify_p256(public, b"message", &signature));

                let differs = der(0x30, &[OLD, &name, &private(curve, &other), more]);
                let refused = Parsed::from_pkcs8(&differs, &random).err();
                assert_eq!(refused, Some(Unparsed::PublicHalfDiffers));
                let missing = der(0x30, &[OLD, &name, &private(curve, b""), more]);
                let refused = Parsed::from_pkcs8(&missing, &random).err();
                assert_eq!(refused, Some(Unparsed::Malformed));
                let new = der(0x30, &[NEW, &name, &private(curve, public), more]);
                let refused = Parsed::from_pkcs8(&new, &random).err();
                assert_eq!(refused, Some(Unparsed::Malformed));
            }
        }
    }
}
