//! Changes of the key folder, each as one call: rotate, revoke, remove, import.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{KeyFile, KeyFolderChange, KeyFolderError, keyring, load};
use crate::id::KeyId;
use crate::key::{Algorithm, Format, SigningKey, VerifyingKey};
use crate::random::OsRandom;
use crate::revocation::Reason;
use crate::revocation::log::{RevocationLog, Revoke, StoreError};
use crate::schedule::{self, NotYet, Planned, Rotation, Times};
use crate::time::{Clock, Timestamp};

/// The folder of a service's private keys, with the schedule that says when each of them signs.
///
/// A call that changes the folder waits for the folder's lock, and changes it as a whole: a process that dies during
/// the call leaves the old schedule. A running service takes the change within a second. The calls block the thread.
///
/// ```
/// use std::collections::HashSet;
///
/// use waxseal::embedded::{KeyFolder, Rotation};
/// use waxseal::key::Algorithm;
/// use waxseal::random::OsRandom;
/// use waxseal::time::SystemClock;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let place = tempfile::tempdir()?;
/// let folder = KeyFolder::new(place.path().join("keys"));
/// let rotate = || {
///     let (clock, random) = (SystemClock, OsRandom::new());
///     folder.rotate(Algorithm::EdDsa, None, &HashSet::new(), &clock, &random)
/// };
/// let first = rotate()?;
/// assert!(matches!(first.rotation, Rotation::First(_)));
///
/// // The successor signs once every verifier must have it.
/// let second = rotate()?;
/// let Rotation::TakesOver(kid, at) = second.rotation else {
///     panic!("the rotation is made");
/// };
/// assert!(at > second.at && first.plan.iter().any(|key| key.kid == kid));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct KeyFolder {
    path: PathBuf,
}

/// The outcome of a rotation.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Rotated {
    /// What the rotation did.
    pub rotation: Rotation,
    /// The keys of the folder after the rotation.
    pub plan: Vec<Planned>,
    /// When the rotation was made.
    pub at: Timestamp,
}

/// The outcome of an import.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Imported {
    /// The imported key.
    pub kid: KeyId,
    /// Whether the key is the first one of its format and signs. Otherwise it is a successor.
    pub is_first: bool,
    /// The keys of the folder after the import.
    pub plan: Vec<Planned>,
    /// When the key was imported.
    pub at: Timestamp,
}

/// The outcome of a revocation.
#[derive(Debug)]
pub struct KeyRevoked {
    /// The `seq` of the revocation in the log.
    pub seq: i64,
    /// Whether the key also left the schedule. If not, the nodes refuse it all the same.
    pub left: Result<(), KeyFolderError>,
}

/// What the keys of a format lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// No key signs.
    Signer,
    /// A rotation is due.
    Rotation,
    /// No successor is published, or the schedule still plans with a revoked key.
    Successor,
}

impl KeyFolder {
    /// The folder at this path. It need not exist.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The path of the folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Rotates the keys of the algorithm's format: the published successor gets its turn to sign, and another successor
    /// of that algorithm is published. Makes the first key and a successor if the format has no key.
    ///
    /// No turn changes while one is about to begin or has just begun. With `every`, no turn changes before that time has
    /// passed since the last turn began, so the call can be made at any interval. In each case the format has a published
    /// successor afterwards.
    ///
    /// `revoked` has the keys that the revocation log revokes: `Waxseal::revoked_keys` in a running service. They leave
    /// the schedule, in either format. Without them, a key that was revoked elsewhere keeps its turn, and no key signs
    /// until that turn is over.
    ///
    /// # Errors
    /// [`KeyFolderError`] says what to do. [`KeyFolderError::NotYet`] if every key begins to sign in the future.
    pub fn rotate(
        &self,
        algorithm: Algorithm,
        every: Option<Duration>,
        revoked: &HashSet<KeyId>,
        clock: &dyn Clock,
        random: &OsRandom,
    ) -> Result<Rotated, KeyFolderError> {
        let mut change = KeyFolderChange::begin(&self.path)?;
        // The lock may have taken long, and a new key is published only from now on.
        let at = clock.now();
        let (plan, keys) = (&mut change.plan, &mut change.keys);
        let new_key = |algorithm| keys.new_key(algorithm, at, random);
        let rotation = rotate(plan, algorithm, every, revoked, at, new_key)?;
        change.commit()?;
        let plan = keyring(&self.path)?.plan().to_vec();
        Ok(Rotated { rotation, plan, at })
    }

