//! Creates and checks the first keys of a service.

use super::open_error::OpenError;
use super::settings::Settings;
use crate::crypto::sha256;
use crate::key::Format;
use crate::keyring::Keyring;
use crate::random::OsRandom;
use crate::schedule::{self, LEAD};
use crate::store::files;
use crate::store::key_folder::{self, KeyFolder};
use crate::time::{Clock, Timestamp};

/// Creates the first keys of each accepted format. Returns `true` if any key existed before.
///
/// A service publishes the keys of every format that it accepts, so that it can issue that format later. If the first
/// key of the issued format is newer than those of another format, the call fails until every verifier must have that
/// key.
pub(super) fn first(settings: &Settings, clock: &dyn Clock) -> Result<bool, OpenError> {
    let folder = &settings.keys_dir;
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
    if let Some(missing) = missing.first()
        && settings.database.is_shared()
    {
        return Err(OpenError::NoKeys {
            format: missing.format(),
            folder: folder.clone(),
        });
    }
    if !missing.is_empty() {
        let made = KeyFolder::new(folder).make_first(missing, clock, &OsRandom::new())?;
        for algorithm in made {
            tracing::info!(folder = %folder.display(), algorithm = algorithm.name(), "made a first signing key, and its successor");
        }
    }
    let keyring = key_folder::keyring(folder)?;
    let first =
        |format| schedule::turns_of(keyring.plan(), format).min_by_key(|key| key.times.published);
    let others = Format::ALL
        .into_iter()
        .filter(|format| *format != settings.format);
    let other = others
        .filter_map(first)
        .map(|key| key.times.published)
        .min();
    if let Some(issued) = first(settings.format) {
        let (published, from) = (issued.times.published, issued.times.published.plus(LEAD));
        // An emergency key begins to sign later than its publication, so this rule does not apply to it.
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

/// Returns an ID of this set of keys, and the publication time of the newest key.
///
/// The ID is derived from the key that signed first. It survives a rotation and a re-dating, and is never 0.
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
