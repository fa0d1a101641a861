//! Signatures by ring.

use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair, VerificationAlgorithm,
};

use crate::random::OsRandom;

/// An Ed25519 signing key.
pub(crate) struct Ed25519Key(Ed25519KeyPair);

impl Ed25519Key {
    /// Takes the key that ring read from `_der`.
    pub(super) fn new(read: Ed25519KeyPair, _der: &[u8]) -> Option<Self> {
        Some(Self(read))
    }

    pub(super) fn public(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        Some(self.0.sign(message).as_ref().to_vec())
    }
}

/// A P-256 signing key, and the source of its nonces.
pub(crate) struct P256Key(EcdsaKeyPair, OsRandom);

impl P256Key {
    /// Takes the key that ring read from `_der`.
    pub(super) fn new(read: EcdsaKeyPair, _der: &[u8], random: &OsRandom) -> Option<Self> {
        Some(Self(read, random.clone()))
    }

    pub(super) fn public(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let signature = self.0.sign(self.1.ring(), message).ok()?;
        Some(signature.as_ref().to_vec())
    }
}

/// Whether `signature` over `message` is by the Ed25519 key `public` (RFC 8032).
pub(crate) fn verify_ed25519(public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let verified = ED25519.verify(public.into(), message.into(), signature.into());
    verified.is_ok()
}

/// Whether `signature` over `message` is by the P-256 key `public`, an uncompressed point (FIPS 186-5; RFC 7518,
/// section 3.4).
pub(crate) fn verify_p256(public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let method = &ECDSA_P256_SHA256_FIXED;
    let verified = method.verify(public.into(), message.into(), signature.into());
    verified.is_ok()
}