    /// Returns what [`rotate`](Self::rotate) would do now, and changes nothing. Keys that it would make have the IDs
    /// `to-be-made-1` and so on.
    ///
    /// # Errors
    /// As for [`rotate`](Self::rotate).
    pub fn preview_rotation(
        &self,
        algorithm: Algorithm,
        every: Option<Duration>,
        revoked: &HashSet<KeyId>,
        clock: &dyn Clock,
    ) -> Result<Rotated, KeyFolderError> {
        let (files, at) = (load(&self.path)?, clock.now());
        let mut plan: Vec<_> = files.iter().map(KeyFile::planned).collect();
        let mut made = 0;
        let new_key = |_| {
            made += 1;
            Ok(KeyId::placeholder(made))
        };
        let rotation = rotate(&mut plan, algorithm, every, revoked, at, new_key)?;
        // Only now: the rotation may repair the schedule.
        schedule::check(&plan).map_err(KeyFolderError::of_schedule(&self.path))?;
        Ok(Rotated { rotation, plan, at })
    }

    /// Removes the keys that neither sign nor verify any more, and returns their IDs.
    ///
    /// # Errors
    /// [`KeyFolderError`] says what to do.
    pub fn prune(&self, clock: &dyn Clock) -> Result<Vec<KeyId>, KeyFolderError> {
        let mut change = KeyFolderChange::begin(&self.path)?;
        let gone = schedule::prune(&mut change.plan, clock.now());
        if !gone.is_empty() {
            change.commit()?;
        }
        Ok(gone)
    }

    /// Imports a private key, one PEM block `PRIVATE KEY` (unencrypted PKCS#8). It signs if the format has no key yet;
    /// otherwise it is a successor. `revoked` has the keys that the revocation log revokes.
    ///
    /// # Errors
    /// [`KeyFolderError::Key`] for an unusable key, [`KeyFolderError::Revoked`] for a revoked one,
    /// [`KeyFolderError::Known`] for one that the folder has; other variants if the folder cannot be changed.
    pub fn import(
        &self,
        pem: &str,
        format: Format,
        revoked: &HashSet<KeyId>,
        clock: &dyn Clock,
    ) -> Result<Imported, KeyFolderError> {
        let key = SigningKey::from_pem(pem.as_bytes(), format);
        let key = key.map_err(|why| KeyFolderError::Key {
            path: self.path.clone(),
            why,
        })?;
        let kid = key.public().kid().clone();
        if revoked.contains(&kid) {
            return Err(KeyFolderError::Revoked(kid));
        }
        let mut change = KeyFolderChange::begin(&self.path)?;
        let at = clock.now();
        if change.plan.iter().any(|key| key.kid == kid) {
            let path = self.path.clone();
            return Err(KeyFolderError::Known { kid, path });
        }
        let (kid, algorithm) = change.add_pem(pem, format, at)?;
        let is_first = schedule::turns_of(&change.plan, format).next().is_none();
        let times = match is_first {
            true => Times::first(at),
            false => Times::successor(at),
        };
        change.plan.push(Planned {
            kid: kid.clone(),
            algorithm,
            times,
        });
        let plan = change.plan.clone();
        change.commit()?;
        Ok(Imported {
            kid,
            is_first,
            plan,
            at,
        })
    }

    /// Revokes a key for good: writes the revocation to the log, takes the key out of the schedule, and publishes a
    /// successor. The log comes first: from then on every node refuses the key, even if the folder cannot be changed.
    ///
    /// # Errors
    /// [`StoreError`] if the log could not be written. The folder is then unchanged.
    #[doc(hidden)]
    pub async fn revoke(
        &self,
        kid: &KeyId,
        log: &dyn RevocationLog,
        clock: &dyn Clock,
        random: &OsRandom,
    ) -> Result<KeyRevoked, StoreError> {
        let at = clock.now();
        let known = self.verifying_key(kid).ok().flatten();
        // The same key has another name in the other format.
        let other = known.and_then(|key| key.other_name());
        let mut seq = 0;
        for name in [Some(kid.clone()), other].into_iter().flatten() {
            seq = log.revoke(Revoke::Key(name), Reason::Operator, at).await?;
        }
        let left = self.take_out(kid, clock, random);
        Ok(KeyRevoked { seq, left })
    }

    /// Returns the public half of a key in the folder.
    ///
    /// # Errors
    /// [`KeyFolderError`] if the folder cannot be read.
    #[doc(hidden)]
    pub fn verifying_key(&self, kid: &KeyId) -> Result<Option<VerifyingKey>, KeyFolderError> {
        let mut files = load(&self.path)?.into_iter();
        let found = files.find(|file| file.key.public().kid() == kid);
        Ok(found.map(|file| file.key.public().clone()))
    }

    /// Takes a revoked key out of the schedule, and publishes a successor.
    fn take_out(
        &self,
        kid: &KeyId,
        clock: &dyn Clock,
        random: &OsRandom,
    ) -> Result<(), KeyFolderError> {
        let mut change = KeyFolderChange::begin(&self.path)?;
        let (now, revoked) = (clock.now(), HashSet::from([kid.clone()]));
        let (plan, keys) = (&mut change.plan, &mut change.keys);
        take_out(plan, &revoked, now, |algorithm| {
            keys.new_key(algorithm, now, random)
        })?;
        change.commit()
    }

