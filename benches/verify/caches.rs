//! The token cache beside alternatives: a bare hit in each.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::{Arc, RwLock};

use quick_cache::Equivalent;
use quick_cache::sync::Cache;
use ring::digest::{SHA256, digest};
use waxseal::key::Algorithm;

use crate::Size;
use crate::harness::{line, median, nanos, ratio, take_turns};
use crate::subject::Bench;

/// Hits per turn, and turns.
const HITS: usize = 200;
const ROUNDS: usize = 1000;

/// Shards of a map with locks.
const SHARDS: usize = 64;

/// How many bytes at the end of a token the token cache hashes.
const TAIL: usize = 32;

/// The value of a hit, shared like verified claims.
type Known = Arc<[u8; 256]>;

type Digest = [u8; 32];

fn sha256(text: &str) -> Digest {
    digest(&SHA256, text.as_bytes())
        .as_ref()
        .try_into()
        .unwrap()
}

#[derive(PartialEq, Eq)]
struct Text(Box<str>);

#[derive(PartialEq, Eq)]
struct Asked<'a>(&'a str);

fn hash_tail(text: &str, state: &mut impl Hasher) {
    state.write(&text.as_bytes()[text.len() - TAIL..]);
}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash_tail(&self.0, state);
    }
}

impl Hash for Asked<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash_tail(self.0, state);
    }
}

impl Equivalent<Text> for Asked<'_> {
    fn equivalent(&self, text: &Text) -> bool {
        *self.0 == *text.0
    }
}

/// A hit with few tokens and with many.
pub fn look_up(size: &Size) {
    let bench = Bench::new(Algorithm::EdDsa);
    for live in [size.few_tokens, size.many_tokens] {
        let tokens = bench.tokens(live);
        let room = live as u64 * 2;
        let digests = moka::sync::Cache::<Digest, Known>::new(room);
        let shards: [RwLock<HashMap<Box<str>, Known>>; SHARDS] =
            std::array::from_fn(|_| RwLock::default());
        let hasher = RandomState::new();
        let shard = |text: &str| &shards[hasher.hash_one(text) as usize % SHARDS];
        let tails = Cache::<Text, Known>::new(live * 2);
        for token in &tokens {
            let known = Known::new([0; 256]);
            digests.insert(sha256(token), Arc::clone(&known));
            let text: Box<str> = token.as_str().into();
            let mut shard = shard(token).write().unwrap();
            shard.insert(text.clone(), Arc::clone(&known));
            tails.insert(Text(text), known);
        }
        let hits = |round: usize, get: &dyn Fn(&str) -> Option<Known>| {
            nanos(0..HITS, |step| {
                let token = &tokens[(round * HITS + step) * 7919 % live];
                get(token).unwrap()
            })
        };
        let other = |round: usize, by: usize| (round + by * ROUNDS / 3) % ROUNDS;
        let times = take_turns(
            ROUNDS,
            [
                &mut |round| hits(round, &|text| digests.get(&sha256(text))),
                &mut |round| {
                    hits(other(round, 1), &|text| {
                        shard(text).read().unwrap().get(text).cloned()
                    })
                },
                &mut |round| hits(other(round, 2), &|text| tails.get(&Asked(text))),
            ],
        );
        let names = [
            "moka by a digest",
            "a sharded map by the text",
            "quick_cache by the tail, as the token cache is",
        ];
        for (name, time) in names.iter().zip(&times) {
            line(
                &format!("a cache hit of {live} tokens, {name}"),
                ratio(time, &times[2]),
                None,
                &format!("{:.0} ns", median(time)),
            );
        }
    }
}
