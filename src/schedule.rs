//! When each key is published, signs and verifies: times, and pure functions of them and `now`.
//!
//! No state machine runs. Nodes that share the times agree without talking, and promise 5 is
//! arithmetic: a key signs only after every verifier's copy of the keys must have it, and verifies
//! until the last token that it can have signed is dead.

mod check;

use std::time::Duration;

use crate::id::KeyId;
use crate::key::{Algorithm, Format};
use crate::policy::{LIFETIME_CAP, MAX_LEEWAY};
use crate::time::Timestamp;

pub use check::{ScheduleError, check};

/// How long a verifier may keep its copy of the public keys: the `max-age` of the key endpoints.
pub const MAX_AGE: Duration = Duration::from_secs(600);

/// How far wall clocks may be apart, both ways together.
pub const SKEW: Duration = MAX_LEEWAY;

/// How late a node may learn of a change of the key folder. A Kubernetes secret takes up to about
/// 90 seconds to reach a node.
pub const PROPAGATION: Duration = Duration::from_secs(120);

/// How long a key is published before it signs.
pub const LEAD: Duration =
    Duration::from_secs(MAX_AGE.as_secs() + SKEW.as_secs() + PROPAGATION.as_secs());

/// How long a key verifies after it stopped signing: a node that learns late signs on for a while,
/// and no token lives longer than the cap and the leeway.
pub const TAIL: Duration = Duration::from_secs(
    PROPAGATION.as_secs() + SKEW.as_secs() + LIFETIME_CAP.as_secs() + MAX_LEEWAY.as_secs(),
);

/// How long a rotation is under way after a key's turn has begun: until then a node may not know yet.
pub const SETTLE: Duration = Duration::from_secs(PROPAGATION.as_secs() + SKEW.as_secs());

const FORMATS: [Format; 2] = [Format::Jwt, Format::Paseto];

/// A key's times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// From when on the key endpoints show it.
    pub published: Timestamp,
    /// From when on it signs; none for a successor whose turn is not fixed yet.
    pub signs_from: Option<Timestamp>,
    /// Until when it signs, [`Timestamp::NEVER`] for the last one.
    pub signs_until: Timestamp,
    /// Until when it verifies.
    pub verifies_until: Timestamp,
    /// Since when it is revoked. It then neither signs nor verifies.
    pub revoked_at: Option<Timestamp>,
}

impl Times {
    /// A successor that waits for its turn.
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

    /// A key that signs from the moment it is published: the first of its format, whose tokens no
    /// verifier can have expected from another.
    #[must_use]
    pub fn first(published: Timestamp) -> Self {
        Self {
            // A node that shares the folder may be behind, and must have a key that signs too.
            signs_from: Some(published.minus(SKEW)),
            ..Self::successor(published)
        }
    }

    /// Whether it is its turn to sign.
    #[must_use]
    pub fn signs(&self, now: Timestamp) -> bool {
        self.signs_from.is_some_and(|from| from <= now) && now < self.signs_until
    }

    /// Whether its signatures still count.
    #[must_use]
    pub fn verifies(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && now < self.verifies_until
    }

    const fn waits(&self) -> bool {
        self.signs_from.is_none() && self.revoked_at.is_none()
    }

    /// Its last turn ends at `at`.
    fn ends_at(&mut self, at: Timestamp) {
        self.signs_until = at;
        self.verifies_until = at.plus(TAIL);
    }
}

/// A key in the schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Its name.
    pub kid: KeyId,
    /// What it signs with.
    pub algorithm: Algorithm,
    /// Its times.
    pub times: Times,
}

/// The places of the keys of that format that have a turn, in the order of their turns.
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

/// The keys of that format.
pub fn of(keys: &[Planned], format: Format) -> impl Iterator<Item = &Planned> {
    keys.iter()
        .filter(move |key| key.algorithm.format() == format)
}

/// The keys of that format that sign at some time or did.
pub fn turns_of(keys: &[Planned], format: Format) -> impl Iterator<Item = &Planned> {
    of(keys, format).filter(|key| key.times.signs_from.is_some())
}

/// The key that signs at `now`. If it is revoked, its published successor: the one whose turn comes
/// next, else the one that has waited longest.
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

/// Every key of a format begins to sign in the future: a clock is wrong, or was when the keys were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no {format} key signs before {from}, and this clock says {now}: nobody can log in. If the clock is wrong, set it right. If it is right, it was ahead when the keys were made: stop the service, move the key folder away, and start the service with new keys, which ends every session", format = format.name())]
pub struct NotYet {
    format: Format,
    from: Timestamp,
    now: Timestamp,
}

/// Whether no key of that format signs at `now` because the first turn is in the future.
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

/// Dates keys anew that were made by a clock that was ahead: the first of its format, if it is the only one
/// that has a turn, and its successors. Call it only if nothing was signed with them. True if it did.
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

/// What a rotation does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// A successor takes over at that time.
    TakesOver(KeyId, Timestamp),
    /// One is taking over already, or has only just.
    Pending(KeyId, Timestamp),
    /// It is not due before that time.
    NotDue(Timestamp),
    /// The format had no key, and has its first now.
    First(KeyId),
}

/// Rotates the keys of `algorithm`'s format, unless a rotation is under way or, with `every`, not yet
/// due; and sees to it that one successor is published in any case. `new_key` makes a key, and is
/// asked only when one is needed.
///
/// # Errors
/// What `new_key` answers.
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
    // Revoked when there was nobody to take its place.
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
            // A schedule that ends is due, whatever was asked.
            let ends = times.signs_until < Timestamp::NEVER;
            let due = every.map_or(Timestamp::EPOCH, |every| from.plus(every));
            if orphaned.is_some() {
                Rotation::TakesOver(kid, from)
            } else if from > now && !ends {
                Rotation::Pending(kid, from)
            } else if now < due && !ends {
                Rotation::NotDue(due)
            } else if now < from.plus(SETTLE) && !before.is_empty() && !ends {
                // Of two rotations at once the second finds that the first has just been.
                Rotation::Pending(kid, from)
            } else {
                for over in before {
                    // Without an end if the folder had no schedule.
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

/// Takes a revoked key out of the schedule: whoever signs in its place by [`signer`] has its turn
/// from now on. [`rotate`] has to follow, which sees to it that there is somebody.
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

/// Gives the turn of a key that is revoked to others.
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
    // What others lost by being revoked comes between, if the clock was set back.
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

/// Drops the keys that neither sign nor verify any more. Gives their names.
pub fn prune(keys: &mut Vec<Planned>, now: Timestamp) -> Vec<KeyId> {
    let over = |key: &Planned| {
        key.times.verifies_until <= now
            && (key.times.signs_from.is_none() || key.times.signs_until <= now)
    };
    let mut gone = Vec::new();
    for format in FORMATS {
        let turns = turns(keys, format);
        // Only from the beginning: a turn that is missing between two others is a gap.
        let first = turns.iter().map(|index| &keys[*index]);
        let first = first.take_while(|key| over(key));
        let without = of(keys, format).filter(|key| key.times.signs_from.is_none() && over(key));
        gone.extend(first.chain(without).map(|key| key.kid.clone()));
    }
    keys.retain(|key| !gone.contains(&key.kid));
    gone
}
