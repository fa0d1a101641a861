//! The keyring: the keys with their times. It determines which key signs and which keys verify at any `now`. A keyring
//! is immutable: a changed one replaces it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::{ArcSwap, Guard};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use tokio::sync::Notify;

use crate::encoding::strict_json::Object;
use crate::id::KeyId;
use crate::key::{Format, KeyError, SigningKey, VerifyingKey};
pub use crate::schedule::ScheduleError;
use crate::schedule::{self, Planned, Times};
use crate::time::Timestamp;
use crate::token::{self, KnownHeader};

/// The reason why keys cannot form a keyring.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// The times of the keys are inconsistent.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// One key in two formats. A signature for one format could pass for the other.
    #[error(
        "the keys {0} and {1} are one key in two formats; a key serves one format, remove one of them"
    )]
    TwoFormats(KeyId, KeyId),
    /// One key has two key IDs. Revoking one of them would leave the other.
    #[error("the kids {0} and {1} name one key; remove one of them")]
    TwoNames(KeyId, KeyId),
    /// The text is not a JWK set (RFC 7517, section 5).
    #[error("it is not a JWK set")]
    NotJwkSet,
    /// A key of the set cannot be used.
    #[error("key {0} of the set")]
    Key(usize, #[source] KeyError),
}

impl KeyringError {
    /// The error for a key that occurs twice.
    pub(crate) fn of_twins(one: &VerifyingKey, other: &VerifyingKey) -> Self {
        let (kid, other_kid) = (one.kid().clone(), other.kid().clone());
        if kid == other_kid {
            Self::Schedule(ScheduleError::DoubleKid(kid))
        } else if one.algorithm() == other.algorithm() {
            Self::TwoNames(kid, other_kid)
        } else {
            Self::TwoFormats(kid, other_kid)
        }
    }
}

/// The keys by key ID, with their times. They are few, so comparing IDs costs less than hashing one.
#[derive(Debug, Default)]
pub struct Keyring {
    plan: Vec<Planned>,
    signing: BTreeMap<KeyId, SigningKey>,
    verifying: BTreeMap<KeyId, (VerifyingKey, Times)>,
    /// The keys by the encoded text with which they name themselves in a token.
    by_header: BTreeMap<String, (VerifyingKey, Times)>,
}

impl Keyring {
    /// Builds a keyring from private keys and their times.
    ///
    /// # Errors
    /// [`KeyringError::Schedule`], [`KeyringError::TwoFormats`].
    #[doc(hidden)]
    pub fn new(keys: Vec<(SigningKey, Times)>) -> Result<Self, KeyringError> {
        let public = keys
            .iter()
            .map(|(key, times)| (key.public().clone(), *times))
            .collect();
        let mut keyring = Self::of_public(public)?;
        keyring.signing = keys
            .into_iter()
            .map(|(key, _)| (key.public().kid().clone(), key))
            .collect();
        Ok(keyring)
    }

    /// Builds a keyring from public keys. It verifies only, for as long as it is in use.
    ///
    /// # Errors
    /// [`KeyringError::Schedule`] for two keys with the same key ID, [`KeyringError::TwoNames`],
    /// [`KeyringError::TwoFormats`].
    pub fn from_verifying_keys(
        keys: impl IntoIterator<Item = VerifyingKey>,
    ) -> Result<Self, KeyringError> {
        Self::of_public(
            keys.into_iter()
                .map(|key| (key, Times::successor(Timestamp::EPOCH)))
                .collect(),
        )
    }

    fn of_public(keys: Vec<(VerifyingKey, Times)>) -> Result<Self, KeyringError> {
        let planned = |(key, times): &(VerifyingKey, Times)| Planned {
            kid: key.kid().clone(),
            algorithm: key.algorithm(),
            times: *times,
        };
        let plan: Vec<_> = keys.iter().map(planned).collect();
        schedule::check(&plan)?;
        for (index, (key, _)) in keys.iter().enumerate() {
            let twin = keys[..index]
                .iter()
                .find(|(other, _)| other.public_bytes() == key.public_bytes());
            if let Some((twin, _)) = twin {
                return Err(KeyringError::of_twins(twin, key));
            }
        }
        let by_header = keys
            .iter()
            .filter_map(|key| Some((token::encoded_header_of(&key.0)?, key.clone())))
            .collect();
        let verifying = keys
            .into_iter()
            .map(|(key, times)| (key.kid().clone(), (key, times)))
            .collect();
        Ok(Self {
            plan,
            signing: BTreeMap::new(),
            verifying,
            by_header,
        })
    }

    /// Builds a keyring from a JWK set (RFC 7517, section 5). It verifies only. One bad key makes the whole set
    /// invalid: the set is an issuer's own, and parts of it cannot be trusted alone.
    ///
    /// # Errors
    /// [`KeyringError`] says what is wrong with the set.
    pub fn from_jwks(json: &[u8]) -> Result<Self, KeyringError> {
        Self::from_verifying_keys(Self::keys_of_jwks(json)?)
    }

    /// Parses the keys of a JWK set.
    pub(crate) fn keys_of_jwks(json: &[u8]) -> Result<Vec<VerifyingKey>, KeyringError> {
        let set = Object::parse(json).map_err(|_| KeyringError::NotJwkSet)?;
        let keys = set
            .get("keys")
            .and_then(|keys| keys.as_array())
            .ok_or(KeyringError::NotJwkSet)?;
        let parsed = keys.iter().enumerate().map(|(index, key)| {
            let object = key.as_object().ok_or(KeyringError::NotJwkSet)?;
            VerifyingKey::from_jwk_object(object).map_err(|why| KeyringError::Key(index, why))
        });
        parsed.collect()
    }

