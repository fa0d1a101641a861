//! What the tests and benches of this repository do to a list and to its freshness without a log. Semantic versioning
//! does not cover this module.
//!
//! An app has no such calls: a [`Follower`](super::follower::Follower) alone applies what was revoked, and proves that
//! nothing is missing.

use std::time::Duration;

use super::Revocation;
use super::freshness::Freshness;
use super::list::RevocationList;
use crate::time::Timestamp;

/// Claims that the list is complete as of `asked`, a time of the clock's uptime.
pub fn prove(freshness: &Freshness, asked: Duration) {
    freshness.prove(asked);
}

/// Makes the list stale until the next claim.
pub fn end(freshness: &Freshness) {
    freshness.end();
}

/// Announces the approximate number of entries to come.
pub fn expect(list: &RevocationList, entries: u64) {
    list.expect(entries);
}

/// Applies a revocation.
pub fn apply(list: &RevocationList, revocation: &Revocation) {
    list.apply(revocation);
}

/// Records the time that the wall clock shows, as a verification does.
pub fn observe(list: &RevocationList, now: Timestamp, leeway: Duration) {
    list.observe(now, leeway);
}

/// Records the creation time of a session that began, as a login does.
pub fn note_lineage(list: &RevocationList, created_at: Timestamp) {
    list.note_lineage(created_at);
}

/// Moves the horizon forward, as the log's head does.
pub fn raise_horizon(list: &RevocationList, horizon: Timestamp) {
    list.raise_horizon(horizon);
}

/// Moves the horizon forward to that of another process's list.
pub fn learn_horizon(list: &RevocationList, horizon: Timestamp) {
    list.learn_horizon(horizon);
}

/// Drops the entries that the horizon covers.
pub fn drop_covered(list: &RevocationList) {
    list.drop_covered();
}
