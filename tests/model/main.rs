//! The fenced logout as a model: thousands of runs of the protocol's own code in a simulated world.
//!
//! **Safety: no node accepts a token in a request that was sent, in true time, after the 2xx of its fenced logout was received.**
//!
//! And bounded: none in a request sent later than the bound after the commit, by a clock that is slow. And alive:
//! once the faults are over every node is fresh again, every logout is answered, and no fence ever took longer
//! than the lease, its margin and the store together.
//!
//! `WAXSEAL_MODEL_SEEDS=100000` tries more seeds; `WAXSEAL_MODEL_SEED=7` runs that one alone, and prints what
//! happened in it.

mod dice;
mod faults;
mod host;
mod node;
mod primary;
mod run;
mod twist;
mod wire;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use run::{Outcome, run};
use twist::Twist;
use world::{FailOver, Tally};

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().expect(variable))
}

fn seeds() -> u64 {
    number("WAXSEAL_MODEL_SEEDS").unwrap_or(1_000)
}

/// Runs seeds from 0 on until one finds something, on as many threads as there are processors. Gives the first
/// one that did, and what happened in those that were run.
fn search(twist: Twist, fail_over: FailOver) -> (Option<u64>, Tally) {
    let (next, found) = (AtomicU64::new(0), AtomicU64::new(seeds()));
    let sum = Mutex::new(Tally::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, SeqCst);
                    if seed >= found.load(SeqCst) {
                        return;
                    }
                    let outcome = run(seed, twist, fail_over, false);
                    sum.lock().unwrap().add(&outcome.tally);
                    if !outcome.findings.is_empty() {
                        found.fetch_min(seed, SeqCst);
                    }
                }
            });
        }
    });
    let found = found.into_inner();
    let sum = *sum.lock().unwrap();
    ((found < seeds()).then_some(found), sum)
}

/// What a run found, after all that happened in it.
fn told(seed: u64, outcome: &Outcome) -> String {
    let trace = outcome.trace.join("\n");
    format!("{trace}\nseed {seed}: {:#?}", outcome.findings)
}

fn holds(fail_over: FailOver) -> Tally {
    if let Some(seed) = number("WAXSEAL_MODEL_SEED") {
        let outcome = run(seed, Twist::None, fail_over, true);
        println!("{}", told(seed, &outcome));
        assert!(outcome.findings.is_empty(), "seed {seed}");
        return outcome.tally;
    }
    let (found, sum) = search(Twist::None, fail_over);
    if let Some(seed) = found {
        let outcome = run(seed, Twist::None, fail_over, true);
        panic!("{}", told(seed, &outcome));
    }
    println!("{} seeds: {:?}", seeds(), sum.fields());
    sum
}

#[test]
fn no_token_is_accepted_after_its_fenced_logout() {
    holds(FailOver::KeepsAll);
}

#[test]
fn nor_after_fail_overs_that_lose_commits() {
    holds(FailOver::LosesCommits);
}

#[test]
fn mutants() {
    use Twist::*;
    for twist in [
    NoLeaseCheck,
    ListBeforeFreshness,
    NoFence,
    ProofFromAnswer,
    HeadBeforeEntry,
    RegisterBeforeCommit,
    DismissAnyBeat,
    DismissEarly,
    KeptFromBefore,
    SameBeat,
    NoMargin,
    LaggingReads,
    SentTwice,
    ClockStops,
    AnyLogBelieved,
    EntriesLost,
    ] {
        let fo = if matches!(twist, AnyLogBelieved|EntriesLost) {FailOver::LosesCommits} else {FailOver::KeepsAll};
        let start = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        let (found, _) = search(twist, fo);
        let f = found.map(|s| run(s, twist, fo, false).findings);
        println!("{twist:?} {found:?} {f:?} {:?}", std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap()-start);
    }
}
