//! Revocations of one kind, in a moka cache without a size bound. A cache value is a group of many entries.
// Perf: moka uses about 300 bytes and two allocations for each value, which the entries of a group share. A list of a
// million entries thus takes a fifth of the memory, and is filled and emptied in a fraction of the time.

use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};

use moka::sync::Cache;

use super::filter::Filter;
use super::merge::{CutOff, Merge};
use crate::id::Lineage;
use crate::time::Timestamp;

/// The number of locks that guard the groups. With this many, writers of different groups seldom wait for each other.
const LOCKS: usize = 64;

/// After this many dropped groups, the dropping thread runs the cache's pending tasks. Otherwise the cache runs them in
/// the next call, for example that of a logout.
const DROPPED_AT_ONCE: usize = 64;

/// The entries whose key hashes share the first 12 bits. There are up to 4,096 groups, of about 250 entries each in a
/// list of a million.
#[derive(Debug)]
struct Group<K, V>(RwLock<Vec<(K, V)>>);

impl<K: Clone + Eq, V: Merge> Group<K, V> {
    fn get(&self, key: &K) -> Option<V> {
        let group = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let entries = group.iter().filter(|(known, _)| known == key);
        let values = entries.map(|(_, value)| *value);
        // A newer entry may stand beside a covered one that is not dropped yet.
        values.reduce(Merge::stricter)
    }

    fn has_covered(&self, horizon: Timestamp) -> bool {
        let group = self.0.read().unwrap_or_else(PoisonError::into_inner);
        group.iter().any(|(_, value)| value.expires_at() <= horizon)
    }

    /// Drops the entries that the horizon covers. Returns how many it dropped, and how many are left.
    fn drop_covered(&self, horizon: Timestamp) -> (usize, usize) {
        let mut group = self.write();
        let before = group.len();
        group.retain(|(_, value)| value.expires_at() > horizon);
        group.shrink_to_fit();
        (before - group.len(), group.len())
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<(K, V)>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(super) struct Entries<K: Hash + Eq + Send + Sync + 'static, V: Merge> {
    cache: Cache<u16, Arc<Group<K, V>>>,
    /// Knows every key that is in the cache and not covered. A key enters the filter before it enters the cache.
    filter: Filter,
    /// Guards the groups: inserting a group into the cache, changing it and removing it needs its lock.
    locks: [Mutex<()>; LOCKS],
    count: AtomicU64,
}

impl<K: Clone + Hash + Eq + Send + Sync + 'static, V: Merge> Entries<K, V> {
    pub(super) fn none() -> Self {
        Self {
            cache: Cache::builder().build(),
            filter: Filter::new(),
            locks: std::array::from_fn(|_| Mutex::new(())),
            count: AtomicU64::new(0),
        }
    }

    /// Announces the approximate number of entries to come.
    pub(super) fn expect(&self, entries: u64) {
        self.filter.expect(entries);
    }

    /// Adds entries, each merged with the present entry of the same key.
    pub(super) fn enter(&self, entries: impl IntoIterator<Item = (K, V)>) {
        let entries = entries.into_iter();
        let mut entries: Vec<_> = entries
            .map(|(key, value)| (self.filter.hash(&key), key, value))
            .collect();
        // Sorting brings together the entries of one group, and those of one word of the filter.
        entries.sort_unstable_by_key(|(hash, ..)| *hash);
        for group in entries.chunk_by(|(one, ..), (other, ..)| number(*one) == number(*other)) {
            self.enter_in_group(group);
        }
    }

