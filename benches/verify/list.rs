//! The revocation list: how lookups and verifications slow down as it grows.

use std::sync::Arc;
use std::time::Duration;

use waxseal::id::{Lineage, TokenId};
use waxseal::key::Algorithm;
use waxseal::revocation::list::RevocationList;
use waxseal::time::Clock;
use waxseal::verifier::Verifier;

use crate::Size;
use crate::harness::{line, median, micros, nanos, ratio, take_turns};
use crate::subject::{Bench, filled};

/// Lookups in one turn.
const LOOK_UPS: usize = 100;

/// Repeated verifications in one turn.
const REPEATED: usize = 100;

/// Room for all tokens, in bytes.
const ROOM: u64 = 1 << 30;

/// A lookup, a first verification and a repeated one, with few entries, many and very many.
pub fn look_up(size: &Size) {
    let bench = Bench::new(Algorithm::EdDsa);
    let sizes = [size.small, size.large, size.huge];
    let lists = sizes.map(|entries| Arc::new(filled(entries)));
    let firsts = lists.each_ref().map(|list| bench.verifier(list));
    let remembering = |list: &Arc<RevocationList>| bench.verifier(list).with_token_cache(ROOM);
    let agains = lists.each_ref().map(remembering);
    let tokens = bench.tokens(size.tokens);
    let live = &tokens[..size.few_tokens.min(tokens.len())];
    for token in live {
        for verifier in &agains {
            verifier.verify(token).unwrap();
        }
    }
    let a_turn = size.tokens / size.rounds;
    let kid = bench.key().public().kid();
    // Each is looked up only once, so that no processor cache has its place in the list.
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
    let first = |verifier: &Verifier, round: usize| {
        nanos(round * a_turn..(round + 1) * a_turn, |index| {
            verifier.verify(&tokens[index]).unwrap()
        })
    };
    let again = |verifier: &Verifier, round: usize| {
        nanos(0..REPEATED, |step| {
            let index = (round * REPEATED + step) * 7919 % live.len();
            verifier.verify(&live[index]).unwrap()
        })
    };
    // Each contender uses other tokens: the processor's cache would have those of the previous one.
    let other = |round, by| (round + by * size.rounds / 3) % size.rounds;
    let look_ups = take_turns(
        size.rounds,
        [
            &mut |round| look_up(&lists[0], round),
            &mut |round| look_up(&lists[1], other(round, 1)),
            &mut |round| look_up(&lists[2], other(round, 2)),
        ],
    );
    let firsts = take_turns(
        size.rounds,
        [
            &mut |round| first(&firsts[0], round),
            &mut |round| first(&firsts[1], other(round, 1)),
            &mut |round| first(&firsts[2], other(round, 2)),
        ],
    );
    let agains = take_turns(
        size.rounds,
        [
            &mut |round| again(&agains[0], round),
            &mut |round| again(&agains[1], other(round, 1)),
            &mut |round| again(&agains[2], other(round, 2)),
        ],
    );
    for (at, entries) in sizes.iter().enumerate() {
        line(
            &format!("look-up, a miss among {entries}, to verify"),
            ratio(&look_ups[at], &firsts[at]),
            None,
            &micros(&look_ups[at], &firsts[at]),
        );
    }
    let kinds = [
        ("look-up", &look_ups, None),
        ("verify", &firsts, Some(1.1)),
        ("verify again", &agains, Some(4.0)),
    ];
    for (what, times, goal) in kinds {
        for at in [1, 2] {
            line(
                &format!("{what}, {} entries to {}", sizes[at], sizes[0]),
                ratio(&times[at], &times[0]),
                goal.filter(|_| at == 2),
                &format!(
                    "{:.3} µs to {:.3} µs",
                    median(&times[at]) / 1e3,
                    median(&times[0]) / 1e3
                ),
            );
        }
    }
}
