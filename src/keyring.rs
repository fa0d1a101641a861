//! The keys with their times: at any `now` it says which key signs and which verify. A keyring does
//! not change: a changed one takes its place.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::{ArcSwap, Guard};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use tokio::sync::Notify;

use crate::encoding::strict_json::Object;
use crate::id::KeyId;
use crate::key::{Format, KeyError, SigningKey, VerifyingKey};
use crate::schedule::{self, Planned, ScheduleError, Times};
use crate::time::Timestamp;
use crate::token;

/// Why keys make no keyring.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// Their times do not fit together.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// One key under two formats: a signature for one could pass for the other.
    #[error(
        "the keys {0} and {1} are one key in two formats; a key serves one format, remove one of them"
    )]
    TwoFormats(KeyId, KeyId),
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

impl KeyringError {
    /// One key, twice.
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

/// The keys, by name, with their times. They are few: to compare names costs less than to hash one.
#[derive(Debug, Default)]
pub struct Keyring {
    plan: Vec<Planned>,
    signing: BTreeMap<KeyId, SigningKey>,
    verifying: BTreeMap<KeyId, (VerifyingKey, Times)>,
    /// By how they name themselves in a token.
    naming: BTreeMap<String, (VerifyingKey, Times)>,
}

impl Keyring {
    /// From private keys and their times.
    ///
    /// # Errors
    /// [`KeyringError::Schedule`], [`KeyringError::TwoFormats`].
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

    /// From public keys, to verify alone, for as long as this keyring is in use.
    ///
    /// # Errors
    /// [`KeyringError::Schedule`] for two keys of one name, [`KeyringError::TwoFormats`].
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
        let naming = keys
            .iter()
            .filter_map(|key| Some((token::naming(&key.0)?, key.clone())))
            .collect();
        let verifying = keys
            .into_iter()
            .map(|(key, times)| (key.kid().clone(), (key, times)))
            .collect();
        Ok(Self {
            plan,
            signing: BTreeMap::new(),
            verifying,
            naming,
        })
    }

    /// From a JWK set (RFC 7517, section 5), to verify alone. One bad key refuses the whole set:
    /// it is an issuer's own, and such an issuer is not to be guessed about.
    ///
    /// # Errors
    /// [`KeyringError`] says what is wrong with it.
    pub fn from_jwks(json: &[u8]) -> Result<Self, KeyringError> {
        Self::from_verifying_keys(Self::keys_of_jwks(json)?)
    }

    /// The keys of a JWK set.
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

    /// The key that signs tokens of `format` at `now`: of the keys that are not revoked, the one whose
    /// turn it is, or its published successor.
    pub fn signing(
        &self,
        format: Format,
        now: Timestamp,
        revoked: impl Fn(&KeyId) -> bool,
    ) -> Option<&SigningKey> {
        let signer = schedule::signer(&self.plan, format, now, revoked)?;
        self.signing.get(&signer.kid)
    }

    /// The key that verifies tokens which name `kid`, at `now`. The name is only looked up, never
    /// interpreted.
    #[must_use]
    pub fn verifying(&self, kid: &str, now: Timestamp) -> Option<&VerifyingKey> {
        let (key, times) = self.verifying.get(kid)?;
        times.verifies(now).then_some(key)
    }

    /// The key that names itself so in a token, whenever it verifies.
    pub(crate) fn named(&self, naming: &str) -> Option<&(VerifyingKey, Times)> {
        self.naming.get(naming)
    }

    /// The keys of that format that verify at `now`, in the order of their names: those to publish.
    pub fn published(&self, format: Format, now: Timestamp) -> impl Iterator<Item = &VerifyingKey> {
        let mut kids: Vec<_> = schedule::of(&self.plan, format)
            .map(|key| &key.kid)
            .collect();
        kids.sort();
        kids.into_iter()
            .filter_map(move |kid| self.verifying(kid.as_str(), now))
    }

    /// The public keys for JWTs as a JWK set.
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

    /// The public keys for PASETOs, name and PASERK.
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

    /// Whether it has the same keys with the same times. Who makes the names of keys from the keys has the same
    /// ones if the names are; others' names promise nothing.
    fn is_same(&self, other: &Self) -> bool {
        let same = |kid: &KeyId| {
            let [one, other] = [self, other].map(|keyring| keyring.verifying.get(kid));
            one.map(|(key, _)| key.public_bytes()) == other.map(|(key, _)| key.public_bytes())
        };
        self.plan == other.plan && self.verifying.keys().all(same)
    }

    /// The schedule.
    #[must_use]
    pub fn plan(&self) -> &[Planned] {
        &self.plan
    }
}

/// The keyring in use, and whether its source is in order. A broken source never takes a good
/// keyring away.
#[derive(Debug)]
pub struct SharedKeyring {
    current: ArcSwap<Keyring>,
    broken: AtomicBool,
    unknown: Notify,
}

impl SharedKeyring {
    /// With that keyring in use.
    #[must_use]
    pub fn new(keyring: Keyring) -> Self {
        Self {
            current: ArcSwap::from_pointee(keyring),
            broken: AtomicBool::new(false),
            unknown: Notify::new(),
        }
    }

    /// Takes note that a token named a key that is not here. Anybody can cause it, at any rate.
    pub fn note_unknown(&self) {
        self.unknown.notify_one();
    }

    /// Waits until an unknown key was named, once or more often, since this was last waited for.
    pub async fn unknown_noted(&self) {
        self.unknown.notified().await;
    }

    /// The keyring in use.
    pub fn load(&self) -> Guard<Arc<Keyring>> {
        self.current.load()
    }

    /// The keyring in use, to be kept for longer.
    #[must_use]
    pub fn load_full(&self) -> Arc<Keyring> {
        self.current.load_full()
    }

    /// Puts another keyring in its place, if it differs. True if it did.
    pub fn replace(&self, keyring: Keyring) -> bool {
        self.broken.store(false, Ordering::SeqCst);
        let differs = !self.current.load().is_same(&keyring);
        if differs {
            self.current.store(Arc::new(keyring));
        }
        differs
    }

    /// Takes note that its source is broken. True if it was in order before.
    pub fn source_broken(&self) -> bool {
        !self.broken.swap(true, Ordering::SeqCst)
    }

    /// Whether its source is in order.
    #[must_use]
    pub fn is_current(&self) -> bool {
        !self.broken.load(Ordering::SeqCst)
    }
}
