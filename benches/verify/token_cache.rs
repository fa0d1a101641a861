//! The token cache: the cost of verifying a token again.

use std::hint::black_box;
use std::sync::Arc;

use waxseal::key::Algorithm;
use waxseal::verifier::Verifier;

use crate::Size;
use crate::harness::{line, micros, nanos, ratio, take_turns};
use crate::subject::{Bench, filled};

/// First verifications in one turn.
const TURN: usize = 8;

/// Repeated verifications in one turn. More, because each is much shorter.
const REPEATED: usize = 64 * TURN;

/// Room for all tokens, in bytes.
const ROOM: u64 = 1 << 30;

/// Repeats the tokens in an order that defeats the processor's caches.
fn anywhere(round: usize, turn: usize, tokens: usize) -> impl ExactSizeIterator<Item = usize> {
    const STRIDE: usize = 7_919;
    (0..turn).map(move |step| (round * turn + step) * STRIDE % tokens)
}

/// A repeated verification compared with a first one: with few tokens and revocations, and with many.
pub fn repeated(size: &Size) {
    let few = (size.small, size.few_tokens, 1.0 / 80.0);
    let many = (size.large, size.many_tokens, 1.0 / 20.0);
    for (entries, live, goal) in [few, many] {
        let bench = Bench::new(Algorithm::EdDsa);
        let list = Arc::new(filled(entries));
        let [first, again] = [0, ROOM].map(|room| bench.verifier(&list).with_token_cache(room));
        let tokens = bench.tokens(live);
        for token in &tokens {
            again.verify(token).unwrap();
        }
        let verify = |verifier: &Verifier, round, turn| {
            nanos(anywhere(round, turn, live), |index| {
                verifier.verify(black_box(&tokens[index])).unwrap()
            })
        };
        let [firsts, repeats] = take_turns(
            size.rounds,
            [&mut |round| verify(&first, round, TURN), &mut |round| {
                verify(&again, round, REPEATED)
            }],
        );
        line(
            &format!("verify again, of {live} tokens, {entries} revocations, to first"),
            ratio(&repeats, &firsts),
            Some(goal),
            &micros(&repeats, &firsts),
        );
    }
}
