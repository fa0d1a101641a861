//! Three nodes under load, with faults of the nodes, their wires and their database at times that a seed determines.
//!
//! By day the two runs share the kinds of faults, and by night each has all of them.

mod changed;
mod failover;
mod fixture;
mod kinds;
mod rolling;
mod schedule;

use std::time::Duration;

use super::common::campaign;
use super::history::Mode;
use fixture::{Fixture, Form};
use kinds::{GREAT, SMALL};

/// How long a node may serve on what it knows, in either form.
const BOUND: Duration = Duration::from_secs(2);

const FENCED: Form = Form {
    mode: Mode::Fenced,
    max_staleness: Duration::from_secs(5),
    lease: BOUND,
    shutdown_delay: Duration::ZERO,
};

/// The strictest bound: `max_staleness` equals the lease.
const BOUNDED: Form = Form {
    mode: Mode::Bounded,
    max_staleness: BOUND,
    lease: BOUND,
    shutdown_delay: Duration::ZERO,
};

/// How long a run lasts: `usually` seconds, or `WAXSEAL_FAULTS_SECONDS`.
fn lasts(usually: u64) -> Duration {
    let given = std::env::var("WAXSEAL_FAULTS_SECONDS").ok();
    let seconds = given.map_or(usually, |text| {
        text.parse().expect("WAXSEAL_FAULTS_SECONDS is a number")
    });
    Duration::from_secs(seconds)
}

/// No node accepts a session in a request that is sent after its logout's 2xx was received.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fenced_logout_is_a_fence_under_faults() {
    let fixture = Fixture::set(FENCED).await;
    let kinds = campaign((&GREAT[..5], &SMALL[..3]), (&GREAT[..], &SMALL[..]));
    schedule::run(fixture, lasts(15), kinds).await;
}

/// No node accepts a session later than `max_staleness` after its logout's 2xx.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bounded_logout_is_bounded_under_faults() {
    let fixture = Fixture::set(BOUNDED).await;
    let kinds = campaign((&GREAT[5..], &SMALL[3..]), (&GREAT[..], &SMALL[..]));
    schedule::run(fixture, lasts(15), kinds).await;
}
