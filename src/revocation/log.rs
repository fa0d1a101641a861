//! The revocation log: durable, ordered by `seq` without gaps, replayable; the source of truth.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use super::{LogHash, Reason, Revocation};
use crate::id::{KeyId, Lineage, TokenId, UserId};
use crate::time::Timestamp;

/// The store did not do what it was asked, or cannot say that it did. Nothing may be concluded but
/// "try again".
#[derive(thiserror::Error)]
#[error("the store failed to {doing}: {cause}")]
pub struct StoreError {
    doing: &'static str,
    cause: Box<dyn std::error::Error + Send + Sync>,
}

impl StoreError {
    /// That `doing` failed because of `cause`.
    pub fn new(
        doing: &'static str,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            doing,
            cause: cause.into(),
        }
    }
}

/// As `Display`: a program whose `main` returns the error prints it so.
impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where a reader is in the log: a `seq`, and the hash over all up to it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The newest entry that was read, 0 for none.
    pub seq: i64,
    /// The running hash after it.
    pub hash: LogHash,
}

impl Cursor {
    /// Before the first entry.
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
    /// The newest entry that compaction has dropped: deltas are complete only from here on.
    pub compacted: i64,
    /// The horizon: what began and expires at or before it is dead, whatever the clock says now.
    pub horizon: Timestamp,
    /// The newest lineage that was issued.
    pub newest_lineage: Timestamp,
}

/// An entry as the log has it: with the running hash that was written beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The fact.
    pub revocation: Revocation,
    /// The running hash after it.
    pub hash: LogHash,
}

/// The head, and entries after some `seq`, as one transaction saw them.
#[derive(Clone, Debug)]
pub struct Page {
    /// The head at that moment.
    pub head: Head,
    /// Entries in the order of `seq`.
    pub entries: Vec<Entry>,
}

/// A revocation to be written of one thing that has a name. Cut-offs of users belong to the accounts.
#[derive(Clone, Debug)]
pub enum Revoke {
    /// A session: every generation of it.
    Session(Lineage, Timestamp),
    /// A token by its `jti`.
    Token(TokenId, Timestamp),
    /// A key, for good.
    Key(KeyId),
    /// A user's sessions, whether or not there is such a user any more.
    User(UserId),
    /// Every session that began before now.
    Everything,
}

/// What the durable log can do. Append order is commit order.
#[async_trait]
pub trait RevocationLog: Send + Sync + fmt::Debug {
    /// Up to `limit` entries after `after`, and the head.
    async fn read(&self, after: i64, limit: u32) -> Result<Page, StoreError>;

    /// Writes a revocation at `at`, durably, and gives its `seq`.
    async fn revoke(&self, what: Revoke, reason: Reason, at: Timestamp) -> Result<i64, StoreError>;

    /// Drops entries that expired at or before `until`, and moves the horizon past them in the same
    /// transaction. Gives how many.
    async fn compact(&self, until: Timestamp) -> Result<u64, StoreError>;

    /// Notes that tokens are accepted with this leeway from `at` on. By a larger one than before, nothing
    /// that had expired comes back.
    async fn change_leeway(&self, leeway: Duration, at: Timestamp) -> Result<(), StoreError>;

    /// Moves the horizon forward, never back.
    async fn raise_horizon(&self, horizon: Timestamp) -> Result<(), StoreError>;
}
