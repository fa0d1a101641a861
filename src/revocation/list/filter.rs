//! A filter that tells which keys are certainly absent. A miss, the common case, then reads a few words of memory
//! instead of searching a large map.
//!
//! The filter is a Bloom filter in parts; a new part opens when the last one is full. No bit is ever cleared: a part is
//! dropped as a whole, once the horizon has passed the latest expiry noted in it.

use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::time::Timestamp;

/// The number of keys that the first part has room for.
const FIRST: usize = 16 * 1024;

/// The number of keys per word of 64 bits. A key sets four bits of one word; at this density, about one look-up in a
/// hundred of an absent key passes the filter.
const KEYS_A_WORD: usize = 4;

/// The largest announced number of keys that is believed: 64 MiB of bits. A wrong head row may announce any number.
const MOST_EXPECTED: u64 = 1 << 24;

/// The bits of noted keys, and the latest expiry of these keys.
struct Part {
    words: Box<[AtomicU64]>,
    noted: AtomicUsize,
    expires_at: AtomicI64,
}

impl Part {
    fn with_room(keys: usize) -> Self {
        let words = keys.div_ceil(KEYS_A_WORD).max(1);
        Self {
            words: (0..words).map(|_| AtomicU64::new(0)).collect(),
            noted: AtomicUsize::new(0),
            expires_at: AtomicI64::new(i64::MIN),
        }
    }

    fn is_full(&self) -> bool {
        self.noted.load(Ordering::Relaxed) >= self.words.len() * KEYS_A_WORD
    }

    /// The word of a key, and the key's bits in it. Word and bits come from different bits of the hash.
    fn place(&self, hash: u64) -> (&AtomicU64, u64) {
        let bits = (0..4).fold(0, |bits, at| bits | 1 << ((hash >> (6 * at)) & 63));
        let word = ((hash >> 32) * self.words.len() as u64) >> 32;
        (&self.words[word as usize], bits)
    }

    fn note(&self, hash: u64, expires_at: Timestamp) {
        let (word, bits) = self.place(hash);
        word.fetch_or(bits, Ordering::SeqCst);
        self.noted.fetch_add(1, Ordering::Relaxed);
        self.expires_at
            .fetch_max(expires_at.millis(), Ordering::Relaxed);
    }

    fn may_have(&self, hash: u64) -> bool {
        let (word, bits) = self.place(hash);
        word.load(Ordering::SeqCst) & bits == bits
    }
}

/// The parts, from the oldest to the newest.
pub(super) struct Filter {
    parts: ArcSwap<Vec<Arc<Part>>>,
    /// Whether there are any parts. Most kinds never have a revocation, and loading an empty list of parts costs as
    /// much as loading a full one.
    any: AtomicBool,
    /// Serializes noting and dropping: a part must not be dropped for its former expiry after another thread has noted
    /// a key in it.
    turn: Mutex<()>,
    /// A hasher with a random key of its own.
    hasher: RandomState,
    first: usize,
    expected: AtomicU64,
}

impl Filter {
    pub(super) fn new() -> Self {
        Self::with_first(FIRST)
    }

    /// A filter whose first part has room for `first` keys, for tests of its growth.
    pub(super) fn with_first(first: usize) -> Self {
        Self {
            parts: ArcSwap::default(),
            any: AtomicBool::new(false),
            turn: Mutex::new(()),
            hasher: RandomState::new(),
            first,
            expected: AtomicU64::new(0),
        }
    }

    /// Announces the approximate number of keys to come, so that one part has room for them.
    pub(super) fn expect(&self, keys: u64) {
        self.expected
            .store(keys.min(MOST_EXPECTED), Ordering::Relaxed);
    }

    /// The hash by which the filter knows a key.
    pub(super) fn hash(&self, key: &impl Hash) -> u64 {
        self.hasher.hash_one(key)
    }

