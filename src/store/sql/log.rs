//! Implements the revocation log on the store.

use std::time::Duration;

use async_trait::async_trait;

use super::commands::log::{ChangeLeeway, Compact, EndNow, RaiseHorizon};
use super::reader;
use super::store::SqlStore;
use crate::revocation::Reason;
use crate::revocation::log::{LogReader, Page, RevocationLog, Revoke, StoreError};
use crate::time::Timestamp;

/// The number of rows that one compacting transaction drops. It bounds how long compaction delays a logout.
const COMPACT_AT_ONCE: i64 = 512;

#[async_trait]
impl LogReader for SqlStore {
    async fn read(&self, after: i64, limit: u32) -> Result<Page, StoreError> {
        let page = reader::page(&self.readers, after, limit);
        self.read("read the revocation log", page).await
    }
}

#[async_trait]
impl RevocationLog for SqlStore {
    async fn revoke(&self, what: Revoke, reason: Reason, at: Timestamp) -> Result<i64, StoreError> {
        self.write(EndNow { what, reason, at }).await
    }

    async fn compact(&self, until: Timestamp) -> Result<u64, StoreError> {
        let (mut dropped, mut after) = (0, 0);
        loop {
            let expired = reader::expired(&self.readers, after, until, COMPACT_AT_ONCE);
            let expired = self.read("find expired revocations", expired).await?;
            let Some((last, _)) = expired.last() else {
                return Ok(dropped);
            };
            after = *last;
            dropped += self.write(Compact(expired)).await?;
        }
    }

    async fn change_leeway(&self, leeway: Duration, at: Timestamp) -> Result<(), StoreError> {
        self.write(ChangeLeeway(leeway, at)).await
    }

    async fn raise_horizon(&self, horizon: Timestamp) -> Result<(), StoreError> {
        self.write(RaiseHorizon(horizon)).await
    }
}
