//! The pages of the revocation feed, read from the log on request and signed.

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

/// The number of entries from which hashing and writing a page takes milliseconds and runs on a blocking thread.
const MANY: usize = 1024;

/// The reason why a feed page is not available.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// The log could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The page may lack entries: this issuer cannot prove that it has read the current log.
    #[error(
        "the revocation list is not provably fresh, and what was read of the log need not be all"
    )]
    Stale,
    /// The page could not be signed.
    #[error(transparent)]
    Signing(#[from] SignError),
    /// The client has too many waiting requests.
    #[error("the client has too many questions waiting")]
    Crowded,
}

impl From<Full> for FeedError {
    fn from(_: Full) -> Self {
        Self::Crowded
    }
}

impl Issuer {
    /// Returns the log page that `client` requests, as a response body, compressed if the reader accepts gzip. A delta
    /// is complete only from the newest dropped entry on. From any other position a snapshot begins.
    ///
    /// Pages of one client are built one at a time, and its further requests wait. Among waiting clients, deltas go
    /// before snapshots.
    ///
    /// # Errors
    /// [`FeedError`] says why there is no page.
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
        // Limits the load on the store, so that feed readers do not delay logins and logouts.
        let _turn = pages.all.take(length).await?;
        // Taken before the log is read.
        let basis = parts.follower.basis().ok_or(FeedError::Stale)?;
        let (made, head) = self.made(after).await?;
        if head.cursor.seq < basis.seq {
            return Err(FeedError::Stale);
        }
        // A reader must not learn more than this issuer has applied: the issuer might sign with a key that the reader
        // knows to be revoked.
        if parts.list.applied() < head.cursor.seq {
            let follower = Arc::clone(&parts.follower);
            // Runs in a task of its own, so that a reader that disconnects does not cancel it.
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

    /// Returns the page's content and the current head of the log. The head is read for every request, even if the
    /// content is cached.
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
            // Includes the preceding entry, whose hash tells the reader whether this is still the log that it started
            // to read.
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

/// Runs `work`, on a blocking thread if it is long.
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
