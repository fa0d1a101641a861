//! Signatures by AWS-LC, with keys that ring has parsed.
//!
//! The two libraries read PKCS#8 differently: AWS-LC accepts a P-256 key without its public half, and version 2 with
//! less in it, and names its errors differently. In both builds, ring therefore decides what a valid key is, and this
//! file passes the private half to AWS-LC. It also refuses public keys that AWS-LC would accept and ring would not.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair, VerificationAlgorithm,
};
use ring::signature::KeyPair as _;

use crate::random::OsRandom;

/// The offset of the private half in a key that ring has parsed, counted from the end of the outermost length. What
/// comes before it has only one encoding in DER, whatever follows (RFC 8410, section 7; RFC 5915 within RFC 5208).
const ED25519_PRIVATE: usize = 14;
const P256_PRIVATE: usize = 33;

fn private_half(der: &[u8], at: usize) -> Option<&[u8]> {
    let length = match der.get(1)? {
        0x82 => 3,
        0x81 => 2,
        _ => 1,
    };
    der.get(1 + length + at..)?.get(..32)
}

/// An Ed25519 signing key.
pub(crate) struct Ed25519Key(Ed25519KeyPair);

impl Ed25519Key {
    /// Takes the key that ring read from `der`. None if AWS-LC derives another public half.
    pub(super) fn new(read: ring::signature::Ed25519KeyPair, der: &[u8]) -> Option<Self> {
        let (seed, public) = (private_half(der, ED25519_PRIVATE)?, read.public_key());
        let key = Ed25519KeyPair::from_seed_and_public_key(seed, public.as_ref());
        key.ok().map(Self)
    }

    pub(super) fn public(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let signature = self.0.try_sign(message).ok()?;
        Some(signature.as_ref().to_vec())
    }
}

/// A P-256 signing key.
pub(crate) struct P256Key(EcdsaKeyPair);

impl P256Key {
    /// Takes the key that ring read from `der`. None if AWS-LC derives another public half.
    pub(super) fn new(
        read: ring::signature::EcdsaKeyPair,
        der: &[u8],
        _random: &OsRandom,
    ) -> Option<Self> {
        let (scalar, public) = (private_half(der, P256_PRIVATE)?, read.public_key());
        let method = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let key = EcdsaKeyPair::from_private_key_and_public_key(method, scalar, public.as_ref());
        key.ok().map(Self)
    }

    pub(super) fn public(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    /// Signs `message`. AWS-LC draws the nonce from its own generator, and would ignore one that is passed. If the
    /// machine has no randomness, AWS-LC ends the process.
    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let signature = self.0.sign_digest(&digest(&SHA256, message)).ok()?;
        Some(signature.as_ref().to_vec())
    }
}

/// Whether `signature` over `message` is by the Ed25519 key `public` (RFC 8032).
///
/// AWS-LC would read a key of another length as X.509. It may refuse a point that is not canonical, which ring accepts;
/// the keys here never have one.
pub(crate) fn verify_ed25519(public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    public.len() == 32 && ED25519.verify_sig(public, message, signature).is_ok()
}

/// Whether `signature` over `message` is by the P-256 key `public`, an uncompressed point (FIPS 186-5; RFC 7518,
/// section 3.4).
///
/// AWS-LC would also read compressed and hybrid points, and X.509.
pub(crate) fn verify_p256(public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let method = &ECDSA_P256_SHA256_FIXED;
    let uncompressed = public.len() == 65 && public[0] == 4;
    uncompressed && method.verify_sig(public, message, signature).is_ok()
}

#[cfg(test)]
mod tests {
    use ring::signature as by_ring;

    use super::*;
    use crate::crypto::Parsed;

    const MESSAGE: &[u8] = b"a message of some length, which is signed once by each of the two";

    /// Asserts that both libraries accept the signature, and refuse any changed message or signature.
    fn both_verify(
        ours: fn(&[u8], &[u8], &[u8]) -> bool,
        rings: &'static dyn by_ring::VerificationAlgorithm,
        public: &[u8],
        signature: &[u8],
    ) {
        let both = |message: &[u8], signature: &[u8]| {
            let ours = ours(public, message, signature);
            let key = by_ring::UnparsedPublicKey::new(rings, public);
            assert_eq!(ours, key.verify(message, signature).is_ok());
            ours
        };
        assert!(both(MESSAGE, signature));
        for at in 0..MESSAGE.len() {
            let mut tampered = MESSAGE.to_vec();
            tampered[at] ^= 1;
            assert!(!both(&tampered, signature));
            assert!(!both(&MESSAGE[..at], signature));
        }
        for at in 0..signature.len() {
            let mut tampered = signature.to_vec();
            tampered[at] ^= 0x80;
            assert!(!both(MESSAGE, &tampered));
            assert!(!both(MESSAGE, &signature[..at]));
        }
        assert!(!both(MESSAGE, &[signature, &[0]].concat()));
        assert!(!both(MESSAGE, &[0; 64]));
        for half in [0..32, 32..64] {
            for byte in [0, 0xff] {
                let mut wrong = signature.to_vec();
                wrong[half.clone()].fill(byte);
                assert!(!both(MESSAGE, &wrong));
            }
        }
    }

