//! The schedule of keys: when each key is published, signs and verifies. The functions here are pure functions of these
//! times and `now`.
//!
//! There is no state machine. Nodes with the same schedule agree without communication, and promise 5 (never orphaned)
//! is arithmetic: a key signs only after every verifier's copy of the keys must have it, and it verifies until the last
//! token that it can have signed has expired.

mod check;

use std::time::Duration;

use crate::id::KeyId;
use crate::key::{Algorithm, Format};
use crate::policy::{LIFETIME_CAP, MAX_LEEWAY};
use crate::time::Timestamp;

pub use check::{ScheduleError, check};

/// How long a verifier may cache the public keys: the `max-age` of the key endpoints.
pub const MAX_AGE: Duration = Duration::from_secs(600);

/// The maximum difference between wall clocks, ahead and behind together.
pub const SKEW: Duration = MAX_LEEWAY;

/// The maximum time until a node learns of a change of the key folder. A Kubernetes secret takes up to about 90 seconds
/// to reach a node.
pub const PROPAGATION: Duration = Duration::from_secs(120);

/// How long a key is published before it signs.
pub const LEAD: Duration =
    Duration::from_secs(MAX_AGE.as_secs() + SKEW.as_secs() + PROPAGATION.as_secs());

/// How long a key verifies after it stops signing. A node that learns late signs on for a while, and no token lives
/// longer than the lifetime cap plus the leeway.
pub const TAIL: Duration = Duration::from_secs(
    PROPAGATION.as_secs() + SKEW.as_secs() + LIFETIME_CAP.as_secs() + MAX_LEEWAY.as_secs(),
);

/// How long a rotation counts as pending after a key's turn begins: until then a node may not know of it.
pub const SETTLE: Duration = Duration::from_secs(PROPAGATION.as_secs() + SKEW.as_secs());

/// The times of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// When the key endpoints begin to publish the key.
    pub published: Timestamp,
    /// When the key begins to sign. `None` for a successor whose turn is not scheduled yet.
    pub signs_from: Option<Timestamp>,
    /// When the key stops signing. [`Timestamp::NEVER`] for the last key.
    pub signs_until: Timestamp,
    /// When the key stops verifying.
    pub verifies_until: Timestamp,
    /// When the key was revoked. A revoked key neither signs nor verifies.
    pub revoked_at: Option<Timestamp>,
}

impl Times {
    /// Returns the times of a successor whose turn is not scheduled yet.
    #[doc(hidden)]
    #[must_use]
    pub const fn successor(published: Timestamp) -> Self {
        let never = Timestamp::NEVER;
        Self {
            published,
            signs_from: None,
            signs_until: never,
            verifies_until: never,
            revoked_at: None,
        }
    }

    /// Returns the times of a key that signs as soon as it is published: the first key of its format, so no verifier
    /// expects tokens from another key.
    #[doc(hidden)]
    #[must_use]
    pub fn first(published: Timestamp) -> Self {
        Self {
            // A node that shares the folder may have a clock that is behind, and needs a key that signs too.
            signs_from: Some(published.minus(SKEW)),
            ..Self::successor(published)
        }
    }

    /// Returns whether it is the key's turn to sign.
    #[must_use]
    pub fn signs(&self, now: Timestamp) -> bool {
        self.signs_from.is_some_and(|from| from <= now) && now < self.signs_until
    }

    /// Returns whether the key's signatures are accepted.
    #[must_use]
    pub fn verifies(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && now < self.verifies_until
    }

    const fn waits(&self) -> bool {
        self.signs_from.is_none() && self.revoked_at.is_none()
    }

    /// Ends the key's turn at `at`.
    fn ends_at(&mut self, at: Timestamp) {
        self.signs_until = at;
        self.verifies_until = at.plus(TAIL);
    }
}

/// A key in the schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The key ID.
    pub kid: KeyId,
    /// The signature algorithm.
    pub algorithm: Algorithm,
    /// The key's times.
    pub times: Times,
}

/// Returns the indices of the format's keys that have a turn, in the order of their turns.
fn turns(keys: &[Planned], format: Format) -> Vec<usize> {
    let mut turns: Vec<_> = (0..keys.len())
        .filter(|index| keys[*index].algorithm.format() == format)
        .filter_map(|index| {
            let times = &keys[index].times;
            Some((times.signs_from?, times.signs_until, index))
        })
        .collect();
    turns.sort_unstable();
    turns.into_iter().map(|(_, _, index)| index).collect()
}

/// Returns the keys of that format.
pub fn of(keys: &[Planned], format: Format) -> impl Iterator<Item = &Planned> {
    keys.iter()
        .filter(move |key| key.algorithm.format() == format)
}

/// Returns the keys of that format with a past, current or future turn.
pub fn turns_of(keys: &[Planned], format: Format) -> impl Iterator<Item = &Planned> {
    of(keys, format).filter(|key| key.times.signs_from.is_some())
}

