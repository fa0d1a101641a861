//! jsonwebtoken's cryptography, over ring, and nothing else: the one file that both meet in.
//!
//! jsonwebtoken asks its provider for a signer on every token and hands it the PKCS#8 text, whose
//! parsing costs as much as the signature, and for a verifier on every token too. So what is signed and verified
//! here is so with the keys that were parsed when they were loaded, and the provider is for what else in the
//! process works with jsonwebtoken, and for the names of keys. A process that installed another provider first
//! is fine too.

use std::sync::Once;

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::jwk::ThumbprintHash;
use jsonwebtoken::signature::{Error, Signer, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, EncodingKey};
use ring::digest::{SHA256, SHA384, SHA512, digest};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair, VerificationAlgorithm,
};

use crate::random::OsRandom;

/// A private key, parsed.
pub(crate) enum Parsed {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair, OsRandom),
}

/// Why a PKCS#8 text is no key of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unparsed {
    /// Neither Ed25519 nor P-256.
    UnknownAlgorithm,
    /// The public half in the text is not that of the private half.
    PublicHalfDiffers,
    /// Not PKCS#8.
    Malformed,
}

impl Parsed {
    /// Parses PKCS#8 (RFC 5208, or RFC 5958 with the public half, which is then checked).
    pub(crate) fn from_pkcs8(der: &[u8], random: &OsRandom) -> std::result::Result<Self, Unparsed> {
        // OpenSSL writes version 1, which has no public half: ring derives it, which is as good.
        let ed25519 = match Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            Ok(key) => return Ok(Self::Ed25519(key)),
            Err(why) => why.to_string(),
        };
        let p256 =
            match EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, random.ring()) {
                Ok(key) => return Ok(Self::P256(key, random.clone())),
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
            Self::Ed25519(key) => key.public_key().as_ref(),
            Self::P256(key, _) => key.public_key().as_ref(),
        }
    }

    /// The bare signature, 64 bytes. None if the machine gives no randomness (P-256 alone needs it).
    pub(crate) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Ed25519(key) => Some(key.sign(message).as_ref().to_vec()),
            Self::P256(key, random) => {
                let signature = key.sign(random.ring(), message).ok()?;
                Some(signature.as_ref().to_vec())
            }
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

/// Makes this provider the process's, unless there is one.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if PROVIDER.install_default().is_err() {
            tracing::debug!("another jsonwebtoken provider is installed already; it is used");
        }
    });
}

/// Whether `signature` is that of the Ed25519 key `public` over `message` (RFC 8032).
pub(crate) fn verify_ed25519(public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let verified = ED25519.verify(public.into(), message.into(), signature.into());
    verified.is_ok()
}

/// Whether `signature` is that of the P-256 key `public`, an uncompressed point, over `message` (FIPS 186-5; RFC
/// 7518, section 3.4).
pub(crate) fn verify_p256(public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let method = &ECDSA_P256_SHA256_FIXED;
    let verified = method.verify(public.into(), message.into(), signature.into());
    verified.is_ok()
}

/// SHA-256 (FIPS 180-4).
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

struct RingSigner(Parsed);

impl Signer<Vec<u8>> for RingSigner {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, Error> {
        self.0.sign(message).ok_or_else(Error::new)
    }
}

impl JwtSigner for RingSigner {
    fn algorithm(&self) -> Algorithm {
        match self.0 {
            Parsed::Ed25519(_) => Algorithm::EdDSA,
            Parsed::P256(..) => Algorithm::ES256,
        }
    }
}

fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    let parsed = Parsed::from_pkcs8(key.as_bytes(), &OsRandom::new());
    let signer = RingSigner(parsed.map_err(|_| ErrorKind::InvalidKeyFormat)?);
    if signer.algorithm() != *algorithm {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    Ok(Box::new(signer))
}

struct RingVerifier {
    algorithm: Algorithm,
    public: [u8; 65],
    length: usize,
}

impl Verifier<Vec<u8>> for RingVerifier {
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

impl JwtVerifier for RingVerifier {
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
    Ok(Box::new(RingVerifier {
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
    fn what_else_is_in_the_process_can_sign_with_it() {
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
}
