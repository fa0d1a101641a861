//! The revocation log: durable, ordered by `seq` without gaps, replayable; the source of truth.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{LogHash, Reason, Revocation};
use crate::id::{KeyId, Lineage, TokenId, UserId};
use crate::report::report;
use crate::time::Timestamp;

/// A store operation failed, or its outcome is unknown. The caller may conclude nothing except that it should try
/// again. Clones share the cause.
#[derive(Clone)]
pub struct StoreError {
    doing: &'static str,
    cause: Arc<dyn Error + Send + Sync>,
}

impl StoreError {
    /// Reports that `doing` failed because of `cause`.
    pub fn new(doing: &'static str, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let cause: Box<dyn Error + Send + Sync> = cause.into();
        Self {
            doing,
            cause: cause.into(),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store failed to {}", self.doing)
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.cause)
    }
}

/// Prints the causes too, because a program whose `main` returns the error prints the `Debug` form.
impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&report(self), f)
    }
}

/// A reader's position in the log: a `seq`, and the running hash over all entries up to it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The newest entry that was read, 0 for none.
    pub seq: i64,
    /// The running hash after that entry.
    pub hash: LogHash,
}

impl Cursor {
    /// The position before the first entry.
    pub const START: Self = Self {
        seq: 0,
        hash: [0; 32],
    };
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}",
            self.seq,
            self.hash[..4]
                .iter()
                .map(|b| format!("{b:02x}"))
                .collect::<String>()
        )
    }
}

/// The log's one head row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The newest entry.
    pub cursor: Cursor,
    /// The newest entry that compaction has dropped. Deltas are complete only from here on.
    pub compacted: i64,
    /// The horizon: a token that began and expires at or before it is dead, whatever the clock shows now.
    pub horizon: Timestamp,
    /// The creation time of the newest lineage that was issued.
    pub newest_lineage: Timestamp,
}

/// An entry as the log stores it, with the running hash that was written beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The revocation.
    pub revocation: Revocation,
    /// The running hash after the revocation.
    pub hash: LogHash,
}

/// The head, and the entries after some `seq`, as one transaction saw them.
#[derive(Clone, Debug)]
pub struct Page {
    /// The head at that moment.
    pub head: Head,
    /// The entries in the order of `seq`.
    pub entries: Vec<Entry>,
}

/// A revocation to write. The account store writes the cut-offs that come with a change of a user.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub enum Revoke {
    /// Every generation of a session.
    Session(Lineage, Timestamp),
    /// A token, by its `jti`.
    Token(TokenId, Timestamp),
    /// A key, permanently.
    Key(KeyId),
    /// A user's sessions, even if the user no longer exists.
    User(UserId),
    /// Every session that began before the write.
    Everything,
}

/// The durable log, for those who read it. Append order is commit order.
#[async_trait]
pub trait LogReader: Send + Sync + fmt::Debug {
    /// Reads the head and up to `limit` entries after the `seq` `after`, as one transaction sees them.
    async fn read(&self, after: i64, limit: u32) -> Result<Page, StoreError>;
}

/// The durable log of a service, which also writes it.
#[doc(hidden)]
#[async_trait]
pub trait RevocationLog: LogReader {
    /// Writes a revocation at `at`, durably, and returns its `seq`.
    async fn revoke(&self, what: Revoke, reason: Reason, at: Timestamp) -> Result<i64, StoreError>;

    /// Drops entries that expired at or before `until`, and moves the horizon past them in the same transaction.
    /// Returns the number of dropped entries.
    async fn compact(&self, until: Timestamp) -> Result<u64, StoreError>;

    /// Records the leeway with which tokens are accepted from `at` on. A larger leeway than before revives no expired
    /// token.
    async fn change_leeway(&self, leeway: Duration, at: Timestamp) -> Result<(), StoreError>;

    /// Moves the horizon forward, never back.
    async fn raise_horizon(&self, horizon: Timestamp) -> Result<(), StoreError>;
}
