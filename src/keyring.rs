//! The keys that sign and verify. A keyring does not change: a changed one takes its place.

use std::collections::HashMap;

use jsonwebtoken::jwk::JwkSet;

use crate::id::KeyId;
use crate::key::{KeyError, SigningKey, VerifyingKey};
use crate::token::strict_json::Object;

/// Why keys make no keyring.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// Two keys have one name, so that a token's `kid` would not say which.
    #[error("two keys have the kid {0}; remove one of them")]
    DoubleKid(KeyId),
    /// One key has two names, so that revoking it by one would leave the other.
    #[error("the kids {0} and {1} name one key; remove one of them")]
    TwoNames(KeyId, KeyId),
    /// Not a JWK set (RFC 7517, section 5).
    #[error("it is not a JWK set")]
    NotJwkSet,
    /// One of its keys cannot be used.
    #[error("key {0} of the set: {1}")]
    Key(usize, KeyError),
}

/// The keys, by name, and the one that signs.
#[derive(Debug, Default)]
pub struct Keyring {
    signing: Option<SigningKey>,
    verifying: HashMap<KeyId, VerifyingKey>,
}

impl Keyring {
    /// From private keys: all verify, the last one signs.
    ///
    /// # Errors
    /// [`KeyringError::DoubleKid`].
    pub fn from_signing_keys(keys: Vec<SigningKey>) -> Result<Self, KeyringError> {
        let mut keyring = Self::from_verifying_keys(keys.iter().map(|key| key.public().clone()))?;
        keyring.signing = keys.into_iter().last();
        Ok(keyring)
    }

    /// From public keys, to verify alone.
    ///
    /// # Errors
    /// [`KeyringError::DoubleKid`].
    pub fn from_verifying_keys(
        keys: impl IntoIterator<Item = VerifyingKey>,
    ) -> Result<Self, KeyringError> {
        let mut verifying: HashMap<KeyId, VerifyingKey> = HashMap::new();
        for key in keys {
            let kid = key.kid().clone();
            let twin = verifying
                .values()
                .find(|other| other.jwk().algorithm == key.jwk().algorithm);
            if let Some(twin) = twin.filter(|twin| *twin.kid() != kid) {
                return Err(KeyringError::TwoNames(twin.kid().clone(), kid));
            }
            if verifying.insert(kid.clone(), key).is_some() {
                return Err(KeyringError::DoubleKid(kid));
            }
        }
        Ok(Self {
            signing: None,
            verifying,
        })
    }

    /// From a JWK set (RFC 7517, section 5), to verify alone. One bad key refuses the whole set:
    /// it is an issuer's own, and such an issuer is not to be guessed about.
    ///
    /// # Errors
    /// [`KeyringError`] says what is wrong with it.
    pub fn from_jwks(json: &[u8]) -> Result<Self, KeyringError> {
        let set = Object::parse(json).map_err(|_| KeyringError::NotJwkSet)?;
        let keys = set
            .get("keys")
            .and_then(|keys| keys.as_array())
            .ok_or(KeyringError::NotJwkSet)?;
        let keys: Vec<_> = keys
            .iter()
            .enumerate()
            .map(|(index, key)| {
                let object = key.as_object().ok_or(KeyringError::NotJwkSet)?;
                VerifyingKey::from_jwk_object(object).map_err(|why| KeyringError::Key(index, why))
            })
            .collect::<Result<_, _>>()?;
        Self::from_verifying_keys(keys)
    }

    /// The key that signs.
    #[must_use]
    pub const fn signing(&self) -> Option<&SigningKey> {
        self.signing.as_ref()
    }

    /// The key that verifies tokens which name `kid`. The name is only looked up, never interpreted.
    #[must_use]
    pub fn verifying(&self, kid: &str) -> Option<&VerifyingKey> {
        self.verifying.get(kid)
    }

    /// Every key that verifies, in the order of their names.
    #[must_use]
    pub fn keys(&self) -> Vec<&VerifyingKey> {
        let mut keys: Vec<_> = self.verifying.values().collect();
        keys.sort_by_key(|key| key.kid());
        keys
    }

    /// The public keys as a JWK set.
    #[must_use]
    pub fn jwks(&self) -> JwkSet {
        JwkSet {
            keys: self
                .keys()
                .into_iter()
                .map(|key| key.jwk().clone())
                .collect(),
        }
    }
}
