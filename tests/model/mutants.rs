//! Each part of the protocol and each of its assumptions is necessary: without it, a run finds a token that is wrongly
//! accepted. A mutant without findings would mean that the model is too weak or that the part is superfluous.

use crate::mutation::Mutation;
use crate::run::run;
use crate::world::FailOver;
use crate::{search, story};

const SEEDS: u64 = 4_000;

/// Asserts that some seed finds the mutant. `first` usually does, and runs before the others.
fn found_in(mutation: Mutation, fail_over: FailOver, first: u64) {
    let outcome = run(first, mutation, fail_over, false);
    let (seed, outcome) = if outcome.findings.is_empty() {
        let (found, _) = search(SEEDS, mutation, fail_over);
        let seed = found.unwrap_or_else(|| panic!("{mutation:?} is not found in {SEEDS} seeds"));
        println!("{mutation:?} is found by seed {seed} first");
        (seed, run(seed, mutation, fail_over, false))
    } else {
        (first, outcome)
    };
    let unsafe_ones = |finding: &String| finding.contains(" accepted ");
    assert!(
        outcome.findings.iter().any(unsafe_ones),
        "{}",
        story(seed, &outcome)
    );
    let without = run(seed, Mutation::None, fail_over, false);
    assert!(without.findings.is_empty(), "{}", story(seed, &without));
}

#[test]
fn a_node_must_check_that_its_list_is_fresh() {
    found_in(Mutation::NoLeaseCheck, FailOver::KeepsAll, 0);
}

#[test]
fn a_node_must_check_freshness_before_the_list() {
    found_in(Mutation::ListBeforeFreshness, FailOver::KeepsAll, 0);
}

#[test]
fn a_logout_must_wait_at_the_fence() {
    found_in(Mutation::NoFence, FailOver::KeepsAll, 0);
}

#[test]
fn freshness_must_count_from_before_the_question() {
    found_in(Mutation::ProofFromAnswer, FailOver::KeepsAll, 0);
}

#[test]
fn the_head_must_be_read_after_the_node_is_registered() {
    found_in(Mutation::HeadBeforeEntry, FailOver::KeepsAll, 250);
}

#[test]
fn the_register_must_be_read_after_the_commit() {
    found_in(Mutation::RegisterBeforeCommit, FailOver::KeepsAll, 193);
}

#[test]
fn a_node_that_registered_again_must_not_be_dismissed() {
    found_in(Mutation::DismissAnyBeat, FailOver::KeepsAll, 945);
}

#[test]
fn a_node_must_not_be_dismissed_before_its_bound_is_over() {
    found_in(Mutation::DismissEarly, FailOver::KeepsAll, 70);
}

#[test]
fn a_keeper_must_count_from_its_read_of_the_register() {
    found_in(Mutation::KeptFromBefore, FailOver::KeepsAll, 130);
}

#[test]
fn a_node_that_leaves_must_accept_no_token() {
    found_in(Mutation::LeavesFresh, FailOver::KeepsAll, 13);
}

#[test]
fn heartbeats_must_be_numbered() {
    found_in(Mutation::SameBeat, FailOver::KeepsAll, 27);
}

#[test]
fn waiting_needs_a_margin_for_the_rates_of_clocks() {
    found_in(Mutation::NoMargin, FailOver::KeepsAll, 264);
}

#[test]
fn the_log_must_be_read_at_the_primary() {
    found_in(Mutation::LaggingReads, FailOver::KeepsAll, 0);
}

#[test]
fn the_head_must_be_read_at_the_primary() {
    found_in(Mutation::LaggingHead, FailOver::KeepsAll, 20);
}

#[test]
fn the_register_must_be_read_at_the_primary() {
    found_in(Mutation::LaggingRegister, FailOver::KeepsAll, 4);
}

#[test]
fn a_late_heartbeat_must_not_replace_a_newer_one() {
    found_in(Mutation::SentTwice, FailOver::KeepsAll, 1909);
}

#[test]
fn clocks_must_count_suspension() {
    found_in(Mutation::ClockStops, FailOver::KeepsAll, 1);
}

#[test]
fn an_acknowledgement_must_be_for_this_log() {
    found_in(Mutation::AnyLogBelieved, FailOver::LosesCommits, 1909);
}

#[test]
fn a_failover_must_keep_the_register() {
    found_in(Mutation::EntriesLost, FailOver::LosesCommits, 148);
}
