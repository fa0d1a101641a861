//! The revocation list: the time and the memory that it takes.

use std::collections::HashMap;
use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use waxseal::id::{Lineage, TokenId};
use waxseal::key::Algorithm;
use waxseal::random::SeededRandom;
use waxseal::revocation::Target;
use waxseal::revocation::list::RevocationList;
use waxseal::time::{Clock, SystemClock};
use waxseal::verifier::Verifier;

use crate::Size;
use crate::harness::{line, micros, nanos, ratio, take_turns};
use crate::subject::{Bench, filled, revocation};

/// The argument that makes this program its own child, to fill one map and weigh it.
pub const WEIGH: &str = "--weigh";

/// Look-ups in one turn.
const LOOK_UPS: usize = 200;

/// The look-up to verification, and verification with many entries to that with few.
pub fn look_up(size: &Size) {
    let bench = Bench::new(Algorithm::EdDsa);
    let lists = [size.small, size.large].map(|entries| Arc::new(filled(entries)));
    let verifiers = lists.each_ref().map(|list| bench.verifier(list));
    let tokens = bench.tokens(size.tokens);
    let a_turn = size.tokens / size.rounds;
    let kid = bench.key().public().kid();
    // Each is asked for once, so that no cache has its place in the list yet.
    let now = bench.clock.now();
    const LEEWAY: Duration = Duration::from_secs(5);
    let misses: Vec<_> = (0..size.rounds * LOOK_UPS)
        .map(|_| {
            (
                Lineage::new(now, &bench.random),
                TokenId::new(now, &bench.random),
            )
        })
        .collect();
    let look_up = |list: &RevocationList, round: usize| {
        let mut claims = bench.claims();
        nanos(round * LOOK_UPS..(round + 1) * LOOK_UPS, |index| {
            (claims.session_id.lineage, claims.token_id) = misses[index];
            assert_eq!(list.dead(&claims, kid, now, LEEWAY), None);
        })
    };
    let verify = |verifier: &Verifier, round: usize| {
        nanos(round * a_turn..(round + 1) * a_turn, |index| {
            verifier.verify(&tokens[index]).unwrap()
        })
    };
    // Whoever came second would find the first one's tokens in the processor's cache.
    let other = |round| (round + size.rounds / 2) % size.rounds;
    let [few, many, verify_few, verify_many] = take_turns(
        size.rounds,
        [
            &mut |round| look_up(&lists[0], round),
            &mut |round| look_up(&lists[1], other(round)),
            &mut |round| verify(&verifiers[0], round),
            &mut |round| verify(&verifiers[1], other(round)),
        ],
    );
    for (entries, look_ups, verifies) in [
        (size.small, &few, &verify_few),
        (size.large, &many, &verify_many),
    ] {
        line(
            &format!("look-up, a miss among {entries}, to verify"),
            ratio(look_ups, verifies),
            None,
            &micros(look_ups, verifies),
        );
    }
    line(
        &format!("verify, {} entries to {}", size.large, size.small),
        ratio(&verify_many, &verify_few),
        None,
        &micros(&verify_many, &verify_few),
    );
}

/// Bytes an entry: a process of its own for each map, since memory that was given back is seldom the
/// system's again.
pub fn memory(size: &Size) {
    let program = std::env::current_exe().unwrap();
    let entries = size.large.to_string();
    let [list, bare] = ["list", "hash map"].map(|map| {
        let output = Command::new(&program)
            .args([WEIGH, map, &entries])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.trim().parse::<f64>().unwrap()
    });
    line(
        &format!("bytes an entry at {entries}, to a bare HashMap"),
        list / bare,
        None,
        &format!("{list:.0} bytes to {bare:.0} bytes, resident"),
    );
}

/// What the child does: resident bytes an entry.
pub fn weigh(map: &str, entries: usize) -> f64 {
    let (random, at) = (SeededRandom::new(1), SystemClock.now());
    let revocation = |seq| revocation(seq, at, &random);
    let before = resident();
    let (list, mut bare) = (RevocationList::new(), HashMap::new());
    for seq in 1..=entries {
        let entry = revocation(seq);
        match (map, &entry.target) {
            ("list", _) => list.apply(&entry),
            (_, Target::Session(lineage)) => {
                bare.insert(*lineage, (entry.from, entry.expires_at));
            }
            _ => unreachable!("only sessions are revoked here"),
        }
    }
    assert_eq!(list.len() as usize + bare.len(), entries);
    (resident() - before) as f64 / entries as f64
}

/// Resident bytes of this process.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.unwrap().parse::<u64>().unwrap() * 1024
}
