//! The feed: the log as other processes read it, page by page. The code is pure: it defines the content of a page, and
//! checks that a page continues what was read before.
//!
//! A page's signature covers the question that it answers, its entries, and the log position to which they lead. Only
//! the answer to a reader's own question proves anything about the present.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::log::Cursor;
use super::{ALL, BadTarget, LogHash, Revocation, Target, chained};
use crate::crypto::sha256;
use crate::encoding::base64url;
use crate::encoding::object_only::{not_null, object_only};
use crate::id::ClientId;
use crate::time::Timestamp;

/// The largest number of entries in a page.
pub const PAGE: u32 = 4096;

/// The largest length of a question's nonce, in bytes.
pub const MAX_NONCE_BYTES: usize = 64;

/// A page as sent.
#[derive(Debug, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct FeedPage {
    /// The signed [`Statement`].
    pub page: String,
    /// The entries.
    pub entries: Vec<WireEntry>,
}

/// A position in the log from which a reader asks for entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedPosition {
    /// The entries after this `seq`, which continue what the reader has read.
    Delta(i64),
    /// The entries of a snapshot after this `seq`, 0 for the first page.
    Snapshot(i64),
}

/// The issuer's statement about a page. Times are milliseconds since 1970, hashes are base64url.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Statement {
    /// The issuer.
    pub iss: String,
    /// The client that asked.
    pub aud: String,
    /// The question's nonce.
    pub nonce: String,
    /// The time of the statement.
    pub now: i64,
    /// The age of the content when the question arrived, in milliseconds.
    pub age: u64,
    /// The page has the entries after this `seq`.
    pub after: i64,
    /// Within a snapshot, the running hash at `after`. It reveals a log that was replaced between two pages.
    #[serde(
        skip_serializing_if = "Option::is_none",
        default,
        deserialize_with = "not_null"
    )]
    pub after_hash: Option<String>,
    /// Whether the entries belong to a snapshot and may have gaps.
    pub snapshot: bool,
    /// Whether more pages follow.
    pub more: bool,
    /// The `seq` to which the entries lead.
    pub seq: i64,
    /// The running hash at `seq`.
    pub hash: String,
    /// SHA-256 over the page's entries, chained as in the log's running hash.
    pub entries: String,
    /// The horizon.
    pub horizon: i64,
    /// The creation time of the newest lineage or client token that was issued.
    pub newest: i64,
}

/// An entry as sent. Fields with the value [`ALL`] or "never" are left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct WireEntry {
    seq: i64,
    scope: String,
    key: String,
    #[serde(
        skip_serializing_if = "Option::is_none",
        default,
        deserialize_with = "not_null"
    )]
    from: Option<i64>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        default,
        deserialize_with = "not_null"
    )]
    grace_until: Option<i64>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        default,
        deserialize_with = "not_null"
    )]
    spared: Option<String>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        default,
        deserialize_with = "not_null"
    )]
    expires_at: Option<i64>,
    reason: String,
    at: i64,
}

object_only!(FeedPage, Statement, WireEntry);

impl From<&Revocation> for WireEntry {
    fn from(revocation: &Revocation) -> Self {
        let finite = |number: i64| (number != i64::MAX).then_some(number);
        Self {
            seq: revocation.seq,
            scope: revocation.target.scope().to_owned(),
            key: revocation.target.key(),
            from: finite(revocation.from),
            grace_until: revocation.grace_until.map(Timestamp::millis),
            spared: revocation.spared.map(|lineage| lineage.to_string()),
            expires_at: finite(revocation.expires_at.millis()),
            reason: revocation.reason.word().to_owned(),
            at: revocation.at.millis(),
        }
    }
}

impl WireEntry {
    fn revocation(&self) -> Result<Revocation, BadPage> {
        let target = Target::from_log(&self.scope, &self.key);
        let target = target.map_err(|why| match why {
            BadTarget::Scope => BadPage::UnknownKind(self.seq),
            BadTarget::Key => BadPage::Entries,
        })?;
        let spared = self.spared.as_deref().map(str::parse).transpose();
        Ok(Revocation {
            seq: self.seq,
            target,
            from: self.from.unwrap_or(ALL),
            grace_until: self.grace_until.map(Timestamp::from_millis),
            spared: spared.map_err(|_| BadPage::Entries)?,
            expires_at: self
                .expires_at
                .map_or(Timestamp::NEVER, Timestamp::from_millis),
            reason: self.reason.parse().map_err(|_| BadPage::Entries)?,
            at: Timestamp::from_millis(self.at),
        })
    }

    /// The same hash as that of the revocation, also for an entry that this version does not know.
    fn chain(&self, before: &LogHash) -> LogHash {
        let finite = |number: Option<i64>| number.unwrap_or(i64::MAX);
        let spared = self.spared.as_deref().unwrap_or_default();
        chained(
            before,
            [
                self.seq,
                finite(self.from),
                finite(self.expires_at),
                self.at,
            ],
            [&self.scope, &self.key, spared, &self.reason],
            self.grace_until,
        )
    }
}

/// The hash from which the digest of a page begins.
fn digest_start() -> LogHash {
    sha256(b"waxseal-revocations")
}

/// The digest of a page's entries.
pub fn digest<'a>(entries: impl IntoIterator<Item = &'a Revocation>) -> LogHash {
    let chain = |before: LogHash, entry: &Revocation| entry.chain(&before);
    entries.into_iter().fold(digest_start(), chain)
}

