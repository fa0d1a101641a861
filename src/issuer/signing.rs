//! The choice of the signing key, and signing.

use super::{Issued, Issuer};
use crate::claims::Claims;
use crate::id::KeyId;
use crate::schedule::{self, NotYet};
use crate::time::Timestamp;
use crate::token::{self, SigningFailed};

/// The reason why a token is not signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// No key signs now: the clock is before the first key's turn, or every key is revoked.
    #[error("no key signs now; run: waxseal keys plan")]
    NoSigningKey,
    /// The signing operation failed.
    #[error(transparent)]
    Failed(#[from] SigningFailed),
}

impl Issuer {
    /// Signs a session's claims.
    pub(super) fn sign(&self, claims: Claims, now: Timestamp) -> Result<Issued, SignError> {
        let parts = &self.parts;
        let keyring = parts.keyring.load();
        let revoked = |kid: &KeyId| parts.list.key_revoked(kid);
        let key = keyring
            .signing(parts.format, now, revoked)
            .ok_or(SignError::NoSigningKey)?;
        let token = token::sign(&claims, key)?;
        Ok(Issued { token, claims })
    }

    /// Returns whether a key signs now.
    #[must_use]
    pub fn can_sign(&self) -> bool {
        let parts = &self.parts;
        let revoked = |kid: &KeyId| parts.list.key_revoked(kid);
        let keyring = parts.keyring.load();
        let key = keyring.signing(parts.format, self.now(), revoked);
        key.is_some()
    }

    /// Returns why no key signs, if the reason is that every key's turn is in the future.
    #[must_use]
    pub fn not_yet(&self) -> Option<NotYet> {
        let parts = &self.parts;
        let revoked = |kid: &KeyId| parts.list.key_revoked(kid);
        let keyring = parts.keyring.load();
        schedule::not_yet(keyring.plan(), parts.format, self.now(), revoked)
    }

    /// Returns whether that key signs now.
    pub(super) fn signs_with(&self, kid: &KeyId, now: Timestamp) -> bool {
        let parts = &self.parts;
        let revoked = |kid: &KeyId| parts.list.key_revoked(kid);
        let keyring = parts.keyring.load();
        let key = keyring.signing(parts.format, now, revoked);
        key.is_some_and(|key| key.public().kid() == kid)
    }
}