    /// The key that signs tokens of `format` at `now`. It is the scheduled key or its published successor, chosen among
    /// the keys that are not revoked.
    #[doc(hidden)]
    pub fn signing(
        &self,
        format: Format,
        now: Timestamp,
        revoked: impl Fn(&KeyId) -> bool,
    ) -> Option<&SigningKey> {
        let signer = schedule::signer(&self.plan, format, now, revoked)?;
        self.signing.get(&signer.kid)
    }

    /// The key that verifies tokens with this `kid` at `now`. The `kid` is only looked up, never interpreted.
    #[doc(hidden)]
    #[must_use]
    pub fn verifying(&self, kid: &str, now: Timestamp) -> Option<&VerifyingKey> {
        let (key, times) = self.verifying.get(kid)?;
        times.verifies(now).then_some(key)
    }

    /// The key that names itself with this text in a token. The caller checks its times.
    pub(crate) fn find_by_header(&self, header: &str) -> Option<(KnownHeader<'_>, &Times)> {
        let (text, (key, times)) = self.by_header.get_key_value(header)?;
        Some((KnownHeader { text, key }, times))
    }

    /// The keys of this format to publish: those that verify at `now`, ordered by key ID.
    #[doc(hidden)]
    pub fn published(&self, format: Format, now: Timestamp) -> impl Iterator<Item = &VerifyingKey> {
        let mut kids: Vec<_> = schedule::of(&self.plan, format)
            .map(|key| &key.kid)
            .collect();
        kids.sort();
        kids.into_iter()
            .filter_map(move |kid| self.verifying(kid.as_str(), now))
    }

    /// The public keys for JWTs, as a JWK set.
    #[doc(hidden)]
    #[must_use]
    pub fn jwks(&self, now: Timestamp, revoked: impl Fn(&KeyId) -> bool) -> JwkSet {
        let keys = self
            .published(Format::Jwt, now)
            .filter(|key| !revoked(key.kid()));
        JwkSet {
            keys: keys
                .filter_map(VerifyingKey::jwk)
                .cloned()
                .collect::<Vec<Jwk>>(),
        }
    }

    /// The public keys for PASETOs, as key ID and PASERK.
    #[doc(hidden)]
    pub fn paserks(
        &self,
        now: Timestamp,
        revoked: impl Fn(&KeyId) -> bool,
    ) -> Vec<(KeyId, String)> {
        let keys = self
            .published(Format::Paseto, now)
            .filter(|key| !revoked(key.kid()));
        keys.filter_map(|key| Some((key.kid().clone(), key.paserk()?)))
            .collect()
    }

    /// Whether both keyrings have the same keys with the same times. Public keys are compared too: key IDs that are
    /// derived from keys identify them, but a foreign `kid` need not.
    fn is_same(&self, other: &Self) -> bool {
        let same = |kid: &KeyId| {
            let [one, other] = [self, other].map(|keyring| keyring.verifying.get(kid));
            one.map(|(key, _)| key.public_bytes()) == other.map(|(key, _)| key.public_bytes())
        };
        self.plan == other.plan && self.verifying.keys().all(same)
    }

    /// The key IDs, algorithms and times of all keys.
    #[doc(hidden)]
    #[must_use]
    pub fn plan(&self) -> &[Planned] {
        &self.plan
    }
}

/// The keyring in use, and the state of its source. A broken source never removes a good keyring.
#[derive(Debug)]
pub struct SharedKeyring {
    current: ArcSwap<Keyring>,
    broken: AtomicBool,
    unknown: Notify,
}

impl SharedKeyring {
    /// Starts with this keyring.
    #[must_use]
    pub fn new(keyring: Keyring) -> Self {
        Self {
            current: ArcSwap::from_pointee(keyring),
            broken: AtomicBool::new(false),
            unknown: Notify::new(),
        }
    }

    /// Notes that a token named an unknown key. Anybody can cause this, at any rate.
    pub(crate) fn note_unknown(&self) {
        self.unknown.notify_one();
    }

    /// Waits until an unknown key was named, once or more often, since the last call.
    #[cfg(feature = "remote")]
    pub(crate) async fn unknown_noted(&self) {
        self.unknown.notified().await;
    }

    /// The keyring in use, for a short time.
    pub(crate) fn load(&self) -> Guard<Arc<Keyring>> {
        self.current.load()
    }

    /// The keyring in use, for longer use.
    #[cfg(feature = "server")]
    pub(crate) fn load_full(&self) -> Arc<Keyring> {
        self.current.load_full()
    }

    /// Replaces the keyring if the new one differs. Returns whether it did.
    pub fn replace(&self, keyring: Keyring) -> bool {
        self.broken.store(false, Ordering::SeqCst);
        let differs = !self.current.load().is_same(&keyring);
        if differs {
            self.current.store(Arc::new(keyring));
        }
        differs
    }

    /// Notes that the source is broken. Returns true if it was in order before.
    #[cfg(feature = "remote")]
    pub(crate) fn source_broken(&self) -> bool {
        !self.broken.swap(true, Ordering::SeqCst)
    }

    /// Whether the source is in order.
    pub(crate) fn is_current(&self) -> bool {
        !self.broken.load(Ordering::SeqCst)
    }
}