/// The reason why a page is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadPage {
    /// The page answers another question or another reader, or comes from another issuer.
    #[error("the page answers another question")]
    OtherQuestion,
    /// The entries differ from the signed ones, or one of them is malformed.
    #[error("the page's entries are not what was signed, or malformed")]
    Entries,
    /// The entry with this `seq` has a scope that this version does not know and must not skip.
    #[error(
        "entry {0} of the revocation log is of a kind that this version does not know, and may end tokens; upgrade this verifier"
    )]
    UnknownKind(i64),
    /// The page says that more follows, but is empty.
    #[error("the page says that more follows, and has nothing")]
    NoProgress,
    /// The log does not continue the one that was read before: it was restored from an older copy, altered or replaced.
    #[error(
        "the log went back or was altered at seq {0}: it does not continue what was read before"
    )]
    OtherLog(i64),
}

/// The question that a page must answer.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// The issuer that is asked.
    pub issuer: &'a str,
    /// The client that asks.
    pub client: ClientId,
    /// A text that makes this question unique.
    pub nonce: &'a str,
}

/// A reading of the log over the feed.
#[derive(Clone, Copy, Debug)]
pub struct FeedReading {
    cursor: Cursor,
    snapshot: bool,
}

impl Default for FeedReading {
    fn default() -> Self {
        Self {
            cursor: Cursor::START,
            snapshot: true,
        }
    }
}

/// The content of an accepted page.
#[derive(Debug)]
pub struct Brought {
    /// The entries in log order.
    pub revocations: Vec<Revocation>,
    /// Whether the entries lead to the log's head.
    pub complete: bool,
    /// The age of the content when the question arrived.
    pub age: Duration,
}

impl FeedReading {
    /// The position to ask for next.
    #[must_use]
    pub const fn next(&self) -> FeedPosition {
        if self.snapshot {
            FeedPosition::Snapshot(self.cursor.seq)
        } else {
            FeedPosition::Delta(self.cursor.seq)
        }
    }

    /// The position that the reading has reached.
    #[must_use]
    pub const fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Takes the page that answers `question` about [`next`](Self::next). The page may begin a snapshot instead.
    ///
    /// # Errors
    /// [`BadPage`]. After [`BadPage::OtherLog`] the reading starts again with a snapshot; after other errors it is
    /// unchanged.
    pub fn take(
        &mut self,
        question: &Question<'_>,
        statement: &Statement,
        entries: &[WireEntry],
    ) -> Result<Brought, BadPage> {
        let client = question.client.to_string();
        if statement.iss != question.issuer
            || statement.aud != client
            || statement.nonce != question.nonce
        {
            return Err(BadPage::OtherQuestion);
        }
        let chain = |before: LogHash, entry: &WireEntry| entry.chain(&before);
        let digest = entries.iter().fold(digest_start(), chain);
        if statement.entries != base64url::encode(&digest) {
            return Err(BadPage::Entries);
        }
        let revocations = entries.iter().map(WireEntry::revocation);
        let revocations = revocations.collect::<Result<Vec<_>, _>>()?;
        let hash = |text: &str| -> Option<LogHash> {
            let bytes = base64url::decode(text.as_bytes()).ok()?;
            bytes.try_into().ok()
        };
        let end = Cursor {
            seq: statement.seq,
            hash: hash(&statement.hash).ok_or(BadPage::Entries)?,
        };
        let same_log = || {
            let before = statement.after_hash.as_deref().and_then(hash);
            before == Some(self.cursor.hash)
        };
        let fits = match (statement.snapshot, self.snapshot) {
            (true, _) if statement.after == 0 => Self::gapped(0, end, &revocations),
            (true, true) if statement.after == self.cursor.seq => {
                same_log() && Self::gapped(self.cursor.seq, end, &revocations)
            }
            (false, false) if statement.after == self.cursor.seq => {
                Self::continues(self.cursor, end, &revocations)
            }
            _ => return Err(BadPage::OtherQuestion),
        };
        if !fits {
            let broken = BadPage::OtherLog(self.cursor.seq);
            *self = Self::default();
            return Err(broken);
        }
        if statement.more && revocations.is_empty() {
            return Err(BadPage::NoProgress);
        }
        *self = Self {
            cursor: end,
            snapshot: statement.more && statement.snapshot,
        };
        Ok(Brought {
            revocations,
            complete: !statement.more,
            age: Duration::from_millis(statement.age),
        })
    }

    fn continues(from: Cursor, end: Cursor, revocations: &[Revocation]) -> bool {
        let mut cursor = from;
        for revocation in revocations {
            if Some(revocation.seq) != cursor.seq.checked_add(1) {
                return false;
            }
            cursor = Cursor {
                seq: revocation.seq,
                hash: revocation.chain(&cursor.hash),
            };
        }
        cursor == end
    }

    /// Checks a page with gaps. The reader cannot compute the hash after a gap, so it takes the issuer's.
    fn gapped(after: i64, end: Cursor, revocations: &[Revocation]) -> bool {
        let seqs = || revocations.iter().map(|revocation| revocation.seq);
        let rises = seqs().zip(seqs().skip(1)).all(|(one, next)| one < next);
        rises && seqs().all(|seq| after < seq && seq <= end.seq)
    }
}
