//! The cost of counting verifications.

use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusBuilder;
use waxseal::key::Algorithm;
use waxseal::verifier::Verifier;

use crate::Size;
use crate::harness::{line, micros, nanos, ratio, take_turns};
use crate::subject::{Bench, filled};

/// Verification with a Prometheus recorder, compared with verification without one.
pub fn counted(size: &Size) {
    let bench = Bench::new(Algorithm::EdDsa);
    let list = Arc::new(filled(size.small));
    let recorder = PrometheusBuilder::new().build_recorder();
    let page = recorder.handle();
    let counted = metrics::with_local_recorder(&recorder, || bench.verifier(&list));
    let silent = bench.verifier(&list);
    let tokens = bench.tokens(size.tokens);
    let a_turn = size.tokens / size.rounds;
    let verify = |verifier: &Verifier, round: usize| {
        nanos(round * a_turn..(round + 1) * a_turn, |index| {
            verifier.verify(&tokens[index]).unwrap()
        })
    };
    let other = |round| (round + size.rounds / 2) % size.rounds;
    let [counting, not] = take_turns(
        size.rounds,
        [&mut |round| verify(&counted, round), &mut |round| {
            verify(&silent, other(round))
        }],
    );
    let good = format!("verdict=\"good\"}} {}", a_turn * size.rounds);
    assert!(page.render().contains(&good), "they were counted");
    line(
        "verify, counted to not",
        ratio(&counting, &not),
        None,
        &micros(&counting, &not),
    );
}
