//! What is written: by one task, many callers' changes to one transaction, so that they share one fsync.

use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use super::client::{self, ClientWrite};
use super::marking::{Cause, Marking};
use super::reader::{self, HeadRow};
use super::{session, sql};
use crate::account::password::PasswordHash;
use crate::account::{BeginSession, User, UserChange};
use crate::id::{Lineage, UserId};
use crate::inventory::{Renew, Renewed};
use crate::meters;
use crate::revocation::log::{Cursor, Revoke, StoreError};
use crate::revocation::{
    ALL, Reason, Revocation, Target, cut_off_expiry, session_revocation_expiry,
};
use crate::store::mark::MarkFile;
use crate::time::Timestamp;

/// How many changes share a transaction at most, and how many wait.
const BATCH: usize = 256;
const WAITING: usize = 4 * BATCH;

#[derive(Debug)]
pub(super) enum Change {
    Revoke(Revoke, Reason, Timestamp),
    /// (`seq`, `expires_at`) of rows that expired.
    Compact(Vec<(i64, i64)>),
    RaiseHorizon(Timestamp),
    /// From then on.
    Leeway(Duration, Timestamp),
    AddUser(User, PasswordHash),
    User(UserId, UserChange, Timestamp),
    EnableUser(UserId),
    BeginSession(BeginSession),
    Renew(Renew),
    /// Sessions that ended at or before then.
    Forget(Timestamp),
    UpgradeHash(UserId, PasswordHash, PasswordHash),
    Client(ClientWrite),
    /// An older copy was put back, or the log is new: ends everything, past a newest lineage and a horizon
    /// that this log does not know.
    EndFormer {
        newest_lineage: Timestamp,
        horizon: Timestamp,
        at: Timestamp,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    Yes,
    No,
    Revoked(i64),
    Renewed(Renewed),
    Forgotten(u64),
}

impl Done {
    pub(super) const fn of(done: bool) -> Self {
        if done { Self::Yes } else { Self::No }
    }

    pub(super) fn yes_or_no(self) -> Result<bool, StoreError> {
        match self {
            Self::Yes => Ok(true),
            Self::No => Ok(false),
            Self::Revoked(_) | Self::Renewed(_) | Self::Forgotten(_) => Err(self.unexpected()),
        }
    }

    pub(super) fn unexpected(self) -> StoreError {
        let cause = format!("an answer that does not fit the question: {self:?}");
        StoreError::new("write", cause)
    }
}

#[derive(Debug)]
struct Job {
    change: Change,
    reply: oneshot::Sender<Result<Done, StoreError>>,
}

#[derive(Debug)]
pub(super) struct Writer(mpsc::Sender<Job>);

impl Writer {
    pub(super) fn start(
        connection: SqliteConnection,
        options: SqliteConnectOptions,
        mark: MarkFile,
    ) -> Self {
        let (sender, jobs) = mpsc::channel(WAITING);
        tokio::spawn(run(connection, options, mark, jobs));
        Self(sender)
    }

