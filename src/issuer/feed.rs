//! The feed's pages, read from the log when they are asked for, and signed.

use std::collections::{HashMap, VecDeque};
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::spawn;
use tokio::task::spawn_blocking;

use super::turns::{Full, Length, Turns};
use super::{Issuer, SignError};
use crate::id::{ClientId, KeyId};
use crate::meters::FeedPages;
use crate::revocation::feed::{self, After, PAGE, Statement};
use crate::revocation::log::{Cursor, Head, Page, StoreError};
use crate::revocation::page_text::{Body, EntriesText};
use crate::token::{base64url, statement};

/// How many pages of the feed are made at a time, for all clients.
const AT_A_TIME: usize = 2;

/// How many pages of one client are made at a time.
const OF_ONE: usize = 1;

/// How many more of one client's questions wait. The replicas of a service share its client, and all ask at the same
/// moment when there is news.
pub const WAITING: usize = 256;

/// From this many clients on those that ask for nothing are forgotten.
const TIDY_FROM: usize = 256;

/// How many pages are kept to be sent again. One is at most 1.5 MB.
const KEPT: usize = 4;

/// Smaller pages are as soon read as compared.
const WORTH_KEEPING: usize = 64;

/// So many entries take milliseconds to hash and to write down, on a thread of their own.
const MANY: usize = 1024;

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// The log could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was read may lack what the issuer cannot know of now.
    #[error(
        "the revocation list is not provably fresh, and what was read of the log need not be all"
    )]
    Stale,
    /// The page could not be signed.
    #[error(transparent)]
    Signing(#[from] SignError),
    /// The client has more questions waiting than it may.
    #[error("the client has too many questions waiting")]
    Crowded,
}

impl From<Full> for FeedError {
    fn from(_: Full) -> Self {
        Self::Crowded
    }
}

/// A page without what is said of it when it is sent: what it says of the log is true for as long as the log's head is
/// the same, and proves nothing of the present.
#[derive(Debug)]
struct Made {
    asked: After,
    /// The head when it was read.
    cursor: Cursor,
    compacted: i64,
    snapshot: bool,
    after: i64,
    after_hash: Option<String>,
    more: bool,
    end: Cursor,
    digest: String,
    text: EntriesText,
}

impl Made {
    fn is_of(&self, head: &Head) -> bool {
        self.cursor == head.cursor && self.compacted == head.compacted
    }
}

/// Whose turn it is, and the pages that were made last.
#[derive(Debug)]
pub(super) struct Pages {
    all: Turns,
    of_one: Mutex<HashMap<ClientId, Turns>>,
    kept: Mutex<VecDeque<Arc<Made>>>,
}

impl Default for Pages {
    fn default() -> Self {
        Self {
            // Of each client at most one waits here.
            all: Turns::new(AT_A_TIME, usize::MAX),
            of_one: Mutex::default(),
            kept: Mutex::default(),
        }
    }
}

impl Pages {
    fn of(&self, client: ClientId) -> Turns {
        let mut clients = self.of_one.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() >= TIDY_FROM {
            clients.retain(|_, turns| !turns.is_idle(OF_ONE));
        }
        let turns = clients.entry(client);
        turns.or_insert_with(|| Turns::new(OF_ONE, WAITING)).clone()
    }

    fn find(&self, asked: After) -> Option<Arc<Made>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|made| made.asked == asked).cloned()
    }

    fn keep(&self, new: &Arc<Made>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|made| made.asked != new.asked && made.cursor == new.cursor);
        kept.truncate(KEPT - 1);
        kept.push_front(Arc::clone(new));
    }
}

impl Issuer {
    /// The page of the log that `client` asks for, as the body of an answer, compressed if its reader takes gzip.
    /// Deltas are complete only from the newest entry that was dropped on: after any other place a snapshot begins.
    ///
    /// One page of a client is made at a time, and its further questions wait. Where several clients wait, deltas go
    /// before snapshots.
    ///
    /// # Errors
    /// [`FeedError`].
    pub async fn feed_page(
        &self,
        client: ClientId,
        after: After,
        nonce: &str,
        takes_gzip: bool,
    ) -> Result<Body, FeedError> {
        let begun = self.2.feed_pages.begun(FeedPages::Failed);
        match self.page(client, after, nonce, takes_gzip).await {
            Ok((page, kind)) => {
                begun.ended(kind);
                Ok(page)
            }
            Err(FeedError::Crowded) => {
                begun.ended(FeedPages::Limited);
                Err(FeedError::Crowded)
            }
            Err(error) => Err(error),
        }
    }