/// Returns the key that signs at `now`. If that key is revoked, its published successor signs: the key with the next
/// turn, otherwise the successor that was published first.
pub fn signer(
    keys: &[Planned],
    format: Format,
    now: Timestamp,
    revoked: impl Fn(&KeyId) -> bool,
) -> Option<&Planned> {
    let good = |key: &&Planned| key.times.revoked_at.is_none() && !revoked(&key.kid);
    let current = of(keys, format).find(|key| key.times.signs(now))?;
    if good(&current) {
        return Some(current);
    }
    let next = of(keys, format)
        .filter(good)
        .filter(|key| key.times.signs_from.is_some_and(|from| from > now));
    let waiting = of(keys, format)
        .filter(good)
        .filter(|key| key.times.waits());
    let next = next.min_by_key(|key| key.times.signs_from);
    next.or_else(|| waiting.min_by_key(|key| (key.times.published, key.kid.clone())))
}

/// Every key of a format begins to sign in the future: the clock is wrong, or was wrong when the keys were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no {format} key signs before {from}, and this clock says {now}: nobody can log in. If the clock is wrong, set it right. If it is right, it was ahead when the keys were made: stop the service, move the key folder away, and start the service with new keys, which ends every session", format = format.name())]
pub struct NotYet {
    format: Format,
    from: Timestamp,
    now: Timestamp,
}

/// Returns whether no key of that format signs at `now` because the first turn is in the future.
pub fn not_yet(
    keys: &[Planned],
    format: Format,
    now: Timestamp,
    revoked: impl Fn(&KeyId) -> bool,
) -> Option<NotYet> {
    if signer(keys, format, now, revoked).is_some() {
        return None;
    }
    let turns = turns_of(keys, format).filter(|key| key.times.revoked_at.is_none());
    let from = turns.filter_map(|key| key.times.signs_from).min()?;
    (from > now).then_some(NotYet { format, from, now })
}

/// Resets the times of keys that were made while the clock was ahead: the first key of the format, if no other has a
/// turn, and its successors. Call this only if nothing was signed with them. Returns whether the times were reset.
pub fn date_anew(keys: &mut [Planned], format: Format, now: Timestamp) -> bool {
    if not_yet(keys, format, now, |_| false).is_none() || turns_of(keys, format).count() != 1 {
        return false;
    }
    for key in keys
        .iter_mut()
        .filter(|key| key.algorithm.format() == format)
    {
        key.times = match key.times {
            times if times.revoked_at.is_some() => times,
            times if times.signs_from.is_some() => Times::first(now),
            times => Times::successor(times.published.min(now)),
        };
    }
    true
}

/// The result of a rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The successor takes over at that time.
    TakesOver(KeyId, Timestamp),
    /// A key is about to take over at that time, or has just taken over.
    Pending(KeyId, Timestamp),
    /// The rotation is not due before that time.
    NotDue(Timestamp),
    /// The format had no key and now has its first one.
    First(KeyId),
}

/// Rotates the keys of `algorithm`'s format, unless a rotation is pending or, with `every`, not yet due. In every case
/// one successor is published afterwards. `new_key` creates a key and is called only if one is needed.
///
/// # Errors
/// The error of `new_key`.
pub fn rotate<E>(
    keys: &mut Vec<Planned>,
    algorithm: Algorithm,
    now: Timestamp,
    every: Option<Duration>,
    mut new_key: impl FnMut() -> Result<KeyId, E>,
) -> Result<Rotation, E> {
    let format = algorithm.format();
    let mut add = |keys: &mut Vec<Planned>, times| {
        let kid = new_key()?;
        keys.push(Planned {
            kid: kid.clone(),
            algorithm,
            times,
        });
        Ok(kid)
    };
    // The last key was revoked when there was no successor.
    let last = turns(keys, format).pop();
    let orphaned = last.filter(|last| keys[*last].times.revoked_at.is_some());
    if let Some(orphaned) = orphaned {
        if longest_waiting(keys, format).is_none() {
            add(keys, Times::successor(now))?;
        }
        pass_on(keys, orphaned, now);
    }
    let rotation = match turns(keys, format).as_slice() {
        [] => {
            let first = match longest_waiting(keys, format) {
                Some(index) => {
                    keys[index].times.signs_from = Some(now);
                    keys[index].kid.clone()
                }
                None => add(keys, Times::first(now))?,
            };
            Rotation::First(first)
        }
        [before @ .., last] => {
            let (last, kid, times) = (*last, keys[*last].kid.clone(), keys[*last].times);
            let from = times.signs_from.unwrap_or(now);
            // A schedule that ends is due for rotation in any case.
            let ends = times.signs_until < Timestamp::NEVER;
            let due = every.map_or(Timestamp::EPOCH, |every| from.plus(every));
            if orphaned.is_some() {
                Rotation::TakesOver(kid, from)
            } else if from > now && !ends {
                Rotation::Pending(kid, from)
            } else if now < due && !ends {
                Rotation::NotDue(due)
            } else if now < from.plus(SETTLE) && !before.is_empty() && !ends {
                // Of two concurrent rotations, the second finds that the first has just taken place.
                Rotation::Pending(kid, from)
            } else {
                for over in before {
                    // `verifies_until` is unlimited if the folder had no schedule.
                    let times = &mut keys[*over].times;
                    if times.signs_until <= now {
                        times.verifies_until = times.verifies_until.min(now.plus(TAIL));
                    }
                }
                let next = match longest_waiting(keys, format) {
                    Some(index) => index,
                    None => {
                        add(keys, Times::successor(now))?;
                        keys.len() - 1
                    }
                };
                let at = now.max(from).max(keys[next].times.published.plus(LEAD));
                keys[last].times.ends_at(at);
                keys[next].times.signs_from = Some(at);
                Rotation::TakesOver(keys[next].kid.clone(), at)
            }
        }
    };
    if longest_waiting(keys, format).is_none() {
        add(keys, Times::successor(now))?;
    }
    Ok(rotation)
}

