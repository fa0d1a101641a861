//! The revocation list beside other maps that could hold it: memory and time.

use std::collections::HashMap;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::process::Command;
use std::sync::RwLock;

use waxseal::id::Lineage;
use waxseal::random::SeededRandom;
use waxseal::revocation::internals;
use waxseal::revocation::list::RevocationList;
use waxseal::revocation::{Revocation, Target};
use waxseal::time::{Clock, SystemClock, Timestamp};

use crate::Size;
use crate::harness::{line, median, nanos, ratio, take_turns};
use crate::subject::revocation;

/// The argument with which this program calls itself, to fill one map and measure its memory.
pub const WEIGH: &str = "--weigh";

/// Lookups in one turn.
const LOOK_UPS: usize = 200;

/// Turns of each map. Many, because they are short.
const ROUNDS: usize = 1000;

/// Shards of a map with locks: as many as moka has.
const SHARDS: usize = 64;

/// What the list stores for a session.
#[derive(Clone, Copy)]
struct Ended {
    from: i64,
    _grace_until: Timestamp,
    _expires_at: Timestamp,
}

/// A concurrent map.
trait Map {
    fn insert(&self, lineage: Lineage, ended: Ended);
    fn get(&self, lineage: &Lineage) -> Option<Ended>;
}

impl Map for moka::sync::Cache<Lineage, Ended> {
    fn insert(&self, lineage: Lineage, ended: Ended) {
        Self::insert(self, lineage, ended);
    }

    fn get(&self, lineage: &Lineage) -> Option<Ended> {
        // The fastest miss that moka offers.
        self.contains_key(lineage)
            .then(|| Self::get(self, lineage))
            .flatten()
    }
}

impl Map for papaya::HashMap<Lineage, Ended> {
    fn insert(&self, lineage: Lineage, ended: Ended) {
        self.pin().insert(lineage, ended);
    }

    fn get(&self, lineage: &Lineage) -> Option<Ended> {
        self.pin().get(lineage).copied()
    }
}

/// The standard library's map, which is hashbrown, in shards.
struct Sharded {
    shards: [RwLock<HashMap<Lineage, Ended>>; SHARDS],
    hasher: RandomState,
}

impl Sharded {
    fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::default()),
            hasher: RandomState::new(),
        }
    }

    fn shard(&self, lineage: &Lineage) -> &RwLock<HashMap<Lineage, Ended>> {
        &self.shards[self.hasher.hash_one(lineage) as usize % SHARDS]
    }
}

impl Map for Sharded {
    fn insert(&self, lineage: Lineage, ended: Ended) {
        let mut shard = self.shard(&lineage).write().unwrap();
        shard.insert(lineage, ended);
    }

    fn get(&self, lineage: &Lineage) -> Option<Ended> {
        self.shard(lineage).read().unwrap().get(lineage).copied()
    }
}

/// The names of the maps. All but the list itself hold the same keys and values.
const NAMES: [&str; 4] = ["the list", "moka", "papaya", "a sharded HashMap"];

fn bare(name: &str) -> Box<dyn Map> {
    match name {
        "moka" => Box::new(moka::sync::Cache::<Lineage, Ended>::builder().build()),
        "papaya" => Box::new(papaya::HashMap::<Lineage, Ended>::new()),
        "a sharded HashMap" => Box::new(Sharded::new()),
        _ => unreachable!("{name} has no map"),
    }
}

fn entry_of(revocation: &Revocation) -> (Lineage, Ended) {
    let Target::Session(lineage) = revocation.target else {
        unreachable!("only sessions are revoked here");
    };
    let ended = Ended {
        from: revocation.from,
        _grace_until: Timestamp::NEVER,
        _expires_at: revocation.expires_at,
    };
    (lineage, ended)
}

/// Bytes per entry. Each map gets a process of its own, because freed memory seldom returns to the system.
pub fn memory(size: &Size) {
    let program = std::env::current_exe().unwrap();
    let entries = size.large.to_string();
    let weights = NAMES.map(|map| {
        let output = Command::new(&program)
            .args([WEIGH, map, &entries])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.trim().parse::<f64>().unwrap()
    });
    let least = weights[NAMES.len() - 1];
    for (name, weight) in NAMES.iter().zip(weights) {
        line(
            &format!("bytes an entry at {entries}, {name}"),
            weight / least,
            None,
            &format!("{weight:.0} bytes, resident"),
        );
    }
}

/// Runs in the child: returns the resident bytes per entry.
pub fn weigh(map: &str, entries: usize) -> f64 {
    let (random, at) = (SeededRandom::new(1), SystemClock.now());
    let revocations = (1..=entries).map(|seq| revocation(seq, at, &random));
    let before = resident();
    let bytes = |after: u64| (after - before) as f64 / entries as f64;
    if map == NAMES[0] {
        let list = RevocationList::new();
        revocations.for_each(|revocation| internals::apply(&list, &revocation));
        assert_eq!(list.len(), entries as u64);
        return bytes(resident());
    }
    let map = bare(map);
    for revocation in revocations {
        let (lineage, ended) = entry_of(&revocation);
        map.insert(lineage, ended);
    }
    bytes(resident())
}

/// Returns the resident bytes of this process.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.unwrap().parse::<u64>().unwrap() * 1024
}

/// The time of a hit and of a miss in each of the bare maps, with few entries and with many.
pub fn look_up(size: &Size) {
    for entries in [size.small, size.large] {
        let (random, at) = (SeededRandom::new(1), SystemClock.now());
        let maps = [NAMES[1], NAMES[2], NAMES[3]].map(bare);
        let mut there = Vec::with_capacity(entries);
        for seq in 1..=entries {
            let (lineage, ended) = entry_of(&revocation(seq, at, &random));
            maps.iter().for_each(|map| map.insert(lineage, ended));
            there.push(lineage);
        }
        let others: Vec<_> = (0..ROUNDS * LOOK_UPS)
            .map(|_| Lineage::new(at, &random))
            .collect();
        // Far from the previous lookup, so that with many entries no processor cache has it.
        let hit = |map: &dyn Map, round: usize| {
            nanos(0..LOOK_UPS, |step| {
                let lineage = &there[(round * LOOK_UPS + step) * 7919 % entries];
                assert!(map.get(lineage).is_some_and(|ended| ended.from > 0));
            })
        };
        let miss = |map: &dyn Map, round: usize| {
            nanos(round * LOOK_UPS..(round + 1) * LOOK_UPS, |index| {
                assert!(map.get(&others[index]).is_none());
            })
        };
        let other = |round: usize, by: usize| (round + by * ROUNDS / 3) % ROUNDS;
        let [a, b, c] = &maps;
        let hits = take_turns(
            ROUNDS,
            [
                &mut |round| hit(&**a, round),
                &mut |round| hit(&**b, other(round, 1)),
                &mut |round| hit(&**c, other(round, 2)),
            ],
        );
        let misses = take_turns(
            ROUNDS,
            [
                &mut |round| miss(&**a, round),
                &mut |round| miss(&**b, other(round, 1)),
                &mut |round| miss(&**c, other(round, 2)),
            ],
        );
        for (what, times) in [("a hit", &hits), ("a miss", &misses)] {
            for (name, time) in NAMES[1..].iter().zip(times) {
                line(
                    &format!("{what} among {entries}, {name}"),
                    ratio(time, &times[2]),
                    None,
                    &format!("{:.0} ns", median(time)),
                );
            }
        }
    }
}