    /// Answers once the change is on disk, or surely not asked for again.
    pub(super) async fn write(&self, change: Change) -> Result<Done, StoreError> {
        let gone = || StoreError::new("write", "the writer has stopped");
        let (reply, answer) = oneshot::channel();
        self.0
            .send(Job { change, reply })
            .await
            .map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

async fn run(
    connection: SqliteConnection,
    options: SqliteConnectOptions,
    mark: MarkFile,
    mut jobs: mpsc::Receiver<Job>,
) {
    let mut connection = Some(connection);
    let mut batch = Vec::with_capacity(BATCH);
    while jobs.recv_many(&mut batch, BATCH).await > 0 {
        match try_commit(&mut connection, &options, &mark, &batch).await {
            Ok(done) => {
                for (job, done) in batch.drain(..).zip(done) {
                    // A caller that went away has nothing to hear.
                    let _ = job.reply.send(Ok(done));
                }
            }
            Err(cause) => {
                let cause = cause.to_string();
                for job in batch.drain(..) {
                    let _ = job.reply.send(Err(StoreError::new("write", cause.clone())));
                }
            }
        }
    }
    if let Some(connection) = connection
        && let Err(cause) = connection.close().await
    {
        tracing::warn!(%cause, "the database was not closed cleanly");
    }
}

/// After a failure nobody knows what state the connection is in (SQLite ends a transaction by itself
/// when the disk is full, and sqlx does not learn of it): the next batch gets a new one.
async fn try_commit(
    slot: &mut Option<SqliteConnection>,
    options: &SqliteConnectOptions,
    mark: &MarkFile,
    batch: &[Job],
) -> Result<Vec<Done>, Cause> {
    let mut connection = match slot.take() {
        Some(connection) => connection,
        None => options.connect().await?,
    };
    let done = commit(&mut connection, mark, batch).await;
    if done.is_ok() {
        *slot = Some(connection);
    }
    done
}

async fn commit(
    connection: &mut SqliteConnection,
    mark: &MarkFile,
    batch: &[Job],
) -> Result<Vec<Done>, Cause> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let before = reader::head(&mut transaction).await?;
    let ends_former = |job: &Job| matches!(job.change, Change::EndFormer { .. });
    let marking = if batch.iter().any(ends_former) {
        Marking::anew()
    } else {
        Marking::after(mark, &mut transaction, &before.head).await?
    };
    let mut head = before.clone();
    let mut done = Vec::with_capacity(batch.len());
    for job in batch {
        // Whoever does not hear of a renewal any more must not be taken for a thief later.
        let renews = matches!(job.change, Change::Renew(_));
        let unheard = renews && (job.reply.is_closed() || marking.is_stuck());
        done.push(if unheard {
            Done::Renewed(Renewed::Unknown)
        } else {
            apply(&mut transaction, &mut head, &job.change, &marking).await?
        });
    }
    forget_ended(&mut transaction, batch).await?;
    set_head(&mut transaction, &head).await?;
    transaction.commit().await?;
    for (scope, reason) in head.appended {
        meters::revocations_written(scope.name(), reason.name()).increment(1);
    }
    marking.follow(mark, &head.head).await?;
    Ok(done)
}

/// The sessions that the batch ended leave the inventory together: one statement, and not one a logout.
async fn forget_ended(connection: &mut SqliteConnection, batch: &[Job]) -> sqlx::Result<()> {
    let ended = batch.iter().filter_map(|job| match &job.change {
        Change::Revoke(Revoke::Session(lineage, _), ..) => Some(lineage.to_string()),
        _ => None,
    });
    let ended: Vec<_> = ended.collect();
    if !ended.is_empty() {
        sqlx::query(sql::FORGET_SESSIONS)
            .bind(serde_json::json!(ended).to_string())
            .execute(connection)
            .await?;
    }
    Ok(())
}

async fn set_head(connection: &mut SqliteConnection, row: &HeadRow) -> sqlx::Result<()> {
    sqlx::query(sql::SET_HEAD)
        .bind(row.head.cursor.seq)
        .bind(row.head.cursor.hash.as_slice())
        .bind(row.head.compacted)
        .bind(row.head.horizon.millis())
        .bind(row.head.newest_lineage.millis())
        .bind(row.everything_from)
        .bind(row.everything_version)
        .execute(connection)
        .await?;
    Ok(())
}

async fn apply(
    connection: &mut SqliteConnection,
    head: &mut HeadRow,
    change: &Change,
    marking: &Marking,
) -> sqlx::Result<Done> {
    match change {
        Change::Revoke(what, reason, at) => revoke(connection, head, what, *reason, *at).await,
        Change::EndFormer {
            newest_lineage,
            horizon,
            at,
        } => {
            head.head.newest_lineage = head.head.newest_lineage.max(*newest_lineage);
            head.head.horizon = head.head.horizon.max(*horizon);
            revoke(connection, head, &Revoke::Everything, Reason::LogLost, *at).await
        }
        Change::Compact(rows) => compact(connection, head, rows, marking).await,
        Change::RaiseHorizon(horizon) => {
            head.head.horizon = head.head.horizon.max(*horizon);
            Ok(Done::Yes)
        }
        Change::Leeway(leeway, at) => change_leeway(connection, head, *leeway, *at).await,
        Change::AddUser(user, password) => {
            let added = sqlx::query(sql::ADD_USER)
                .bind(user.id.to_string())
                .bind(user.username.as_str())
                .bind(password.as_str())
                .bind(user.created_at.millis())
                .execute(connection)
                .await?;
            Ok(Done::of(added.rows_affected() == 1))
        }
        Change::User(user, change, at) => change_user(connection, head, *user, change, *at).await,
        Change::EnableUser(user) => {
            let enabled = sqlx::query(sql::ENABLE_USER)
                .bind(user.to_string())
                .execute(connection)
                .await?;
            Ok(Done::of(enabled.rows_affected() == 1))
        }
        Change::BeginSession(begin) => session::begin(connection, head, begin).await,
        Change::Renew(renew) => session::renew(connection, head, renew).await,
        Change::Forget(until) => session::forget(connection, *until).await,
        Change::Client(write) => client::write(connection, head, write).await,
        Change::UpgradeHash(user, old, new) => {
            let query = sqlx::query(sql::UPGRADE_HASH).bind(user.to_string());
            query
                .bind(old.as_str())
                .bind(new.as_str())
                .execute(connection)
                .await?;
            Ok(Done::Yes)
        }
    }
}

/// The next entry: its `seq` and hash follow from the head, in the transaction that moves the head.
pub(super) async fn append(
    connection: &mut SqliteConnection,
    head: &mut HeadRow,
    mut revocation: Revocation,
) -> sqlx::Result<Done> {
    revocation.seq = head.head.cursor.seq + 1;
    let hash = revocation.chain(&head.head.cursor.hash);
    sqlx::query(sql::APPEND)
        .bind(revocation.seq)
        .bind(revocation.target.scope().name())
        .bind(revocation.target.key())
        .bind(revocation.from)
        .bind(revocation.spared.map(|lineage| lineage.to_string()))
        .bind(revocation.expires_at.millis())
        .bind(revocation.reason.name())
        .bind(revocation.at.millis())
        .bind(hash.as_slice())
        .bind(revocation.grace_until.map(Timestamp::millis))
        .execute(connection)
        .await?;
    head.head.cursor = Cursor {
        seq: revocation.seq,
        hash,
    };
    let written = (revocation.target.scope(), revocation.reason);
    head.appended.push(written);
    Ok(Done::Revoked(revocation.seq))
}

async fn revoke(
    connection: &mut SqliteConnection,
    head: &mut HeadRow,
    what: &Revoke,
    reason: Reason,
    at: Timestamp,
) -> sqlx::Result<Done> {
    let (target, from, expires_at) = match what {
        Revoke::Session(lineage, expires_at) => {
            // A lineage may be ahead of the clock, and the horizon that takes the entry's place must
            // be past it.
            let expires_at = session_revocation_expiry(lineage.created_at()).max(*expires_at);
            (Target::Session(*lineage), ALL, expires_at)
        }
        Revoke::Token(token, expires_at) => (Target::Token(*token), ALL, *expires_at),
        Revoke::Key(kid) => (Target::Key(kid.clone()), ALL, Timestamp::NEVER),
        Revoke::Everything => {
            let from = cut_off(at, head.head.newest_lineage.millis(), head.everything_from);
            head.everything_from = from;
            head.everything_version += 1;
            sqlx::query(sql::FORGET_ALL)
                .execute(&mut *connection)
                .await?;
            (Target::Everything, from, cut_off_expiry(at, from))
        }
        Revoke::User(user) => {
            let from = cut_off(at, head.head.newest_lineage.millis(), 0);
            (Target::User(*user), from, cut_off_expiry(at, from))
        }
    };
    append(
        connection,
        head,
        Revocation {
            seq: 0,
            target,
            from,
            grace_until: None,
            spared: None,
            expires_at,
            reason,
            at,
        },
    )
    .await
}

/// The first lineage time that is good after a cut-off at `at`: past now, and past every lineage
/// that was issued, also by a clock that was ahead.
pub(super) fn cut_off(at: Timestamp, newest_lineage: i64, from: i64) -> i64 {
    at.millis().max(newest_lineage).saturating_add(1).max(from)
}

/// What had expired by the smaller leeway does not come back by the larger one.
async fn change_leeway(
    connection: &mut SqliteConnection,
    head: &mut HeadRow,
    leeway: Duration,
    at: Timestamp,
) -> sqlx::Result<Done> {
    let before: i64 = sqlx::query_scalar(sql::LEEWAY)
        .fetch_one(&mut *connection)
        .await?;
    let leeway = i64::try_from(leeway.as_millis()).unwrap_or(i64::MAX);
    if leeway > before {
        let expired = Timestamp::from_millis(at.millis().saturating_sub(before));
        head.head.horizon = head.head.horizon.max(expired);
    }
    sqlx::query(sql::SET_LEEWAY)
        .bind(leeway)
        .execute(connection)
        .await?;
    Ok(Done::Yes)
}

async fn compact(
    connection: &mut SqliteConnection,
    head: &mut HeadRow,
    rows: &[(i64, i64)],
    marking: &Marking,
) -> sqlx::Result<Done> {
    let mut dropped = 0;
    // What comes after the mark stays: it proves that the log goes on from there.
    for (seq, expires_at) in rows.iter().filter(|(seq, _)| marking.has(*seq)) {
        sqlx::query(sql::DROP)
            .bind(*seq)
            .execute(&mut *connection)
            .await?;
        head.head.compacted = head.head.compacted.max(*seq);
        head.head.horizon = head.head.horizon.max(Timestamp::from_millis(*expires_at));
        dropped += 1;
    }
    Ok(Done::Forgotten(dropped))
}

/// `enabled`, `version`, `newest_lineage`, `from`, `spared`.
pub(super) type SessionUser = (bool, i64, i64, i64, Option<String>);

async fn change_user(
    connection: &mut SqliteConnection,
    head: &mut HeadRow,
    user: UserId,
    change: &UserChange,
    at: Timestamp,
) -> sqlx::Result<Done> {
    let id = user.to_string();
    let known: Option<SessionUser> = sqlx::query_as(sql::SESSION_USER)
        .bind(&id)
        .fetch_optional(&mut *connection)
        .await?;
    let Some((_, version, newest_lineage, before, already_spared)) = known else {
        return Ok(Done::No);
    };
    let spared: Option<Lineage> = match change {
        UserChange::EndSessions { spared, .. } => *spared,
        UserChange::OwnPassword { version: read, .. } if *read != version => return Ok(Done::No),
        UserChange::OwnPassword { spared, .. } => Some(*spared),
        UserChange::Password(_) | UserChange::Disable | UserChange::Delete => None,
    };
    let spares = spared.map(|lineage| lineage.to_string());
    // "All others" again, and none was begun since: one session cannot grow the log for ever. Logins
    // under way lose all the same.
    let again = matches!(change, UserChange::EndSessions { .. })
        && spares.is_some()
        && spares == already_spared
        && newest_lineage < before;
    let from = if again {
        before
    } else {
        cut_off(at, newest_lineage, before)
    };
    sqlx::query(sql::CUT_OFF_USER)
        .bind(&id)
        .bind(from)
        .bind(&spares)
        .execute(&mut *connection)
        .await?;
    if again {
        return Ok(Done::Revoked(head.head.cursor.seq));
    }
    sqlx::query(sql::FORGET_OTHERS)
        .bind(&id)
        .bind(spares.unwrap_or_default())
        .execute(&mut *connection)
        .await?;
    let reason = match change {
        UserChange::Password(hash) | UserChange::OwnPassword { hash, .. } => {
            sqlx::query(sql::SET_PASSWORD)
                .bind(&id)
                .bind(hash.as_str())
                .execute(&mut *connection)
                .await?;
            Reason::PasswordChanged
        }
        UserChange::Disable => {
            sqlx::query(sql::DISABLE_USER)
                .bind(&id)
                .execute(&mut *connection)
                .await?;
            Reason::Disabled
        }
        UserChange::Delete => {
            sqlx::query(sql::DELETE_USER)
                .bind(&id)
                .execute(&mut *connection)
                .await?;
            Reason::Deleted
        }
        UserChange::EndSessions { reason, .. } => *reason,
    };
    let expires_at = cut_off_expiry(at, from);
    let revocation = Revocation {
        seq: 0,
        target: Target::User(user),
        from,
        grace_until: None,
        spared,
        expires_at,
        reason,
        at,
    };
    append(connection, head, revocation).await
}
