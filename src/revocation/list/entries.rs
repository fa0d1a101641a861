//! Revocations of one kind, in a moka cache without a bound.

use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};

use moka::ops::compute::Op;
use moka::sync::Cache;

use super::{CutOff, Merge};
use crate::id::Lineage;
use crate::time::Timestamp;

#[derive(Debug)]
pub(super) struct Entries<K: Hash + Eq + Send + Sync + 'static, V: Merge> {
    cache: Cache<K, V>,
    /// Whether there ever was one. Of most kinds there are few, and of many none: then nothing is looked up.
    ever: AtomicBool,
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Merge> Entries<K, V> {
    pub(super) fn none() -> Self {
        Self {
            cache: Cache::builder().build(),
            ever: AtomicBool::new(false),
        }
    }

    /// Enters one, merged with what is there.
    pub(super) fn enter(&self, key: K, new: V) {
        // First: whoever finds the entry told of elsewhere must look for it here.
        self.ever.store(true, Ordering::SeqCst);
        self.cache.entry(key).and_compute_with(|known| {
            Op::Put(known.map_or(new, |known| known.into_value().stricter(new)))
        });
    }

    pub(super) fn have(&self, key: &K) -> bool {
        self.ever.load(Ordering::SeqCst) && self.cache.contains_key(key)
    }

    pub(super) fn get(&self, key: &K) -> Option<V> {
        // A miss is the common case, and `contains_key` alone leaves nothing behind for moka to do.
        self.have(key).then(|| self.cache.get(key)).flatten()
    }

    /// Drops what the horizon covers. Each is looked at again under its lock: it may have been merged with a
    /// longer one since.
    pub(super) fn drop_covered(&self, horizon: Timestamp) {
        for (key, value) in &self.cache {
            if value.expires_at() <= horizon {
                self.cache
                    .entry((*key).clone())
                    .and_compute_with(|known| match known {
                        Some(known) if known.value().expires_at() <= horizon => Op::Remove,
                        _ => Op::Nop,
                    });
            }
        }
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
