//! Validation of key schedules, with errors that advise the operator.

use std::time::Duration;

use super::{LEAD, Planned, TAIL, longest_waiting, of, turns};
use crate::id::KeyId;
use crate::key::Format;
use crate::time::Timestamp;

/// A schedule that would orphan a token or leave no key to sign with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// Two keys have the same `kid`.
    #[error("two keys have the kid {0}; remove one of them")]
    DoubleKid(KeyId),
    /// No key signs between two turns.
    #[error("no {format} key signs between {from} and {until}: set signs_from of {kid} to {from}", format = format.name())]
    Gap {
        /// The format of the keys.
        format: Format,
        /// The start of the gap.
        from: Timestamp,
        /// The end of the gap.
        until: Timestamp,
        /// The key whose turn follows the gap.
        kid: KeyId,
    },
    /// No key signs after the last turn.
    #[error("no {format} key signs from {from} on, after {kid}: run waxseal keys rotate", format = format.name())]
    End {
        /// The format of the keys.
        format: Format,
        /// The end of the schedule.
        from: Timestamp,
        /// The key with the last turn.
        kid: KeyId,
    },
    /// Two keys sign at the same time.
    #[error("{kid} begins to sign at {from}, while another {format} key signs until {until}: set its signs_from to {until}", format = format.name())]
    Overlap {
        /// The format of the keys.
        format: Format,
        /// The start of the overlap.
        from: Timestamp,
        /// The end of the overlap.
        until: Timestamp,
        /// The key whose turn begins too early.
        kid: KeyId,
    },
    /// A key signs before every verifier is guaranteed to have it.
    #[error(
        "{kid} signs {short_by:?} too early for verifiers that hold an older copy of the keys: set its signs_from to {earliest} or later"
    )]
    TooEarly {
        /// The key.
        kid: KeyId,
        /// How much too early the key signs.
        short_by: Duration,
        /// The earliest time at which the key may sign.
        earliest: Timestamp,
    },
    /// A key stops verifying while tokens that it signed may be alive.
    #[error(
        "{kid} stops verifying while tokens that it signed may live: set its verifies_until to {}",
        or_null(*earliest)
    )]
    TooShort {
        /// The key.
        kid: KeyId,
        /// The earliest time at which the key may stop verifying.
        earliest: Timestamp,
    },
    /// The key's turn ends before it begins.
    #[error("{0} stops signing before it begins: correct its signs_from and signs_until")]
    Backwards(KeyId),
}

/// Formats a time for `keyring.json`.
fn or_null(earliest: Timestamp) -> String {
    if earliest < Timestamp::NEVER {
        format!("{earliest} or later")
    } else {
        "null".to_owned()
    }
}

/// Checks that from the first turn on exactly one key of each format signs at every instant, that no key signs too
/// early, and that no key stops verifying too early.
///
/// # Errors
/// [`ScheduleError`] names the key and says what to change.
pub fn check(keys: &[Planned]) -> Result<(), ScheduleError> {
    for (index, key) in keys.iter().enumerate() {
        if keys[..index].iter().any(|other| other.kid == key.kid) {
            return Err(ScheduleError::DoubleKid(key.kid.clone()));
        }
    }
    Format::ALL
        .into_iter()
        .try_for_each(|format| check_format(keys, format))
}

fn check_format(keys: &[Planned], format: Format) -> Result<(), ScheduleError> {
    for key in of(keys, format).filter(|key| key.times.waits()) {
        // A waiting key may have to sign at any time, so its end is unknown.
        if key.times.signs_until < Timestamp::NEVER {
            return Err(ScheduleError::Backwards(key.kid.clone()));
        }
        if key.times.verifies_until < Timestamp::NEVER {
            return Err(ScheduleError::TooShort {
                kid: key.kid.clone(),
                earliest: Timestamp::NEVER,
            });
        }
    }
    let mut before: Option<&Planned> = None;
    for key in turns(keys, format).into_iter().map(|index| &keys[index]) {
        let (kid, times) = (key.kid.clone(), &key.times);
        let from = times.signs_from.unwrap_or(times.signs_until);
        if times.signs_until < from {
            return Err(ScheduleError::Backwards(kid));
        }
        if let Some(before) = before {
            let until = before.times.signs_until;
            if until < from {
                return Err(ScheduleError::Gap {
                    format,
                    from: until,
                    until: from,
                    kid,
                });
            }
            if from < until {
                return Err(ScheduleError::Overlap {
                    format,
                    from,
                    until,
                    kid,
                });
            }
            // In an emergency, the published successor takes over at once.
            let earliest = times.published.plus(LEAD);
            if before.times.revoked_at.is_none() && from < earliest {
                let short_by = Duration::from_millis(earliest.millis().abs_diff(from.millis()));
                return Err(ScheduleError::TooEarly {
                    kid,
                    short_by,
                    earliest,
                });
            }
        }
        let earliest = times.signs_until.plus(TAIL);
        if times.revoked_at.is_none() && times.verifies_until < earliest {
            return Err(ScheduleError::TooShort { kid, earliest });
        }
        before = Some(key);
    }
    let Some(last) = before else {
        return Ok(());
    };
    let from = match last.times.revoked_at {
        _ if last.times.signs_until < Timestamp::NEVER => last.times.signs_until,
        None => Timestamp::NEVER,
        Some(_) if longest_waiting(keys, format).is_some() => Timestamp::NEVER,
        Some(revoked_at) => revoked_at,
    };
    if from < Timestamp::NEVER {
        return Err(ScheduleError::End {
            format,
            from,
            kid: last.kid.clone(),
        });
    }
    Ok(())
}