    /// Notes the hash of a key that is about to be added, or added again, until `expires_at`. Every look-up after this
    /// finds that the key may be present. `live` is the approximate number of keys.
    pub(super) fn note(&self, hash: u64, expires_at: Timestamp, live: u64) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let parts = self.parts.load();
        if let Some(part) = parts.last().filter(|part| !part.is_full()) {
            part.note(hash, expires_at);
            return;
        }
        // Make room for twice the live or announced keys. A growing list then has few parts, and in a list of steady
        // size the earlier parts can be dropped by the time this one is full.
        let live = live.max(self.expected.load(Ordering::Relaxed));
        let room = usize::try_from(live)
            .unwrap_or(usize::MAX)
            .saturating_mul(2);
        let part = Part::with_room(room.max(self.first));
        part.note(hash, expires_at);
        let mut parts = Vec::clone(&parts);
        parts.push(Arc::new(part));
        self.put(parts);
    }

    /// Returns the key's hash if the key may be present. None means that the key was never noted, or that the horizon
    /// has passed every expiry noted for it.
    pub(super) fn find(&self, key: &impl Hash) -> Option<u64> {
        if !self.any.load(Ordering::SeqCst) {
            return None;
        }
        let hash = self.hash(key);
        self.may_have(hash).then_some(hash)
    }

    /// Whether a key with this hash may be present.
    pub(super) fn may_have(&self, hash: u64) -> bool {
        self.parts.load().iter().any(|part| part.may_have(hash))
    }

    /// Drops the parts that the horizon covers completely.
    pub(super) fn drop_covered(&self, horizon: Timestamp) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let covered =
            |part: &Arc<Part>| part.expires_at.load(Ordering::Relaxed) <= horizon.millis();
        let parts = self.parts.load();
        if parts.iter().any(covered) {
            let left = parts.iter().filter(|part| !covered(part)).cloned();
            self.put(left.collect());
        }
    }

    /// Replaces the parts. The caller holds `turn`.
    fn put(&self, parts: Vec<Arc<Part>>) {
        let any = !parts.is_empty();
        self.parts.store(Arc::new(parts));
        self.any.store(any, Ordering::SeqCst);
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.parts.load().len();
        f.debug_struct("Filter").field("parts", &parts).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::collections::HashMap;
    use std::thread;

    #[derive(Clone, Debug)]
    enum Deed {
        Note(u16, i64),
        DropCovered(i64),
    }

    fn deed() -> impl Strategy<Value = Deed> {
        prop_oneof![
            20 => (0_u16..400, 0_i64..1000).prop_map(|(key, at)| Deed::Note(key, at)),
            1 => (0_i64..1000).prop_map(Deed::DropCovered),
        ]
    }

    proptest! {
        #[test]
        fn what_is_not_covered_is_never_said_not_to_be_there(deeds in vec(deed(), 1..600)) {
            let filter = Filter::with_first(8);
            let (mut until, mut horizon) = (HashMap::new(), -1);
            for deed in deeds {
                match deed {
                    Deed::Note(key, at) => {
                        filter.note(filter.hash(&key), Timestamp::from_millis(at), until.len() as u64);
                        let known = until.entry(key).or_insert(at);
                        *known = at.max(*known);
                    }
                    Deed::DropCovered(at) => {
                        horizon = at.max(horizon);
                        filter.drop_covered(Timestamp::from_millis(horizon));
                    }
                }
                for (key, at) in &until {
                    prop_assert!(*at <= horizon || filter.find(key).is_some(), "{key}");
                }
            }
        }
    }

    #[test]
    fn it_says_of_most_others_that_they_are_not_there() {
        let filter = Filter::new();
        let (there, others) = (0..200_000_u64, 200_000..400_000_u64);
        for key in there.clone() {
            filter.note(filter.hash(&key), Timestamp::NEVER, key);
        }
        assert!(there.clone().all(|key| filter.find(&key).is_some()));
        let wrong = others.filter(|key| filter.find(key).is_some()).count();
        assert!(wrong < 10_000, "{wrong} of 200,000");
    }

    #[test]
    fn what_is_said_to_come_takes_no_more_room_than_is_to_be_had() {
        let filter = Filter::new();
        filter.expect(u64::MAX);
        let key = filter.hash(&1);
        filter.note(key, Timestamp::NEVER, 0);
        assert!(filter.find(&1).is_some());
        let words = filter.parts.load()[0].words.len() as u64;
        assert_eq!(words * KEYS_A_WORD as u64, 2 * MOST_EXPECTED);
    }

    /// The dropping thread covers everything noted so far, and must not drop what is noted meanwhile.
    #[test]
    fn nothing_is_lost_that_is_noted_while_all_before_it_leaves() {
        let filter = Filter::with_first(8);
        let (noted, done) = (AtomicI64::new(-1), AtomicBool::new(false));
        let lost = thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    filter.drop_covered(Timestamp::from_millis(noted.load(Ordering::SeqCst)));
                }
            });
            let lost = (0..500_000_i64).find(|key| {
                filter.note(filter.hash(key), Timestamp::from_millis(*key), 0);
                let is_lost = filter.find(key).is_none();
                noted.store(*key, Ordering::SeqCst);
                is_lost
            });
            done.store(true, Ordering::SeqCst);
            lost
        });
        assert_eq!(lost, None);
    }

    #[test]
    fn what_comes_and_goes_takes_no_more_room() {
        let filter = Filter::with_first(64);
        for key in 0..100_000_i64 {
            // A hundred keys are live at any time.
            filter.note(filter.hash(&key), Timestamp::from_millis(key + 100), 100);
            if key % 10 == 0 {
                filter.drop_covered(Timestamp::from_millis(key));
            }
            let parts = filter.parts.load();
            let words: usize = parts.iter().map(|part| part.words.len()).sum();
            assert!(words <= 512, "{words} words in {} parts", parts.len());
        }
    }
}
