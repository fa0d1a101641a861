//! An in-memory rate limiter (GCRA) whose attempts can be given back.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::rate::Rate;

/// The maximum number of keys with a counter, so that a flood from many addresses takes at most about 16 MB. Beyond it,
/// the counters that expire soonest are dropped: those keys have used up the least.
const KEYS: usize = 100_000;

/// A rate limiter with one counter per key. Times are the clock's uptime, so a step of the wall clock opens no limit.
pub(super) struct Gcra<K> {
    rate: Rate,
    /// The theoretical arrival time of each key.
    arrivals: Mutex<HashMap<K, Duration>>,
}

fn drop_expired<K: Eq + Hash>(arrivals: &mut HashMap<K, Duration>, now: Duration) {
    arrivals.retain(|_, until| *until > now);
}

/// Makes room for another key: drops the expired ones, or a tenth of all if none has expired.
fn make_room<K: Eq + Hash>(arrivals: &mut HashMap<K, Duration>, now: Duration) {
    drop_expired(arrivals, now);
    if arrivals.len() < KEYS {
        return;
    }
    let mut left = KEYS / 10;
    let mut all: Vec<_> = arrivals.values().copied().collect();
    let (_, soon, _) = all.select_nth_unstable(left);
    let soon = *soon;
    arrivals.retain(|_, until| {
        let is_dropped = left > 0 && *until <= soon;
        left -= usize::from(is_dropped);
        !is_dropped
    });
}

impl<K> fmt::Debug for Gcra<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = &self.rate;
        f.debug_struct("Gcra").field("rate", rate).finish()
    }
}

impl<K: Eq + Hash> Gcra<K> {
    pub(super) fn new(rate: Rate) -> Self {
        Self {
            rate,
            arrivals: Mutex::default(),
        }
    }

    fn arrivals(&self) -> MutexGuard<'_, HashMap<K, Duration>> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how far the theoretical arrival time may be ahead of `now`.
    fn tolerance(&self) -> Duration {
        self.rate.period() * (self.rate.burst.get() - 1)
    }

    /// Takes one attempt.
    ///
    /// # Errors
    /// The time until an attempt can be taken.
    pub(super) fn take(&self, key: K, now: Duration) -> Result<(), Duration> {
        let mut arrivals = self.arrivals();
        let known = arrivals.get(&key).copied();
        let arrival = known.unwrap_or_default().max(now);
        let wait = arrival.saturating_sub(now.saturating_add(self.tolerance()));
        if !wait.is_zero() {
            return Err(wait);
        }
        if known.is_none() && arrivals.len() >= KEYS {
            make_room(&mut arrivals, now);
        }
        arrivals.insert(key, arrival.saturating_add(self.rate.period()));
        Ok(())
    }

    /// Gives one attempt back. If that attempt has already expired, a later one expires early.
    pub(super) fn give_back(&self, key: &K, now: Duration) {
        let mut arrivals = self.arrivals();
        let Some(until) = arrivals.get_mut(key) else {
            return;
        };
        *until = until.saturating_sub(self.rate.period());
        if *until <= now {
            arrivals.remove(key);
        }
    }

    /// Drops expired keys.
    pub(super) fn tidy(&self, now: Duration) {
        let mut arrivals = self.arrivals();
        drop_expired(&mut arrivals, now);
        arrivals.shrink_to_fit();
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.arrivals().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_used_keys_are_evicted_first() {
        let minute = Duration::from_secs(60);
        let limit = Gcra::new(Rate::new(2, minute).unwrap());
        let now = Duration::from_secs(1000);
        // One has used up its limit.
        for _ in 0..2 {
            limit.take(0, now).unwrap();
        }
        for key in 1..KEYS + 1 {
            limit.take(key, now).unwrap();
        }
        assert_eq!(limit.kept(), KEYS - KEYS / 10 + 1);
        assert_eq!(limit.take(0, now), Err(minute / 2));
        // Once they have expired, they make room first.
        let later = now + 2 * minute;
        for key in 0..KEYS + 1 {
            limit.take(key, later).unwrap();
        }
        assert!(limit.kept() <= KEYS);
    }
}
