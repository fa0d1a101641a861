//! Revocations of one kind, in a moka cache without a bound.

use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use moka::sync::Cache;

use super::filter::Filter;
use super::{CutOff, Merge};
use crate::id::Lineage;
use crate::time::Timestamp;

/// How many share out the keys: who changes one seldom waits for who changes another.
const LOCKS: usize = 64;

/// How many are dropped before the cache's own work is done, by who drops them: left to itself the cache does
/// it in the next call that comes, a logout's for example.
const DROPPED_AT_ONCE: usize = 64;

#[derive(Debug)]
pub(super) struct Entries<K: Hash + Eq + Send + Sync + 'static, V: Merge> {
    cache: Cache<K, V>,
    /// It knows every key that is in the cache and not covered, before the cache has it.
    filter: Filter,
    /// What is there is read and written again under its key's lock.
    locks: [Mutex<()>; LOCKS],
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Merge> Entries<K, V> {
    pub(super) fn none() -> Self {
        Self {
            cache: Cache::builder().build(),
            filter: Filter::new(),
            locks: std::array::from_fn(|_| Mutex::new(())),
        }
    }

    /// Takes note of about how many there will be.
    pub(super) fn expect(&self, entries: u64) {
        self.filter.expect(entries);
    }

    /// Enters one, merged with what is there.
    pub(super) fn enter(&self, key: K, new: V) {
        let hash = self.filter.hash(&key);
        let _lock = self.lock(hash);
        let known = self
            .filter
            .may_have_hash(hash)
            .then(|| self.cache.get(&key));
        let known = known.flatten();
        // First: whoever finds the entry told of elsewhere must look for it here. And each time: the filter
        // forgets what expires.
        self.filter
            .note(hash, new.expires_at(), self.cache.entry_count());
        let entry = known.map_or(new, |known| known.stricter(new));
        if known != Some(entry) {
            self.cache.insert(key, entry);
        }
    }

    /// The lock of a key of that hash.
    fn lock(&self, hash: u64) -> MutexGuard<'_, ()> {
        let lock = &self.locks[hash as usize % LOCKS];
        lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn have(&self, key: &K) -> bool {
        self.filter.may_have(key) && self.cache.contains_key(key)
    }

    pub(super) fn get(&self, key: &K) -> Option<V> {
        // `contains_key` leaves nothing behind for moka to do, as a miss of `get` would.
        self.have(key).then(|| self.cache.get(key)).flatten()
    }

    /// Drops what the horizon covers. Each is looked at again under its lock: it may have been merged with a
    /// longer one since.
    pub(super) fn drop_covered(&self, horizon: Timestamp) {
        let mut dropped = 0;
        for (key, value) in &self.cache {
            if value.expires_at() > horizon {
                continue;
            }
            {
                let _lock = self.lock(self.filter.hash(&*key));
                let known = self.cache.get(&*key);
                if known.is_none_or(|known| known.expires_at() > horizon) {
                    continue;
                }
                self.cache.invalidate(&*key);
            }
            dropped += 1;
            if dropped % DROPPED_AT_ONCE == 0 {
                self.cache.run_pending_tasks();
            }
        }
        // What it has of those is of no use any more. Not before: nothing that is in the cache and binds is
        // without its bits.
        self.filter.drop_covered(horizon);
    }

    pub(super) fn len(&self) -> u64 {
        self.cache.run_pending_tasks();
        self.cache.entry_count()
    }
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static> Entries<K, CutOff> {
    pub(super) fn cut_off(&self, key: &K, lineage: Lineage) -> bool {
        self.get(key).is_some_and(|cut_off| cut_off.ends(lineage))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
    use std::thread;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::Ended;
    use super::*;

    /// With a filter that soon is full.
    fn few() -> Entries<i64, Ended> {
        Entries {
            filter: Filter::with_first(8),
            ..Entries::none()
        }
    }

    fn ended(from: i64, expires_at: i64) -> Ended {
        Ended {
            from,
            grace_until: Timestamp::NEVER,
            expires_at: Timestamp::from_millis(expires_at),
        }
    }

    proptest! {
        #[test]
        fn what_was_entered_binds_until_it_is_covered(
            deeds in vec((0..100_i64, 0..9_i64, 0..1000_i64, 0..20_u8), 1..200)
        ) {
            let (entries, mut known, mut horizon) = (few(), HashMap::new(), Timestamp::EPOCH);
            for (key, from, expires_at, kind) in deeds {
                if kind == 0 {
                    horizon = horizon.max(Timestamp::from_millis(expires_at));
                    entries.drop_covered(horizon);
                    known.retain(|_, ended: &mut Ended| ended.expires_at > horizon);
                    prop_assert_eq!(entries.len(), known.len() as u64);
                } else {
                    let new = ended(from, expires_at.max(horizon.millis() + 1));
                    entries.enter(key, new);
                    let merged = known.get(&key).map_or(new, |known| new.stricter(*known));
                    known.insert(key, merged);
                }
                for key in 0..100 {
                    prop_assert_eq!(entries.get(&key), known.get(&key).copied(), "{}", key);
                }
            }
        }
    }

    /// One enters, one drops, two look for what was entered and is not covered.
    #[test]
    fn nothing_is_missed_while_others_come_and_go() {
        const ALL: i64 = 20_000;
        const LIVE: i64 = 500;
        let entries = few();
        let (entered, covered) = (AtomicI64::new(-1), AtomicI64::new(-1));
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for reader in 0..2 {
                let (entries, entered, covered, done) = (&entries, &entered, &covered, &done);
                scope.spawn(move || {
                    let mut step = reader;
                    while !done.load(Ordering::SeqCst) {
                        let newest = entered.load(Ordering::SeqCst);
                        let key = newest - step % LIVE;
                        step += 7;
                        let found = entries.get(&key).is_some();
                        // What is covered by now may have been on its way out.
                        assert!(found || key <= covered.load(Ordering::SeqCst), "{key}");
                    }
                });
            }
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    let horizon = entered.load(Ordering::SeqCst) - LIVE;
                    covered.fetch_max(horizon, Ordering::SeqCst);
                    entries.drop_covered(Timestamp::from_millis(horizon));
                }
            });
            for key in 0..ALL {
                entries.enter(key, ended(1, key));
                entered.store(key, Ordering::SeqCst);
            }
            done.store(true, Ordering::SeqCst);
        });
        entries.drop_covered(Timestamp::from_millis(ALL - 1 - LIVE));
        assert_eq!(entries.len(), LIVE as u64);
    }
}
