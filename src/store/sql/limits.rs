//! What nodes count together: how many logins are tried. By connections of its own, so that a flood of logins
//! keeps nobody else waiting.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::PgConnectOptions;

use super::engine::Readers;
use super::marking::Cause;
use super::{postgres, statements as sql, within_limit};
use crate::account::limits::{Counted, Reached, SharedLimits, Whereabouts};
use crate::revocation::log::StoreError;

const CONNECTIONS: u32 = 2;

/// Longer than any window that is of use, and short enough to be added to a time.
const LONGEST: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// From how many networks an account's owner is known: so many at most that one user cannot fill the table.
const NETWORKS: i64 = 32;
/// How long one is remembered that the owner does not come from any more.
const REMEMBERED: Duration = Duration::from_secs(90 * 24 * 3600);
/// How old the note may be before it is written again.
const NOTED: Duration = Duration::from_secs(24 * 3600);

/// How many rows one statement drops: nobody who is counted waits for longer than that takes.
const FORGET_AT_ONCE: i64 = 1000;

#[derive(Debug)]
pub(super) struct Limits(Readers);

impl Limits {
    pub(super) fn new(options: &PgConnectOptions) -> Self {
        Self(Readers::Postgres(postgres::pool(options, CONNECTIONS)))
    }

    async fn ask<T>(
        &self,
        doing: &'static str,
        work: impl Future<Output = sqlx::Result<T>>,
    ) -> Result<T, StoreError> {
        let work = async { work.await.map_err(Cause::from) };
        let done = within_limit(self.0.limit(), work).await;
        done.map_err(|cause| StoreError::new(doing, cause))
    }

    async fn count_all(&self, all: &[Counted]) -> sqlx::Result<Option<Reached>> {
        let mut reader = self.0.reader().await?;
        let mut reached = None;
        for counted in all {
            // Each is committed by itself: nobody waits for another's row with one of their own in hand.
            let (period, ahead) = gcra(counted);
            let mut db = reader.db();
            let query = db.query(sql::COUNT_LOGIN).bind(counted.key.to_vec());
            if query.bind(period).bind(ahead).optional().await?.is_some() {
                continue;
            }
            let query = db.query(sql::WAIT_FOR_LOGIN).bind(counted.key.to_vec());
            // One that was over just then, and dropped.
            let row = query.bind(ahead).optional().await?;
            let wait = row.map_or(Ok(0), |row| row.get::<i64>(0))?;
            reached = Some(Reached {
                counted: *counted,
                retry_after: Duration::from_nanos(u64::try_from(wait).unwrap_or(0)),
            });
            break;
        }
        reader.done().await?;
        Ok(reached)
    }

    /// Drops what is that much older than it must be, a few rows at a time.
    async fn forget(&self, statement: &'static str, older: Duration) -> sqlx::Result<()> {
        loop {
            let mut reader = self.0.reader().await?;
            let mut db = reader.db();
            let query = db.query(statement).bind(nanos(older));
            let dropped = query.bind(FORGET_AT_ONCE).execute().await?;
            reader.done().await?;
            if dropped < FORGET_AT_ONCE.unsigned_abs() {
                return Ok(());
            }
        }
    }
}

fn nanos(time: Duration) -> i64 {
    i64::try_from(time.min(LONGEST).as_nanos()).unwrap_or(i64::MAX)
}

/// The time that one takes up, and how far ahead the others may have taken it up before.
fn gcra(counted: &Counted) -> (i64, i64) {
    let period = counted.rate.period();
    let ahead = period.saturating_mul(counted.rate.burst.get() - 1);
    (nanos(period), nanos(ahead))
}

#[async_trait]
impl SharedLimits for Limits {
    async fn count(&self, counted: &[Counted]) -> Result<Option<Reached>, StoreError> {
        self.ask("count a login", self.count_all(counted)).await
    }

    async fn knows(&self, whereabouts: &Whereabouts) -> Result<bool, StoreError> {
        let (account, network) = (whereabouts.account.to_vec(), whereabouts.network.to_vec());
        let known = self.0.optional(sql::KNOWN_NETWORK, |query| {
            query.bind(account).bind(network)
        });
        let row = self.ask("look up where a user logs in from", known).await?;
        Ok(row.is_some())
    }

    async fn remember(&self, whereabouts: &Whereabouts) -> Result<(), StoreError> {
        let remember = async {
            let (account, network) = (whereabouts.account.to_vec(), whereabouts.network.to_vec());
            let mut reader = self.0.reader().await?;
            let mut db = reader.db();
            let query = db.query(sql::ADD_NETWORK).bind(account.clone());
            let query = query.bind(network).bind(nanos(NOTED));
            if query.execute().await? > 0 {
                let query = db.query(sql::FORGET_OTHER_NETWORKS).bind(account);
                query.bind(NETWORKS).execute().await?;
            }
            reader.done().await
        };
        self.ask("note where a user logs in from", remember).await
    }

    async fn tidy(&self) -> Result<(), StoreError> {
        let tidy = async {
            self.forget(sql::FORGET_LOGINS, Duration::ZERO).await?;
            self.forget(sql::FORGET_NETWORKS, REMEMBERED).await
        };
        self.ask("drop login limits that are over", tidy).await
    }
}
