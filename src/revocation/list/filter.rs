//! What is certainly not among some entries: a miss, the common case, then costs a few words of memory and not
//! a walk through a large map.
//!
//! It is a Bloom filter in parts, each opened when the one before it is full. A bit is never cleared: a part
//! leaves as a whole, once the horizon has passed the last expiry of all that was noted in it.

use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::time::Timestamp;

/// How many keys the first part has room for.
const FIRST: usize = 16 * 1024;

/// A key sets four bits of one word, and with so many keys a word, one look-up in a hundred or so that
/// could be answered here is not.
const KEYS_A_WORD: usize = 4;

/// What is said to be about to come is believed up to this: 64 MiB of bits. A head row that is wrong says anything.
const MOST_EXPECTED: u64 = 1 << 24;

/// Keys that were noted, up to a time.
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

    /// The word of a key, and its bits there. They come from different bits of the hash.
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

/// The parts, the oldest first.
pub(super) struct Filter {
    parts: ArcSwap<Vec<Arc<Part>>>,
    /// Whether there are any: of most kinds there is never a revocation, and to take hold of no parts costs as much
    /// as to take hold of some.
    any: AtomicBool,
    /// Who notes and who drops take turns: a part that another has just noted something in must not leave for
    /// what it had before.
    turn: Mutex<()>,
    /// With a secret of its own.
    hasher: RandomState,
    first: usize,
    expected: AtomicU64,
}

impl Filter {
    pub(super) fn new() -> Self {
        Self::with_first(FIRST)
    }

    /// With a first part of that room, for tests of how it grows.
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

    /// Takes note of how many keys there are about to be, so that one part has room for them.
    pub(super) fn expect(&self, keys: u64) {
        self.expected
            .store(keys.min(MOST_EXPECTED), Ordering::Relaxed);
    }

    /// What it knows a key by.
    pub(super) fn hash(&self, key: &impl Hash) -> u64 {
        self.hasher.hash_one(key)
    }

    /// Notes the hash of a key that is about to be entered, or entered again, until `expires_at`. Whoever looks
    /// for it after this finds that it may be there. `live` is about how many there are.
    pub(super) fn note(&self, hash: u64, expires_at: Timestamp, live: u64) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let parts = self.parts.load();
        if let Some(part) = parts.last().filter(|part| !part.is_full()) {
            part.note(hash, expires_at);
            return;
        }
        // Twice what there is or is known to come: few parts while the list grows, and once it does not, this
        // much is filled when what the parts before it have is gone.
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

    /// The hash of a key that may be there. None only if it was never noted, or no longer than until what the
    /// horizon has passed.
    pub(super) fn find(&self, key: &impl Hash) -> Option<u64> {
        if !self.any.load(Ordering::SeqCst) {
            return None;
        }
        let hash = self.hash(key);
        self.may_have(hash).then_some(hash)
    }

    /// Whether a key of that hash may be there.
    pub(super) fn may_have(&self, hash: u64) -> bool {
        self.parts.load().iter().any(|part| part.may_have(hash))
    }

    /// Drops the parts of which the horizon covers all.
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

    /// In its turn.
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

    /// Whoever drops takes all that there is, and must not take what was noted meanwhile.
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
            // A hundred live at any time.
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
