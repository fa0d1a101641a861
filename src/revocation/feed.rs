//! The feed: the log as other processes see it, page by page. Pure: what a page says, and whether it
//! continues what was read before.
//!
//! Each page is signed over the question that it answers, over its entries, and over the place in the log to
//! which they lead. Only the answer to a question of one's own proves anything about the present.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::log::Cursor;
use super::{ALL, LogHash, Revocation, Target};
use crate::crypto::sha256;
use crate::encoding::base64url;
use crate::id::ClientId;
use crate::time::Timestamp;

/// How many entries a page has at most.
pub const PAGE: u32 = 4096;

/// The longest nonce of a question, in bytes.
pub const MAX_NONCE_BYTES: usize = 64;

/// A page as it is sent.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedPage {
    /// The signed [`Statement`].
    pub page: String,
    /// The entries.
    pub entries: Vec<WireEntry>,
}

/// Where in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedPosition {
    /// Entries after that one follow what the reader has read.
    Delta(i64),
    /// Those of a snapshot that follow that one, 0 for its first page.
    Snapshot(i64),
}

/// What the issuer says of a page. Times are milliseconds since 1970, hashes base64url.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// Who says it.
    pub iss: String,
    /// To whom: the client that asked.
    pub aud: String,
    /// The question's nonce.
    pub nonce: String,
    /// When it was said.
    pub now: i64,
    /// How old what it says was when the question came.
    pub age: u64,
    /// The entries are those after this one.
    pub after: i64,
    /// Within a snapshot: the running hash at `after`, so that a log which is replaced between two pages is
    /// noticed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub after_hash: Option<String>,
    /// Whether they belong to a snapshot: then they have gaps.
    pub snapshot: bool,
    /// Whether more follow.
    pub more: bool,
    /// The place to which the entries lead.
    pub seq: i64,
    /// The running hash there.
    pub hash: String,
    /// SHA-256 over the page's entries, each as the log's running hash takes it.
    pub entries: String,
    /// The horizon.
    pub horizon: i64,
    /// The newest lineage, or client's token, that was issued.
    pub newest: i64,
}

/// An entry as it is sent. What is [`ALL`] or never is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WireEntry {
    seq: i64,
    scope: String,
    key: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    from: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    grace_until: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    spared: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    expires_at: Option<i64>,
    reason: String,
    at: i64,
}

impl From<&Revocation> for WireEntry {
    fn from(revocation: &Revocation) -> Self {
        let finite = |number: i64| (number != i64::MAX).then_some(number);
        Self {
            seq: revocation.seq,
            scope: revocation.target.kind().name().to_owned(),
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
    fn revocation(&self) -> Option<Revocation> {
        Some(Revocation {
            seq: self.seq,
            target: Target::from_log(&self.scope, &self.key)?,
            from: self.from.unwrap_or(ALL),
            grace_until: self.grace_until.map(Timestamp::from_millis),
            spared: match &self.spared {
                None => None,
                Some(lineage) => Some(lineage.parse().ok()?),
            },
            expires_at: self
                .expires_at
                .map_or(Timestamp::NEVER, Timestamp::from_millis),
            reason: self.reason.parse().ok()?,
            at: Timestamp::from_millis(self.at),
        })
    }
}

/// The digest of a page's entries.
pub fn digest<'a>(entries: impl IntoIterator<Item = &'a Revocation>) -> LogHash {
    let start = sha256(b"waxseal-revocations");
    let chain = |before: LogHash, entry: &Revocation| entry.chain(&before);
    entries.into_iter().fold(start, chain)
}

/// Why a page is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadPage {
    /// It answers another question, or another reader's, or is another issuer's.
    #[error("the page answers another question")]
    OtherQuestion,
    /// Its entries are not those that were signed, or one of a kind that is not known here.
    #[error("the page's entries are not what was signed, or not known here")]
    Entries,
    /// It leads nowhere.
    #[error("the page says that more follows, and has nothing")]
    NoProgress,
    /// The log is not the one that was read before: restored from an older copy, altered, or another one.
    #[error(
        "the log went back or was altered at seq {0}: it does not continue what was read before"
    )]
    OtherLog(i64),
}

/// A question, to which a page is the answer.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// Whom it is asked.
    pub issuer: &'a str,
    /// Who asks.
    pub client: ClientId,
    /// What makes it unlike any other.
    pub nonce: &'a str,
}

/// A log that is read over the feed.
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

/// What a page brought.
#[derive(Debug)]
pub struct Brought {
    /// The entries, in their order.
    pub revocations: Vec<Revocation>,
    /// Whether they lead to the log's head.
    pub complete: bool,
    /// How old that was when the question came.
    pub age: Duration,
}

impl FeedReading {
    /// What to ask for next.
    #[must_use]
    pub const fn next(&self) -> FeedPosition {
        if self.snapshot {
            FeedPosition::Snapshot(self.cursor.seq)
        } else {
            FeedPosition::Delta(self.cursor.seq)
        }
    }

    /// How far it has come.
    #[must_use]
    pub const fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Takes the page that answers `question` about [`next`](Self::next). It may begin a snapshot instead.
    ///
    /// # Errors
    /// [`BadPage`]. After [`BadPage::OtherLog`] it begins again with a snapshot; else it is as it was.
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
        let revocations: Option<Vec<_>> = entries.iter().map(WireEntry::revocation).collect();
        let revocations = revocations.ok_or(BadPage::Entries)?;
        if statement.entries != base64url::encode(&digest(&revocations)) {
            return Err(BadPage::Entries);
        }
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
            if revocation.seq != cursor.seq + 1 {
                return false;
            }
            cursor = Cursor {
                seq: revocation.seq,
                hash: revocation.chain(&cursor.hash),
            };
        }
        cursor == end
    }

    /// The hash of a place behind a gap is the issuer's to say.
    fn gapped(after: i64, end: Cursor, revocations: &[Revocation]) -> bool {
        let seqs = || revocations.iter().map(|revocation| revocation.seq);
        let rises = seqs().zip(seqs().skip(1)).all(|(one, next)| one < next);
        rises && seqs().all(|seq| after < seq && seq <= end.seq)
    }
}
