//! Counters of failed logins, and the known networks of accounts. They have connections of their own, so that a flood
//! of logins delays nothing else.
//!
//! With PostgreSQL all nodes share the counters. Known networks, attempts of owners and attempts of strangers have
//! separate connections. With SQLite the one process counts in memory, and stores here what must survive a restart.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

use super::engine::{Db, Readers};
use super::marking::Cause;
use super::reader::{time, unreadable};
use super::writer::{Change, Done};
use super::{SqlStore, postgres, sqlite, statements as sql, within_limit};
use crate::account::limits::{
    Counted, Counting, KeptFailures, KeptLimits, KnownNetworks, NETWORKS, REMEMBERED, Rate,
    SharedLimits, Slowdown, TooMany, Whereabouts,
};
use crate::revocation::log::StoreError;
use crate::time::Timestamp;

const CONNECTIONS: u32 = 2;

/// Longer than any window that is of use, and short enough to be added to a time.
const LONGEST: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// How old the note of a network may be before it is written again. Nodes note less often by themselves.
const NOTED: Duration = Duration::from_secs(12 * 3600);

/// For how many accounts failures are read when a process starts.
const KEPT: i64 = 100_000;

/// How many rows one statement drops: nobody who is counted waits for longer than that takes.
const FORGET_AT_ONCE: i64 = 1000;

/// What is written about limits in SQLite.
#[derive(Debug)]
pub(super) enum LimitWrite {
    Note(Whereabouts, Timestamp),
    /// Those that were noted at or before then.
    DropNetworks(Timestamp),
    Keep(Vec<KeptFailures>),
    /// Those that expired at or before then.
    DropFailures(Timestamp),
}

pub(super) async fn write(db: &mut Db<'_>, write: &LimitWrite) -> sqlx::Result<Done> {
    match write {
        LimitWrite::Note(at, now) => {
            let query = db.query(sql::NOTE_NETWORK).bind(at.account.to_vec());
            let query = query.bind(at.network.to_vec()).bind(now.millis());
            query.execute().await?;
            let query = db.query(sql::DROP_OTHER_NETWORKS);
            let query = query.bind(at.account.to_vec()).bind(NETWORKS);
            query.execute().await?;
            Ok(Done::Yes)
        }
        LimitWrite::DropNetworks(until) => {
            let query = db.query(sql::DROP_NETWORKS).bind(until.millis());
            let dropped = query.bind(FORGET_AT_ONCE).execute().await?;
            Ok(Done::Forgotten(dropped))
        }
        LimitWrite::Keep(failures) => {
            let hex = |digest: &[u8]| -> String {
                digest.iter().map(|byte| format!("{byte:02x}")).collect()
            };
            let rows = failures.iter().map(|kept| {
                json!({
                    "account": hex(&kept.account),
                    "failures": kept.failures,
                    "expires_at": kept.expires_at.millis(),
                })
            });
            let rows = json!(rows.collect::<Vec<_>>()).to_string();
            db.query(sql::KEEP_FAILURES).bind(rows).execute().await?;
            Ok(Done::Yes)
        }
        LimitWrite::DropFailures(until) => {
            let query = db.query(sql::DROP_FAILURES).bind(until.millis());
            let dropped = query.bind(FORGET_AT_ONCE).execute().await?;
            Ok(Done::Forgotten(dropped))
        }
    }
}

