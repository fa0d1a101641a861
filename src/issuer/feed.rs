//! The feed's pages, read from the log when they are asked for, and signed.

use std::error::Error;
use std::sync::Arc;

use tokio::spawn;
use tokio::task::spawn_blocking;

pub use super::pages::WAITING;
use super::pages::{Made, WORTH_KEEPING};
use super::turns::{Full, Length};
use super::{Issuer, SignError};
use crate::encoding::base64url;
use crate::id::{ClientId, KeyId};
use crate::meters::FeedPages;
use crate::revocation::feed::{self, FeedPosition, PAGE, Statement};
use crate::revocation::log::{Cursor, Head, Page, StoreError};
use crate::revocation::page_text::{EntriesText, PageBody};
use crate::token::{statement, types};

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
        after: FeedPosition,
        nonce: &str,
        takes_gzip: bool,
    ) -> Result<PageBody, FeedError> {
        let begun = self.meters.feed_pages.begun(FeedPages::Failed);
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
        after: FeedPosition,
        nonce: &str,
        takes_gzip: bool,
    ) -> Result<(PageBody, FeedPages), FeedError> {
        let Self { parts, pages, .. } = self;
        let length = match after {
            FeedPosition::Delta(_) => Length::Short,
            FeedPosition::Snapshot(_) => Length::Long,
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
        let signed = statement::sign(types::REVOCATIONS, &said, key);
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
    async fn made(&self, asked: FeedPosition) -> Result<(Arc<Made>, Head), FeedError> {
        let Self { parts, pages, .. } = self;
        if let Some(made) = pages.find(asked) {
            let head = parts.log.read(i64::MAX, 1).await?.head;
            if made.is_of(&head) {
                return Ok((made, head));
            }
        }
        let (mut snapshot, mut after) = match asked {
            FeedPosition::Delta(seq) => (false, seq),
            FeedPosition::Snapshot(seq) => (true, seq),
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