fn longest_waiting(keys: &[Planned], format: Format) -> Option<usize> {
    (0..keys.len())
        .filter(|index| keys[*index].algorithm.format() == format && keys[*index].times.waits())
        .min_by_key(|index| (keys[*index].times.published, keys[*index].kid.clone()))
}

/// Takes a revoked key out of the schedule. The key that signs instead (see [`signer`]) has its turn from `now` on.
/// Call [`rotate`] afterwards, which makes sure that there is such a key.
pub fn revoke(keys: &mut [Planned], kid: &KeyId, now: Timestamp) {
    let Some(index) = keys.iter().position(|key| key.kid == *kid) else {
        return;
    };
    let key = &mut keys[index];
    if key.times.revoked_at.is_some() {
        return;
    }
    key.times.revoked_at = Some(now);
    key.times.verifies_until = now;
    if key.times.signs_from.is_none() {
        key.times.signs_until = now;
    }
    pass_on(keys, index, now);
}

/// Gives the turn of a revoked key to another key.
fn pass_on(keys: &mut [Planned], gone: usize, now: Timestamp) {
    let format = keys[gone].algorithm.format();
    let turns = turns(keys, format);
    let (Some(place), Some(from)) = (
        turns.iter().position(|index| *index == gone),
        keys[gone].times.signs_from,
    ) else {
        return;
    };
    let until = keys[gone].times.signs_until;
    let is_revoked = |index: &usize| keys[*index].times.revoked_at.is_some();
    let before = place.checked_sub(1).map(|place| turns[place]);
    let signs_on = before.filter(|before| !is_revoked(before));
    let begun = from < now || (from == now && signs_on.is_none());
    if until <= now && begun {
        return;
    }
    let no_turn = |times: &mut Times| {
        times.signs_from = None;
        times.signs_until = now;
    };
    if !begun && let Some(before) = signs_on {
        no_turn(&mut keys[gone].times);
        keys[before].times.ends_at(until);
        return;
    }
    if !begun && before.is_none() {
        no_turn(&mut keys[gone].times);
        return;
    }
    let later = &turns[place + 1..];
    let next = later.iter().position(|index| !is_revoked(index));
    // If the clock was set back, turns of other revoked keys may lie in between.
    let between = &later[..next.unwrap_or(later.len())];
    let next = next.map(|next| later[next]);
    let Some(next) = next.or_else(|| longest_waiting(keys, format)) else {
        return;
    };
    if begun {
        keys[gone].times.signs_until = now;
        keys[next].times.signs_from = Some(now);
    } else {
        no_turn(&mut keys[gone].times);
        keys[next].times.signs_from = Some(from);
    }
    for index in between {
        no_turn(&mut keys[*index].times);
    }
}

/// Drops the keys that neither sign nor verify any more. Returns their IDs.
pub fn prune(keys: &mut Vec<Planned>, now: Timestamp) -> Vec<KeyId> {
    let over = |key: &Planned| {
        key.times.verifies_until <= now
            && (key.times.signs_from.is_none() || key.times.signs_until <= now)
    };
    let mut gone = Vec::new();
    for format in Format::ALL {
        let turns = turns(keys, format);
        // Drops turns only from the beginning: a missing turn between two others would be a gap.
        let first = turns.iter().map(|index| &keys[*index]);
        let first = first.take_while(|key| over(key));
        let without = of(keys, format).filter(|key| key.times.signs_from.is_none() && over(key));
        gone.extend(first.chain(without).map(|key| key.kid.clone()));
    }
    keys.retain(|key| !gone.contains(&key.kid));
    gone
}