    /// Makes a first key and a successor for each algorithm whose format has no key. Returns those algorithms.
    ///
    /// # Errors
    /// [`KeyFolderError`] if the folder cannot be read or written.
    pub(crate) fn make_first(
        &self,
        algorithms: impl IntoIterator<Item = Algorithm>,
        clock: &dyn Clock,
        random: &OsRandom,
    ) -> Result<Vec<Algorithm>, KeyFolderError> {
        let mut change = KeyFolderChange::begin(&self.path)?;
        let (now, mut made) = (clock.now(), Vec::new());
        for algorithm in algorithms {
            let turn = schedule::turns_of(&change.plan, algorithm.format()).next();
            if turn.is_none() {
                let new_key = || change.keys.new_key(algorithm, now, random);
                schedule::rotate(&mut change.plan, algorithm, now, None, new_key)?;
                made.push(algorithm);
            }
        }
        change.commit()?;
        Ok(made)
    }

    /// Re-dates the first keys of each format if they begin to sign in the future. Returns `true` if it changed any.
    ///
    /// Call it only if these keys have signed nothing: then a clock that was ahead dated them, and no verifier knows
    /// them yet.
    ///
    /// # Errors
    /// [`KeyFolderError`] if the folder cannot be read or written.
    pub(crate) fn date_anew(&self, now: Timestamp) -> Result<bool, KeyFolderError> {
        let mut change = KeyFolderChange::begin(&self.path)?;
        let mut dated = false;
        for format in Format::ALL {
            dated |= schedule::date_anew(&mut change.plan, format, now);
        }
        if dated {
            change.commit()?;
        }
        Ok(dated)
    }
}

/// Takes the revoked keys out of the plan, and rotates it.
fn rotate(
    plan: &mut Vec<Planned>,
    algorithm: Algorithm,
    every: Option<Duration>,
    revoked: &HashSet<KeyId>,
    now: Timestamp,
    mut new_key: impl FnMut(Algorithm) -> Result<KeyId, KeyFolderError>,
) -> Result<Rotation, KeyFolderError> {
    refuse_not_yet(plan, algorithm.format(), revoked, now)?;
    take_out(plan, revoked, now, &mut new_key)?;
    schedule::rotate(plan, algorithm, now, every, || new_key(algorithm))
}

/// Refuses a schedule in which every key begins in the future: a rotation does not help there.
fn refuse_not_yet(
    plan: &[Planned],
    format: Format,
    revoked: &HashSet<KeyId>,
    now: Timestamp,
) -> Result<(), NotYet> {
    schedule::not_yet(plan, format, now, |kid| revoked.contains(kid)).map_or(Ok(()), Err)
}

/// Revokes these keys in the plan, and publishes a successor again.
fn take_out(
    plan: &mut Vec<Planned>,
    revoked: &HashSet<KeyId>,
    now: Timestamp,
    mut new_key: impl FnMut(Algorithm) -> Result<KeyId, KeyFolderError>,
) -> Result<(), KeyFolderError> {
    let new: Vec<_> = unrepaired(plan, revoked).cloned().collect();
    for key in &new {
        schedule::revoke(plan, &key.kid, now);
    }
    for Planned { algorithm, .. } in new {
        let new_key = || new_key(algorithm);
        schedule::rotate(plan, algorithm, now, Some(Duration::MAX), new_key)?;
    }
    Ok(())
}

/// The keys that are revoked, and not so in the plan.
fn unrepaired<'p>(
    plan: &'p [Planned],
    revoked: &HashSet<KeyId>,
) -> impl Iterator<Item = &'p Planned> {
    plan.iter()
        .filter(|key| key.times.revoked_at.is_none() && revoked.contains(&key.kid))
}

/// Returns what the keys of the algorithm's format lack. `revoked` has the keys that the revocation log revokes.
///
/// # Errors
/// [`NotYet`] if every key begins to sign in the future.
pub fn lack(
    plan: &[Planned],
    algorithm: Algorithm,
    every: Option<Duration>,
    revoked: &HashSet<KeyId>,
    now: Timestamp,
) -> Result<Option<Lack>, NotYet> {
    let format = algorithm.format();
    refuse_not_yet(plan, format, revoked, now)?;
    if schedule::signer(plan, format, now, |kid| revoked.contains(kid)).is_none() {
        return Ok(Some(Lack::Signer));
    }
    let mut rotated = plan.to_vec();
    let every = Some(every.unwrap_or(Duration::MAX));
    let new_key = || Ok::<_, NotYet>(KeyId::placeholder(1));
    let rotation = schedule::rotate(&mut rotated, algorithm, now, every, new_key)?;
    Ok(match rotation {
        Rotation::TakesOver(..) | Rotation::First(_) => Some(Lack::Rotation),
        _ if rotated.len() > plan.len() => Some(Lack::Successor),
        _ => unrepaired(plan, revoked).next().map(|_| Lack::Successor),
    })
}
