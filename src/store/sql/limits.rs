//! Counters of failed logins, and the known networks of accounts. They use separate connections, so that a flood of
//! logins delays nothing else.
//!
//! With PostgreSQL all nodes share the counters. Known networks, attempts of owners and attempts of strangers have
//! separate connections. With SQLite the one process counts in memory, and stores here what must survive a restart.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

use super::advice::BoxedError;
use super::engine::{Db, Readers};
use super::time_limit::within_limit;
use super::{postgres, sqlite, statements as sql};
use crate::account::limits::{
    Counted, Counting, NETWORKS, Rate, SharedLimits, Slowdown, TooMany, Whereabouts,
};
use crate::revocation::log::StoreError;

const CONNECTIONS: u32 = 2;

/// An upper bound on stored durations: longer than any useful window, and short enough to add to a time.
const LONGEST: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// The age at which the entry of a known network is refreshed. Nodes refresh less often of their own accord.
const NOTED: Duration = Duration::from_secs(12 * 3600);

/// The number of rows that one statement drops. It bounds how long the cleanup delays a login.
const FORGET_AT_ONCE: i64 = 1000;

#[derive(Debug)]
pub(super) struct Limits {
    readers: Readers,
}

/// The counters that all nodes share.
#[derive(Clone, Debug)]
pub(super) struct SharedCounters {
    owners: Arc<Limits>,
    strangers: Arc<Limits>,
}

impl SharedCounters {
    pub(super) fn postgres(options: &PgConnectOptions) -> Self {
        let limits = || Arc::new(Limits::postgres(options));
        Self {
            owners: limits(),
            strangers: limits(),
        }
    }

    pub(super) fn counting(&self) -> Counting {
        Counting::Together {
            owners: Arc::clone(&self.owners) as _,
            strangers: Arc::clone(&self.strangers) as _,
        }
    }
}

impl Limits {
    pub(super) const fn readers(&self) -> &Readers {
        &self.readers
    }

    pub(super) fn postgres(options: &PgConnectOptions) -> Self {
        Self {
            readers: Readers::Postgres(postgres::pool(options, CONNECTIONS)),
        }
    }

    pub(super) fn sqlite(options: SqliteConnectOptions) -> Self {
        Self {
            readers: Readers::Sqlite(sqlite::lookups(options, CONNECTIONS)),
        }
    }

    /// Returns `true` if several nodes share the counters.
    pub(super) const fn are_shared(&self) -> bool {
        matches!(self.readers, Readers::Postgres(_))
    }

    pub(super) async fn ask<T>(
        &self,
        doing: &'static str,
        work: impl Future<Output = sqlx::Result<T>>,
    ) -> Result<T, StoreError> {
        let work = async { work.await.map_err(BoxedError::from) };
        let done = within_limit(self.readers.limit(), work).await;
        done.map_err(|cause| StoreError::new(doing, cause))
    }

    pub(super) async fn knows(&self, at: &Whereabouts) -> sqlx::Result<bool> {
        let (account, network) = (at.account.to_vec(), at.network.to_vec());
        let known = self.readers.optional(sql::KNOWN_NETWORK, |query| {
            query.bind(account).bind(network)
        });
        Ok(known.await?.is_some())
    }

    pub(super) async fn note(&self, at: &Whereabouts) -> sqlx::Result<()> {
        let mut reader = self.readers.reader().await?;
        let mut db = reader.db();
        let query = db.query(sql::ADD_NETWORK).bind(at.account.to_vec());
        let query = query.bind(at.network.to_vec()).bind(nanos(NOTED));
        if query.execute().await? > 0 {
            let query = db.query(sql::FORGET_OTHER_NETWORKS);
            let query = query.bind(at.account.to_vec()).bind(NETWORKS);
            query.execute().await?;
        }
        reader.done().await
    }

    /// Counts each limit in a separate commit, so that no caller waits for a row while it holds another.
    async fn count_all(&self, all: &[Counted]) -> sqlx::Result<Option<TooMany>> {
        let mut reader = self.readers.reader().await?;
        for counted in all {
            let mut db = reader.db();
            let refused = match counted {
                Counted::Rate { policy, key, rate } => {
                    let wait = count_login(&mut db, key, *rate).await?;
                    wait.map(|retry_after| TooMany {
                        policy,
                        rate: *rate,
                        retry_after,
                    })
                }
                Counted::Failures { account, slowdown } => {
                    count_failure(&mut db, account, slowdown).await?
                }
            };
            if refused.is_some() {
                reader.done().await?;
                return Ok(refused);
            }
        }
        reader.done().await?;
        Ok(None)
    }

