//! The first keys of a service.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use super::{Database, OpenError, Settings, Waxseal};
use crate::crypto::sha256;
use crate::key::Format;
use crate::keyring::Keyring;
use crate::random::OsRandom;
use crate::schedule::{self, LEAD};
use crate::store::files;
use crate::store::key_folder::{self, Change, KeyFolderError};
use crate::time::{Clock, Timestamp};

/// The folder of the keys.
#[derive(Clone, Debug)]
pub(super) struct KeyFolder {
    pub(super) path: PathBuf,
    /// Whether no other node has a copy of it.
    pub(super) is_own: bool,
}

/// Makes the first keys of each format that is accepted: to accept a format publishes its keys, so that
/// it can be issued later. True if there was any key before.
///
/// A format whose first key came after those of another is not issued before every verifier must
/// have that key.
pub(super) fn first(settings: &Settings, clock: &dyn Clock) -> Result<bool, OpenError> {
    let (folder, random) = (&settings.keys_dir, OsRandom::new());
    let keyring = key_folder::keyring(folder)?;
    files::warn_of_parents(folder);
    let had_keys = !keyring.plan().is_empty();
    let algorithms = settings
        .accepts
        .iter()
        .map(|format| settings.algorithm_of(*format));
    let missing: Vec<_> = algorithms
        .filter(|algorithm| {
            schedule::turns_of(keyring.plan(), algorithm.format())
                .next()
                .is_none()
        })
        .collect();
    if let (Some(missing), Database::Postgres(_)) = (missing.first(), &settings.database) {
        return Err(OpenError::NoKeys {
            format: missing.format(),
            folder: folder.clone(),
        });
    }
    if !missing.is_empty() {
        let mut change = Change::begin(folder)?;
        let now = clock.now();
        let mut plan = std::mem::take(&mut change.plan);
        for algorithm in missing {
            if schedule::turns_of(&plan, algorithm.format())
                .next()
                .is_none()
            {
                let new_key = || change.new_key(algorithm, now, &random);
                schedule::rotate(&mut plan, algorithm, now, None, new_key)?;
                tracing::info!(folder = %folder.display(), algorithm = algorithm.name(), "made a first signing key, and its successor");
            }
        }
        change.plan = plan;
        change.commit()?;
    }
    let keyring = key_folder::keyring(folder)?;
    let first =
        |format| schedule::turns_of(keyring.plan(), format).min_by_key(|key| key.times.published);
    let others = [Format::Jwt, Format::Paseto]
        .into_iter()
        .filter(|format| *format != settings.format);
    let other = others
        .filter_map(first)
        .map(|key| key.times.published)
        .min();
    if let Some(issued) = first(settings.format) {
        let (published, from) = (issued.times.published, issued.times.published.plus(LEAD));
        // A key that took over in an emergency did not sign from the moment it was published.
        let is_first = issued.times.signs_from <= Some(published);
        if is_first && other.is_some_and(|other| other < published) && clock.now() < from {
            return Err(OpenError::TooEarly {
                format: settings.format,
                from,
            });
        }
    }
    Ok(had_keys)
}

/// Tells these keys from others, by the one that signed first, and when the newest of them was published. The
/// former is the same after a rotation, and when the keys are dated anew; it is never 0.
pub(super) fn identity(keyring: &Keyring) -> (i64, Timestamp) {
    let turns = keyring
        .plan()
        .iter()
        .filter(|key| key.times.signs_from.is_some());
    let first = turns.min_by_key(|key| (key.times.signs_from, key.kid.clone()));
    let digest = first.map(|first| sha256(first.kid.as_str().as_bytes()));
    let [a, b, c, d, ..] = digest.unwrap_or_default();
    let id = i64::from(u32::from_be_bytes([a, b, c, d])) + 1;
    let published = keyring.plan().iter().map(|key| key.times.published);
    (id, published.max().unwrap_or(Timestamp::EPOCH))
}

/// Dates the first keys of each format anew if they begin to sign in the future. Call it only if nothing was
/// signed with them: then they were made by a clock that was ahead, and nobody knows them yet. True if it did.
///
/// # Errors
/// [`KeyFolderError`].
fn date_anew(folder: &Path, now: Timestamp) -> Result<bool, KeyFolderError> {
    let mut change = Change::begin(folder)?;
    let mut dated = false;
    for format in [Format::Jwt, Format::Paseto] {
        dated |= schedule::date_anew(&mut change.plan, format, now);
    }
    if dated {
        change.commit()?;
    }
    Ok(dated)
}

impl Waxseal {
    /// Takes the key folder's keyring into use. One that is broken leaves the one that is in use.
    pub async fn reload_keys(&self) {
        let (folder, before) = (self.keys.path.clone(), self.keyring.load_full());
        let reload = move || key_folder::reload(&folder, &before);
        let loaded = tokio::task::spawn_blocking(reload).await;
        match loaded {
            Ok(Ok(keyring)) => {
                self.meters.keys_unread.store(false, Ordering::Relaxed);
                if !self.keyring.is_current() {
                    tracing::info!("the key folder is in order again");
                }
                if self.keyring.replace(keyring) {
                    tracing::info!("the keys changed");
                }
            }
            Ok(Err(cause)) if cause.is_out_of_descriptors() => {
                if !self.meters.keys_unread.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%cause, "the key folder cannot be read for now; the keys from before stay in use");
                }
            }
            Ok(Err(cause)) => {
                if self.keyring.source_broken() {
                    tracing::error!(%cause, "the key folder is broken; the keys from before stay in use");
                }
            }
            Err(cause) => {
                if self.keyring.source_broken() {
                    tracing::error!(%cause, "loading the keys panicked; the keys from before stay in use");
                }
            }
        }
    }

    /// Looks whether a key signs, and says so in the log if none does. Keys that were made by a clock that was ahead are
    /// dated anew if nothing was signed with them, and no other node has a copy of them.
    pub async fn keep_signing(&self) {
        if self.issuer.can_sign() {
            self.meters.cannot_sign.store(false, Ordering::Relaxed);
            return;
        }
        // A log with an entry may be one that took the place of another, by which the keys were used.
        if self.keys.is_own && self.list.is_unused() && self.list.applied() == 0 {
            let (folder, now) = (self.keys.path.clone(), self.issuer.now());
            let date = move || date_anew(&folder, now);
            match tokio::task::spawn_blocking(date).await {
                Ok(Ok(true)) => {
                    tracing::warn!(
                        "the keys were made by a clock that was ahead; nothing was signed with them, and they are dated anew"
                    );
                    return self.reload_keys().await;
                }
                Ok(Ok(false)) | Err(_) => {}
                Ok(Err(cause)) => tracing::debug!(%cause, "the keys could not be dated anew"),
            }
        }
        if !self.meters.cannot_sign.swap(true, Ordering::Relaxed) {
            match self.issuer.not_yet() {
                Some(why) => tracing::error!("{why}"),
                None => {
                    tracing::error!("no key signs, so nobody can log in; run: waxseal keys plan")
                }
            }
        }
    }
}
