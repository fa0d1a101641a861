//! A model of the fenced logout: thousands of runs of the protocol's own code in a simulated world.
//!
//! **Safety: no node accepts a token in a request that was sent, in true time, after the 2xx of its fenced logout was
//! received.**
//!
//! Bounded: no node accepts a token in a request that was sent later than the bound after the commit, measured by a
//! slow clock. Live: once the faults are over, every node becomes fresh again, every logout is answered, and no fence
//! has ever taken longer than the lease, its margin and the store together.
//!
//! `WAXSEAL_MODEL_SEEDS=100000` tries more seeds. `WAXSEAL_MODEL_SEED=7` runs that seed alone and prints its events.

mod faults;
mod host;
mod mutants;
mod mutation;
mod node;
mod primary;
mod run;
mod test_rng;
mod wire;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use mutation::Mutation;
use run::{Outcome, run};
use world::{FailOver, Tally};

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().expect(variable))
}

/// Runs the seeds from 0 to `seeds`, with one thread per processor, until one has a finding. Returns the first such
/// seed, and the tally of the seeds that ran.
fn search(seeds: u64, mutation: Mutation, fail_over: FailOver) -> (Option<u64>, Tally) {
    let (next, found) = (AtomicU64::new(0), AtomicU64::new(seeds));
    let sum = Mutex::new(Tally::default());
    let work = || {
        loop {
            let seed = next.fetch_add(1, SeqCst);
            if seed >= found.load(SeqCst) {
                return;
            }
            let outcome = run(seed, mutation, fail_over, false);
            sum.lock().unwrap().add(&outcome.tally);
            if !outcome.findings.is_empty() {
                found.fetch_min(seed, SeqCst);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let found = found.into_inner();
    let sum = *sum.lock().unwrap();
    ((found < seeds).then_some(found), sum)
}

/// Formats a run's events and findings.
fn story(seed: u64, outcome: &Outcome) -> String {
    let (trace, findings) = (outcome.trace.join("\n"), outcome.findings.join("\n"));
    format!(
        "{trace}\nseed {seed} found {}:\n{findings}",
        outcome.findings.len()
    )
}

/// Asserts that no seed has a finding, and that each event in `happens` occurred. Without those events the absence of
/// findings would prove nothing.
fn holds(fail_over: FailOver, usual: u64, happens: &[&str]) {
    if let Some(seed) = number("WAXSEAL_MODEL_SEED") {
        let outcome = run(seed, Mutation::None, fail_over, true);
        println!("{}", story(seed, &outcome));
        assert!(outcome.findings.is_empty(), "seed {seed}, {fail_over:?}");
        return;
    }
    let seeds = number("WAXSEAL_MODEL_SEEDS").unwrap_or(usual);
    let (found, sum) = search(seeds, Mutation::None, fail_over);
    if let Some(seed) = found {
        let outcome = run(seed, Mutation::None, fail_over, true);
        panic!("{}", story(seed, &outcome));
    }
    println!("{seeds} seeds, {fail_over:?}: {:?}", sum.fields());
    for (what, times) in sum.fields() {
        assert_eq!(times > 0, happens.contains(&what), "{what}: {times} times");
    }
}

const HAPPENS: [&str; 10] = [
    "accepted",
    "refused as revoked",
    "refused as stale",
    "sent after a 2xx",
    "logouts answered",
    "logouts tried again",
    "fences that waited",
    "leases expired",
    "nodes dismissed",
    "crashes",
];

const LOSSES: [&str; 2] = ["commits lost", "other logs noticed"];

#[test]
fn no_node_accepts_a_token_after_its_fenced_logout() {
    holds(FailOver::KeepsAll, 300, &HAPPENS);
}

#[test]
fn no_node_accepts_a_token_after_failovers_that_lose_commits() {
    let happens = [&HAPPENS[..], &LOSSES].concat();
    holds(FailOver::LosesCommits, 150, &happens);
}

#[test]
fn no_node_accepts_a_token_after_slow_failovers_that_lose_nodes() {
    let happens = [&HAPPENS[..], &LOSSES].concat();
    holds(FailOver::LosesCommitsAfterALease, 150, &happens);
}

#[test]
fn a_seed_determines_its_run() {
    for fail_over in [FailOver::KeepsAll, FailOver::LosesCommits] {
        let told = |seed| run(seed, Mutation::None, fail_over, true);
        for seed in 0..10 {
            let (one, two) = (told(seed), told(seed));
            assert!(one.trace.len() > 200, "{} events", one.trace.len());
            assert_eq!(one.trace, two.trace);
            let silent = run(seed, Mutation::None, fail_over, false);
            assert_eq!((one.hash, two.hash), (silent.hash, silent.hash));
            assert_ne!(one.hash, told(seed + 1).hash);
        }
    }
}
