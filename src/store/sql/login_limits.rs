//! Implements the login limits on the store.

use async_trait::async_trait;

use super::commands::limits::{DropOld, KeepFailures, NoteNetwork};
use super::row::{time, unreadable};
use super::statements as sql;
use super::store::SqlStore;
use crate::account::limits::{KeptFailures, KeptLimits, KnownNetworks, REMEMBERED, Whereabouts};
use crate::revocation::log::StoreError;
use crate::time::Timestamp;

/// The maximum number of accounts whose failures a process reads when it starts.
const KEPT: i64 = 100_000;

#[async_trait]
impl KnownNetworks for SqlStore {
    async fn knows(&self, at: &Whereabouts) -> Result<bool, StoreError> {
        let doing = "look up a known network";
        self.limits.ask(doing, self.limits.knows(at)).await
    }

    async fn remember(&self, at: &Whereabouts, now: Timestamp) -> Result<(), StoreError> {
        if self.limits.are_shared() {
            let doing = "store a known network";
            return self.limits.ask(doing, self.limits.note(at)).await;
        }
        self.write(NoteNetwork(*at, now)).await
    }

    async fn forget_networks(&self, now: Timestamp) -> Result<(), StoreError> {
        let doing = "drop expired known networks";
        if self.limits.are_shared() {
            let forget = self.limits.forget(sql::FORGET_NETWORKS, REMEMBERED);
            return self.limits.ask(doing, forget).await;
        }
        let until = now.minus(REMEMBERED);
        self.drop_old(sql::OLD_NETWORK, sql::DROP_NETWORKS, until)
            .await
    }
}

impl SqlStore {
    /// Drops rows of the time `until` or older, a few in each write, for as long as `oldest` finds one. The query comes
    /// first because a write costs a sync to disk, and there is nearly always nothing to drop.
    async fn drop_old(
        &self,
        oldest: &'static str,
        statement: &'static str,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        loop {
            let readers = self.limits.readers();
            let old = readers.optional(oldest, |query| query.bind(until.millis()));
            let old = self.limits.ask("look for expired login limits", old);
            if old.await?.is_none() {
                return Ok(());
            }
            self.write(DropOld { statement, until }).await?;
        }
    }
}

#[async_trait]
impl KeptLimits for SqlStore {
    async fn kept(&self) -> Result<Vec<KeptFailures>, StoreError> {
        let kept = async {
            let readers = self.limits.readers();
            let rows = readers.all(sql::KEPT_FAILURES, |query| query.bind(KEPT));
            let rows = rows.await?;
            let kept = rows.iter().map(|row| {
                let account: Vec<u8> = row.get(0)?;
                Ok(KeptFailures {
                    account: account.try_into().map_err(|_| unreadable("digest"))?,
                    failures: u32::try_from(row.get::<i64>(1)?).unwrap_or(u32::MAX),
                    expires_at: time(row, 2)?,
                })
            });
            kept.collect()
        };
        self.limits.ask("read which logins failed", kept).await
    }

    async fn keep(&self, changed: Vec<KeptFailures>) -> Result<(), StoreError> {
        self.write(KeepFailures(changed)).await
    }

    async fn drop_expired(&self, now: Timestamp) -> Result<(), StoreError> {
        self.drop_old(sql::EXPIRED_FAILURE, sql::DROP_FAILURES, now)
            .await
    }
}
