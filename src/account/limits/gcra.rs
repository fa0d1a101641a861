//! An in-memory rate limiter (GCRA) whose attempts can be given back.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::rate::Rate;

/// The maximum number of keys with their own counter. Further keys share one counter, so that a flood from many
/// addresses takes at most about 16 MB.
const KEYS: usize = 100_000;

/// The minimum time between two sweeps for expired keys.
const TIDY_EVERY: Duration = Duration::from_secs(1);

/// A rate limiter with one counter per key. Times are the clock's uptime, so a step of the wall clock opens no limit.
pub(super) struct Gcra<K> {
    rate: Rate,
    state: Mutex<Counts<K>>,
}

struct Counts<K> {
    /// The theoretical arrival time of each key.
    arrivals: HashMap<K, Duration>,
    /// The theoretical arrival time shared by all keys without a counter of their own.
    crowd: Duration,
    tidied_at: Option<Duration>,
}

impl<K: Eq + Hash> Counts<K> {
    fn tidy(&mut self, now: Duration) {
        self.arrivals.retain(|_, until| *until > now);
        self.tidied_at = Some(now);
    }

    fn has_place_for(&mut self, key: &K, now: Duration) -> bool {
        let is_due = |at: Duration| now.saturating_sub(at) >= TIDY_EVERY;
        let has_place = |state: &Self| state.arrivals.len() < KEYS;
        if !has_place(self) && !self.arrivals.contains_key(key) && self.tidied_at.is_none_or(is_due)
        {
            self.tidy(now);
        }
        has_place(self) || self.arrivals.contains_key(key)
    }
}

impl<K> fmt::Debug for Gcra<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = &self.rate;
        f.debug_struct("Gcra").field("rate", rate).finish()
    }
}

impl<K: Eq + Hash> Gcra<K> {
    pub(super) fn new(rate: Rate) -> Self {
        let state = Counts {
            arrivals: HashMap::new(),
            crowd: Duration::ZERO,
            tidied_at: None,
        };
        Self {
            rate,
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, Counts<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut state = self.state();
        let has_place = state.has_place_for(&key, now);
        let arrival = if has_place {
            state.arrivals.get(&key).copied().unwrap_or_default()
        } else {
            state.crowd
        };
        let arrival = arrival.max(now);
        let wait = arrival.saturating_sub(now.saturating_add(self.tolerance()));
        if !wait.is_zero() {
            return Err(wait);
        }
        let next = arrival.saturating_add(self.rate.period());
        if has_place {
            state.arrivals.insert(key, next);
        } else {
            state.crowd = next;
        }
        Ok(())
    }

    /// Gives one attempt back. If that attempt has already expired, a later one expires early.
    pub(super) fn give_back(&self, key: &K, now: Duration) {
        let mut state = self.state();
        let Some(until) = state.arrivals.get_mut(key) else {
            return;
        };
        *until = until.saturating_sub(self.rate.period());
        if *until <= now {
            state.arrivals.remove(key);
        }
    }

    /// Drops expired keys.
    pub(super) fn tidy(&self, now: Duration) {
        let mut state = self.state();
        state.tidy(now);
        state.arrivals.shrink_to_fit();
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.state().arrivals.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_beyond_the_most_share_one_counter_until_others_expire() {
        let minute = Duration::from_secs(60);
        let limit = Gcra::new(Rate::new(2, minute).unwrap());
        let now = Duration::from_secs(1000);
        for key in 0..KEYS {
            limit.take(key, now).unwrap();
        }
        limit.take(KEYS, now).unwrap();
        limit.take(KEYS + 1, now).unwrap();
        assert_eq!(limit.take(KEYS + 2, now), Err(minute / 2));
        limit.take(0, now).unwrap();
        assert_eq!(limit.kept(), KEYS);
        let later = now + minute;
        limit.take(KEYS + 2, later).unwrap();
        assert_eq!(limit.kept(), 1);
    }
}
