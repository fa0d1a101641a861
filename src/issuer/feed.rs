//! The feed's pages, read from the log when they are asked for, and signed.

use std::error::Error;
use std::sync::Arc;

use tokio::spawn;

use super::{Issuer, SignError};
use crate::id::{ClientId, KeyId};
use crate::meters::FeedPages;
use crate::revocation::feed::{self, After, PAGE, Statement, WireEntry};
use crate::revocation::log::{Cursor, StoreError};
use crate::token::{base64url, statement};

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
}

impl Issuer {
    /// The page of the log that `client` asks for. Deltas are complete only from the newest entry that was
    /// dropped on: after any other place a snapshot begins.
    ///
    /// # Errors
    /// [`FeedError`].
    pub async fn feed_page(
        &self,
        client: ClientId,
        after: After,
        nonce: &str,
    ) -> Result<feed::Page, FeedError> {
        let begun = self.2.feed_pages.begun(FeedPages::Failed);
        let (page, kind) = self.page(client, after, nonce).await?;
        begun.ended(kind);
        Ok(page)
    }

    async fn page(
        &self,
        client: ClientId,
        after: After,
        nonce: &str,
    ) -> Result<(feed::Page, FeedPages), FeedError> {
        let Self(parts, pages, _) = self;
        // However many ask at once, those who log in and out are not kept waiting for the store.
        let _permit = pages.acquire().await;
        // Before the log is read.
        let basis = parts.follower.basis().ok_or(FeedError::Stale)?;
        let (mut snapshot, mut after) = match after {
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
        let head = page.head;
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
        let more = page.entries.len() == PAGE as usize
            && page
                .entries
                .last()
                .is_some_and(|last| last.revocation.seq < head.cursor.seq);
        let end = match page.entries.last() {
            Some(last) if more => Cursor {
                seq: last.revocation.seq,
                hash: last.hash,
            },
            _ => head.cursor,
        };
        let revocations = || page.entries.iter().map(|entry| &entry.revocation);
        let now = parts.clock.now();
        let said = Statement {
            iss: parts.policy.issuer().to_owned(),
            aud: client.to_string(),
            nonce: nonce.to_owned(),
            now: now.millis(),
            age: u64::try_from(basis.age.as_millis()).unwrap_or(u64::MAX),
            after,
            after_hash,
            snapshot,
            more,
            seq: end.seq,
            hash: base64url::encode(&end.hash),
            entries: base64url::encode(&feed::digest(revocations())),
            horizon: head.horizon.max(parts.list.horizon()).millis(),
            newest: head.newest_lineage.millis(),
        };
        let keyring = parts.keyring.load_full();
        let revoked = |kid: &KeyId| parts.list.key_revoked(kid);
        let key = keyring.signing(parts.format, now, revoked);
        let key = key.ok_or(SignError::NoSigningKey)?;
        let signed = statement::sign(statement::REVOCATIONS, &said, key);
        let kind = match snapshot {
            true => FeedPages::Snapshot,
            false => FeedPages::Delta,
        };
        let page = feed::Page {
            page: signed.map_err(SignError::from)?,
            entries: revocations().map(WireEntry::from).collect(),
        };
        Ok((page, kind))
    }
}