#[derive(Debug)]
pub(super) struct Limits(Readers);

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
    pub(super) fn postgres(options: &PgConnectOptions) -> Self {
        Self(Readers::Postgres(postgres::pool(options, CONNECTIONS)))
    }

    pub(super) fn sqlite(options: SqliteConnectOptions) -> Self {
        Self(Readers::Sqlite(sqlite::lookups(options, CONNECTIONS)))
    }

    /// Whether nodes count together here.
    pub(super) const fn are_shared(&self) -> bool {
        matches!(self, Self(Readers::Postgres(_)))
    }

    async fn ask<T>(
        &self,
        doing: &'static str,
        work: impl Future<Output = sqlx::Result<T>>,
    ) -> Result<T, StoreError> {
        let Self(readers) = self;
        let work = async { work.await.map_err(Cause::from) };
        let done = within_limit(readers.limit(), work).await;
        done.map_err(|cause| StoreError::new(doing, cause))
    }

    async fn knows(&self, at: &Whereabouts) -> sqlx::Result<bool> {
        let Self(readers) = self;
        let (account, network) = (at.account.to_vec(), at.network.to_vec());
        let known = readers.optional(sql::KNOWN_NETWORK, |query| {
            query.bind(account).bind(network)
        });
        Ok(known.await?.is_some())
    }

    async fn note(&self, at: &Whereabouts) -> sqlx::Result<()> {
        let Self(readers) = self;
        let mut reader = readers.reader().await?;
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

    /// Each is committed by itself: nobody waits for another's row with one of their own in hand.
    async fn count_all(&self, all: &[Counted]) -> sqlx::Result<Option<TooMany>> {
        let Self(readers) = self;
        let mut reader = readers.reader().await?;
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

    /// Gives one back of each. What failed before it is forgotten as well if it succeeded.
    async fn give_back_all(&self, all: &[Counted], succeeded: bool) -> sqlx::Result<()> {
        let Self(readers) = self;
        let mut reader = readers.reader().await?;
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

    /// Drops what is that much older than it must be, a few rows at a time.
    async fn forget(&self, statement: &'static str, older: Duration) -> sqlx::Result<()> {
        let Self(readers) = self;
        loop {
            let mut reader = readers.reader().await?;
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

/// How long until one can be counted, if none can now.
async fn count_login(db: &mut Db<'_>, key: &[u8], rate: Rate) -> sqlx::Result<Option<Duration>> {
    let ahead = rate.period().saturating_mul(rate.burst.get() - 1);
    let query = db.query(sql::COUNT_LOGIN).bind(key.to_vec());
    let query = query.bind(nanos(rate.period())).bind(nanos(ahead));
    if query.optional().await?.is_some() {
        return Ok(None);
    }
    let query = db.query(sql::WAIT_FOR_LOGIN).bind(key.to_vec());
    let row = query.bind(nanos(ahead)).optional().await?;
    // One that was over just then is dropped.
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
    // One that was forgiven just then is no reason to wait.
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

#[async_trait]
impl KnownNetworks for SqlStore {
    async fn knows(&self, at: &Whereabouts) -> Result<bool, StoreError> {
        let doing = "look up where a user logs in from";
        self.limits.ask(doing, self.limits.knows(at)).await
    }

    async fn remember(&self, at: &Whereabouts, now: Timestamp) -> Result<(), StoreError> {
        if self.limits.are_shared() {
            let doing = "note where a user logs in from";
            return self.limits.ask(doing, self.limits.note(at)).await;
        }
        let note = Change::Limit(LimitWrite::Note(*at, now));
        self.write(note).await.map(drop)
    }

    async fn forget_networks(&self, now: Timestamp) -> Result<(), StoreError> {
        let doing = "drop where users do not log in from any more";
        if self.limits.are_shared() {
            let forget = self.limits.forget(sql::FORGET_NETWORKS, REMEMBERED);
            return self.limits.ask(doing, forget).await;
        }
        let until = now.minus(REMEMBERED);
        self.drop_old(sql::OLD_NETWORK, until, LimitWrite::DropNetworks)
            .await
    }
}

impl SqlStore {
    /// Drops rows that are as old as `until`, a few in each write, as long as `oldest` finds one. A write costs a sync
    /// to disk, and there is nearly always nothing to drop.
    async fn drop_old(
        &self,
        oldest: &'static str,
        until: Timestamp,
        drop_some: fn(Timestamp) -> LimitWrite,
    ) -> Result<(), StoreError> {
        let Limits(readers) = &self.limits;
        loop {
            let old = readers.optional(oldest, |query| query.bind(until.millis()));
            let old = self.limits.ask("look for expired login limits", old);
            if old.await?.is_none() {
                return Ok(());
            }
            self.write(Change::Limit(drop_some(until))).await?;
        }
    }
}

#[async_trait]
impl KeptLimits for SqlStore {
    async fn kept(&self) -> Result<Vec<KeptFailures>, StoreError> {
        let Limits(readers) = &self.limits;
        let kept = async {
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
        let keep = Change::Limit(LimitWrite::Keep(changed));
        self.write(keep).await.map(drop)
    }

    async fn drop_expired(&self, now: Timestamp) -> Result<(), StoreError> {
        self.drop_old(sql::EXPIRED_FAILURE, now, LimitWrite::DropFailures)
            .await
    }
}
