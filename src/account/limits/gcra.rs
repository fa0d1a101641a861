//! A rate, counted in memory by GCRA. What was taken can be given back.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Rate;

/// Counts at one rate, each key apart. Times are the clock's uptime: no step of the wall clock opens a limit.
pub(super) struct Gcra<K> {
    rate: Rate,
    /// When all that was taken will be forgotten, for each key: GCRA's theoretical arrival time.
    taken: Mutex<HashMap<K, Duration>>,
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
            taken: Mutex::default(),
        }
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<K, Duration>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far ahead of the time now more may be taken.
    fn ahead(&self) -> Duration {
        self.rate.period() * (self.rate.burst.get() - 1)
    }

    /// Takes one.
    ///
    /// # Errors
    /// How long until one can be taken.
    pub(super) fn take(&self, key: K, now: Duration) -> Result<(), Duration> {
        let mut taken = self.taken();
        let until = taken.get(&key).map_or(now, |until| now.max(*until));
        let wait = until.saturating_sub(now.saturating_add(self.ahead()));
        if !wait.is_zero() {
            return Err(wait);
        }
        taken.insert(key, until.saturating_add(self.rate.period()));
        Ok(())
    }

    /// Gives back one that was taken. If so much time has passed that it is forgotten already, one that was taken
    /// since is forgotten early.
    pub(super) fn give_back(&self, key: &K, now: Duration) {
        let mut taken = self.taken();
        let Some(until) = taken.get_mut(key) else {
            return;
        };
        *until = until.saturating_sub(self.rate.period());
        if *until <= now {
            taken.remove(key);
        }
    }

    /// Drops the keys of which nothing is taken any more.
    pub(super) fn tidy(&self, now: Duration) {
        let mut taken = self.taken();
        taken.retain(|_, until| *until > now);
        taken.shrink_to_fit();
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.taken().len()
    }
}