    /// Takes one attempt back from each limit. After a success it also clears the earlier failures.
    async fn give_back_all(&self, all: &[Counted], succeeded: bool) -> sqlx::Result<()> {
        let mut reader = self.readers.reader().await?;
        for counted in all {
            let mut db = reader.db();
            let query = match counted {
                Counted::Rate { key, rate, .. } => {
                    let query = db.query(sql::GIVE_LOGIN_BACK).bind(key.to_vec());
                    query.bind(nanos(rate.period()))
                }
                Counted::Failures { account, .. } if succeeded => {
                    db.query(sql::FORGIVE_FAILURES).bind(account.to_vec())
                }
                Counted::Failures { account, slowdown } => {
                    let query = db.query(sql::GIVE_FAILURE_BACK).bind(account.to_vec());
                    query.bind(nanos(slowdown.longest))
                }
            };
            query.execute().await?;
        }
        reader.done().await
    }

    /// Drops rows whose time is at least `older` ago, a few at a time.
    pub(super) async fn forget(
        &self,
        statement: &'static str,
        older: Duration,
    ) -> sqlx::Result<()> {
        loop {
            let mut reader = self.readers.reader().await?;
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

fn from_nanos(nanos: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

/// Counts an attempt, or returns the time until the next one is allowed.
async fn count_login(db: &mut Db<'_>, key: &[u8], rate: Rate) -> sqlx::Result<Option<Duration>> {
    let ahead = rate.period().saturating_mul(rate.burst.get() - 1);
    let query = db.query(sql::COUNT_LOGIN).bind(key.to_vec());
    let query = query.bind(nanos(rate.period())).bind(nanos(ahead));
    if query.optional().await?.is_some() {
        return Ok(None);
    }
    let query = db.query(sql::WAIT_FOR_LOGIN).bind(key.to_vec());
    let row = query.bind(nanos(ahead)).optional().await?;
    // The limit may expire, and its row be dropped, between the two statements.
    let wait = row.map_or(Ok(0), |row| row.get::<i64>(0))?;
    Ok(Some(from_nanos(wait)))
}

async fn count_failure(
    db: &mut Db<'_>,
    account: &[u8],
    slowdown: &Slowdown,
) -> sqlx::Result<Option<TooMany>> {
    let free = i64::from(slowdown.free);
    let (first, longest) = (nanos(slowdown.first), nanos(slowdown.longest));
    let query = db.query(sql::COUNT_FAILURE).bind(account.to_vec());
    let query = query.bind(free).bind(first).bind(longest);
    let query = query.bind(nanos(slowdown.memory()));
    if query.optional().await?.is_some() {
        return Ok(None);
    }
    let query = db.query(sql::LAST_FAILURE).bind(account.to_vec());
    // A failure that was cleared between the two statements is no reason to wait.
    let (wait, passed) = match query.optional().await? {
        Some(row) => {
            let failures = u32::try_from(row.get::<i64>(0)?).unwrap_or(u32::MAX);
            (slowdown.wait(failures), from_nanos(row.get(1)?))
        }
        None => (slowdown.first, slowdown.first),
    };
    Ok(Some(TooMany::slowed(wait, wait.saturating_sub(passed))))
}

#[async_trait]
impl SharedLimits for Limits {
    async fn count(&self, counted: &[Counted]) -> Result<Option<TooMany>, StoreError> {
        self.ask("count a login", self.count_all(counted)).await
    }

    async fn give_back(&self, counted: &[Counted]) -> Result<(), StoreError> {
        let given_back = self.give_back_all(counted, false);
        self.ask("give back a login that was not tried", given_back)
            .await
    }

    async fn forgive(&self, counted: &[Counted]) -> Result<(), StoreError> {
        let forgiven = self.give_back_all(counted, true);
        self.ask("forget the failures before a login", forgiven)
            .await
    }

    async fn tidy(&self, memory: Duration) -> Result<(), StoreError> {
        let tidy = async {
            self.forget(sql::FORGET_LOGINS, Duration::ZERO).await?;
            self.forget(sql::FORGET_FAILURES, memory).await
        };
        self.ask("drop login limits that are over", tidy).await
    }
}