    async fn page(
        &self,
        client: ClientId,
        after: After,
        nonce: &str,
        takes_gzip: bool,
    ) -> Result<(Body, FeedPages), FeedError> {
        let Self(parts, pages, _) = self;
        let length = match after {
            After::Delta(_) => Length::Short,
            After::Snapshot(_) => Length::Long,
        };
        let _own = pages.of(client).take(length).await?;
        // However many ask at once, those who log in and out are not kept waiting for the store.
        let _turn = pages.all.take(length).await?;
        // Before the log is read.
        let basis = parts.follower.basis().ok_or(FeedError::Stale)?;
        let (made, head) = self.made(after).await?;
        if head.cursor.seq < basis.seq {
            return Err(FeedError::Stale);
        }
        // Nobody learns more here than this issuer goes by: it would sign with a key that they refuse.
        if parts.list.applied() < head.cursor.seq {
            let follower = Arc::clone(&parts.follower);
            // A reader that goes away takes nothing of it back.
            let caught_up = spawn(async move { follower.catch_up().await }).await;
            let failed = |why: Box<dyn Error + Send + Sync>| {
                StoreError::new("read on before telling others", why)
            };
            caught_up
                .map_err(|why| failed(why.into()))?
                .map_err(|why| failed(why.into()))?;
            if parts.list.applied() < head.cursor.seq {
                return Err(FeedError::Stale);
            }
        }
        let now = parts.clock.now();
        let said = Statement {
            iss: parts.policy.issuer().to_owned(),
            aud: client.to_string(),
            nonce: nonce.to_owned(),
            now: now.millis(),
            age: u64::try_from(basis.age.as_millis()).unwrap_or(u64::MAX),
            after: made.after,
            after_hash: made.after_hash.clone(),
            snapshot: made.snapshot,
            more: made.more,
            seq: made.end.seq,
            hash: base64url::encode(&made.end.hash),
            entries: made.digest.clone(),
            horizon: head.horizon.max(parts.list.horizon()).millis(),
            newest: head.newest_lineage.millis(),
        };
        let keyring = parts.keyring.load_full();
        let revoked = |kid: &KeyId| parts.list.key_revoked(kid);
        let key = keyring.signing(parts.format, now, revoked);
        let key = key.ok_or(SignError::NoSigningKey)?;
        let signed = statement::sign(statement::REVOCATIONS, &said, key);
        let signed = signed.map_err(SignError::from)?;
        let kind = match made.snapshot {
            true => FeedPages::Snapshot,
            false => FeedPages::Delta,
        };
        let large = made.text.is_large();
        let body = apart(large, move || made.text.page(&signed, takes_gzip)).await?;
        let body = body.map_err(|why| StoreError::new("write a page of the feed", why))?;
        Ok((body, kind))
    }

    /// What the page says of the log, and the log's head now: the head is read anew for each question, also where the
    /// rest was kept.
    async fn made(&self, asked: After) -> Result<(Arc<Made>, Head), FeedError> {
        let Self(parts, pages, _) = self;
        if let Some(made) = pages.find(asked) {
            let head = parts.log.read(i64::MAX, 1).await?.head;
            if made.is_of(&head) {
                return Ok((made, head));
            }
        }
        let (mut snapshot, mut after) = match asked {
            After::Delta(seq) => (false, seq),
            After::Snapshot(seq) => (true, seq),
        };
        let mut after_hash = None;
        let mut page = if snapshot && after > 0 {
            // With the entry that it follows, which says whether this is the log that its reader has begun.
            let mut page = parts.log.read(after - 1, PAGE + 1).await?;
            if page
                .entries
                .first()
                .is_some_and(|entry| entry.revocation.seq == after)
            {
                after_hash = Some(base64url::encode(&page.entries.remove(0).hash));
            }
            page
        } else {
            parts.log.read(after, PAGE).await?
        };
        let gone = match snapshot {
            true => after > 0 && after_hash.is_none(),
            false => after < page.head.compacted || after > page.head.cursor.seq,
        };
        if gone {
            (snapshot, after) = (true, 0);
            page = parts.log.read(0, PAGE).await?;
        }
        page.entries.truncate(PAGE as usize);
        let Page { head, entries } = page;
        let more = entries.len() == PAGE as usize
            && entries
                .last()
                .is_some_and(|last| last.revocation.seq < head.cursor.seq);
        let end = match entries.last() {
            Some(last) if more => Cursor {
                seq: last.revocation.seq,
                hash: last.hash,
            },
            _ => head.cursor,
        };
        let count = entries.len();
        let written = apart(count >= MANY, move || {
            let revocations = || entries.iter().map(|entry| &entry.revocation);
            let digest = base64url::encode(&feed::digest(revocations()));
            EntriesText::new(revocations()).map(|text| (digest, text))
        });
        let written = written.await?;
        let (digest, text) =
            written.map_err(|why| StoreError::new("write a page of the feed", why))?;
        let made = Arc::new(Made {
            asked,
            cursor: head.cursor,
            compacted: head.compacted,
            snapshot,
            after,
            after_hash,
            more,
            end,
            digest,
            text,
        });
        if count >= WORTH_KEEPING {
            pages.keep(&made);
        }
        Ok((made, head))
    }
}

/// Does it on a thread of its own, if it takes long.
async fn apart<T: Send + 'static>(
    long: bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StoreError> {
    if !long {
        return Ok(work());
    }
    let done = spawn_blocking(work).await;
    done.map_err(|why| StoreError::new("make a page of the feed", why))
}