    /// Adds entries that belong to one group.
    fn enter_in_group(&self, entries: &[(u64, K, V)]) {
        let Some((hash, ..)) = entries.first() else {
            return;
        };
        let number = number(*hash);
        let _lock = self.lock(number);
        let group = self.cache.get(&number).unwrap_or_else(|| {
            let group = Arc::new(Group(RwLock::default()));
            self.cache.insert(number, Arc::clone(&group));
            group
        });
        let mut group = group.write();
        for (hash, key, new) in entries {
            let may_be_there = self.filter.may_have(*hash);
            // Note the key before the insert: a thread that has heard of the entry must get past the filter. Note it on
            // every insert: the filter forgets what expires.
            self.filter.note(*hash, new.expires_at(), self.len());
            let there = may_be_there.then(|| group.iter_mut().find(|(known, _)| known == key));
            if let Some((_, value)) = there.flatten() {
                *value = value.stricter(*new);
                continue;
            }
            if group.len() == group.capacity() {
                // Grow by a quarter: doubling would leave up to half of the memory unused.
                let more = group.len() / 4 + 1;
                group.reserve_exact(more);
            }
            group.push((key.clone(), *new));
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Locks the group of this number.
    fn lock(&self, number: u16) -> MutexGuard<'_, ()> {
        let lock = &self.locks[usize::from(number) % LOCKS];
        lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn have(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    pub(super) fn get(&self, key: &K) -> Option<V> {
        let hash = self.filter.find(key)?;
        self.cache.get(&number(hash))?.get(key)
    }

    /// Drops the entries that the horizon covers.
    pub(super) fn drop_covered(&self, horizon: Timestamp) {
        let mut emptied = 0;
        for (number, group) in &self.cache {
            if !group.has_covered(horizon) {
                continue;
            }
            {
                let _lock = self.lock(*number);
                // Look the group up again: another may have replaced the one that was seen before the lock was taken.
                let Some(group) = self.cache.get(&*number) else {
                    continue;
                };
                let (dropped, left) = group.drop_covered(horizon);
                self.count.fetch_sub(dropped as u64, Ordering::Relaxed);
                if left > 0 {
                    continue;
                }
                self.cache.invalidate(&*number);
            }
            emptied += 1;
            if emptied % DROPPED_AT_ONCE == 0 {
                self.cache.run_pending_tasks();
            }
        }
        self.cache.run_pending_tasks();
        // The filter goes last: an entry that is in the cache and still in force always has its bits in the filter.
        self.filter.drop_covered(horizon);
    }

    pub(super) fn len(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

/// The number of the group for a key with this hash.
const fn number(hash: u64) -> u16 {
    (hash >> 52) as u16
}

impl<K: Clone + Hash + Eq + Send + Sync + 'static> Entries<K, CutOff> {
    pub(super) fn cut_off(&self, key: &K, lineage: Lineage) -> bool {
        self.get(key).is_some_and(|cut_off| cut_off.ends(lineage))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::hash::Hasher;
    use std::sync::atomic::{AtomicBool, AtomicI64};
    use std::thread;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::merge::EndedGenerations;
    use super::*;

    /// A key that shares its hash, and so its group, with four others out of a hundred.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Key(i64);

    impl Hash for Key {
        fn hash<H: Hasher>(&self, state: &mut H) {
            (self.0 % 20).hash(state);
        }
    }

    /// Entries with a filter that is soon full.
    fn few() -> Entries<Key, EndedGenerations> {
        Entries {
            filter: Filter::with_first(8),
            ..Entries::none()
        }
    }

    fn ended(from: i64, expires_at: i64) -> EndedGenerations {
        EndedGenerations {
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
                    known.retain(|_, ended: &mut EndedGenerations| ended.expires_at > horizon);
                    prop_assert_eq!(entries.len(), known.len() as u64);
                } else {
                    let new = ended(from, expires_at.max(horizon.millis() + 1));
                    entries.enter([(Key(key), new)]);
                    let merged = known.get(&key).map_or(new, |known| new.stricter(*known));
                    known.insert(key, merged);
                }
                for key in 0..100 {
                    prop_assert_eq!(entries.get(&Key(key)), known.get(&key).copied(), "{}", key);
                }
            }
        }
    }

    #[test]
    fn what_is_covered_hides_nothing_newer() {
        let (entries, horizon) = (few(), Timestamp::from_millis(10));
        entries.enter([(Key(1), ended(1, 10))]);
        // Simulates a drop by the filter that has not reached the cache yet.
        entries.filter.drop_covered(horizon);
        entries.enter([(Key(1), ended(2, 20))]);
        assert_eq!(entries.get(&Key(1)), Some(ended(2, 20)));
        entries.drop_covered(horizon);
        assert_eq!(entries.get(&Key(1)), Some(ended(2, 20)));
        assert_eq!(entries.len(), 1);
    }

    #[test]
    fn nothing_is_missed_while_others_come_and_go() {
        come_and_go(20_000, 500);
    }

    #[test]
    fn nothing_is_missed_while_groups_come_and_go() {
        come_and_go(100_000, 2);
    }

    /// One thread adds `all` keys, two drop all but the last `live` ones, and one looks these up.
    fn come_and_go(all: i64, live: i64) {
        let entries = few();
        let (entered, covered) = (AtomicI64::new(-1), AtomicI64::new(-1));
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut step = 0;
                while !done.load(Ordering::SeqCst) {
                    let newest = entered.load(Ordering::SeqCst);
                    let key = newest - step % live;
                    step += 7;
                    let found = entries.get(&Key(key)).is_some();
                    // A key that is covered by now may have been dropped.
                    assert!(found || key <= covered.load(Ordering::SeqCst), "{key}");
                }
            });
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Ordering::SeqCst) {
                        let horizon = entered.load(Ordering::SeqCst) - live;
                        covered.fetch_max(horizon, Ordering::SeqCst);
                        entries.drop_covered(Timestamp::from_millis(horizon));
                    }
                });
            }
            let missed = (0..all).find(|key| {
                entries.enter([(Key(*key), ended(1, *key))]);
                entered.store(*key, Ordering::SeqCst);
                entries.get(&Key(*key)).is_none()
            });
            // The other threads run until `done` is set.
            done.store(true, Ordering::SeqCst);
            assert_eq!(missed, None);
        });
        entries.drop_covered(Timestamp::from_millis(all - 1 - live));
        assert_eq!(entries.len(), live as u64);
        for key in all - live..all {
            assert!(entries.get(&Key(key)).is_some(), "{key}");
        }
    }
}