    /// Adds two big-endian numbers modulo 2^256.
    fn sum(number: &[u8], other: [u8; 32]) -> Vec<u8> {
        let mut carry = 0;
        let digits = number.iter().zip(other).rev().map(|(a, b)| {
            let digit = u16::from(*a) + u16::from(b) + carry;
            carry = digit >> 8;
            digit.to_be_bytes()[1]
        });
        let mut digits: Vec<u8> = digits.collect();
        digits.reverse();
        digits
    }

    #[test]
    fn ring_and_aws_lc_verify_each_others_ed25519_signatures() {
        let random = OsRandom::new();
        for _ in 0..8 {
            let der = by_ring::Ed25519KeyPair::generate_pkcs8(random.ring()).unwrap();
            let ring = by_ring::Ed25519KeyPair::from_pkcs8(der.as_ref()).unwrap();
            let key = Parsed::from_pkcs8(der.as_ref(), &random).unwrap();
            assert!(matches!(key, Parsed::Ed25519(_)));
            assert_eq!(key.public(), ring.public_key().as_ref());
            let (ours, rings) = (key.sign(MESSAGE).unwrap(), ring.sign(MESSAGE));
            assert_eq!(ours, rings.as_ref(), "Ed25519 leaves nothing to chance");
            both_verify(verify_ed25519, &by_ring::ED25519, key.public(), &ours);

            // S + L gives the same point on the curve, and must be refused (RFC 8032, section 5.1.7).
            let mut order = [0; 32];
            order[0] = 0x10;
            order[16..]
                .copy_from_slice(&0x14de_f9de_a2f7_9cd6_5812_631a_5cf5_d3ed_u128.to_be_bytes());
            let mut s = ours[32..].to_vec();
            s.reverse();
            let mut s = sum(&s, order);
            s.reverse();
            let malleable = [&ours[..32], &s].concat();
            assert!(!verify_ed25519(key.public(), MESSAGE, &malleable));
            let public = by_ring::UnparsedPublicKey::new(&by_ring::ED25519, key.public());
            assert!(public.verify(MESSAGE, &malleable).is_err());
        }
    }

    #[test]
    fn ring_and_aws_lc_verify_each_others_p256_signatures() {
        let random = OsRandom::new();
        let method = &by_ring::ECDSA_P256_SHA256_FIXED_SIGNING;
        for _ in 0..8 {
            let der = by_ring::EcdsaKeyPair::generate_pkcs8(method, random.ring()).unwrap();
            let ring = by_ring::EcdsaKeyPair::from_pkcs8(method, der.as_ref(), random.ring());
            let ring = ring.unwrap();
            let key = Parsed::from_pkcs8(der.as_ref(), &random).unwrap();
            assert!(matches!(key, Parsed::P256(_)));
            assert_eq!(key.public(), ring.public_key().as_ref());
            let ours = key.sign(MESSAGE).unwrap();
            assert_ne!(ours, key.sign(MESSAGE).unwrap(), "each has its own nonce");
            let rings = ring.sign(random.ring(), MESSAGE).unwrap();
            for signature in [&ours, rings.as_ref()] {
                let rings = &by_ring::ECDSA_P256_SHA256_FIXED;
                both_verify(verify_p256, rings, key.public(), signature);
            }
        }
    }

    #[test]
    fn public_keys_are_bare() {
        let random = OsRandom::new();
        let method = &by_ring::ECDSA_P256_SHA256_FIXED_SIGNING;
        let der = by_ring::EcdsaKeyPair::generate_pkcs8(method, random.ring()).unwrap();
        let key = Parsed::from_pkcs8(der.as_ref(), &random).unwrap();
        let signature = key.sign(MESSAGE).unwrap();
        let point = key.public();
        assert!(verify_p256(point, MESSAGE, &signature));
        let compressed = [&[2 + (point[64] & 1)], &point[1..33]].concat();
        let hybrid = [&[6 + (point[64] & 1)], &point[1..]].concat();
        let x509 = [&P256_X509[..], point].concat();
        for other in [&compressed, &hybrid, &x509] {
            let reads = ECDSA_P256_SHA256_FIXED.verify_sig(other, MESSAGE, &signature);
            assert!(reads.is_ok(), "AWS-LC reads it, so the check matters");
            assert!(!verify_p256(other, MESSAGE, &signature));
        }

        let der = by_ring::Ed25519KeyPair::generate_pkcs8(random.ring()).unwrap();
        let key = Parsed::from_pkcs8(der.as_ref(), &random).unwrap();
        let signature = key.sign(MESSAGE).unwrap();
        let x509 = [&ED25519_X509[..], key.public()].concat();
        assert!(ED25519.verify_sig(&x509, MESSAGE, &signature).is_ok());
        assert!(!verify_ed25519(&x509, MESSAGE, &signature));
        assert!(!verify_ed25519(b"", MESSAGE, &signature));
        assert!(!verify_p256(b"", MESSAGE, &signature));
    }

    /// RFC 8410, section 4, up to the key.
    const ED25519_X509: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];

    /// RFC 5480, section 2, up to the point.
    const P256_X509: [u8; 26] = [
        0x30, 0x59, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48,
        0xce, 0x3d, 3, 1, 7, 3, 0x42, 0,
    ];
}
