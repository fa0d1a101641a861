//! What is written: by one task, many callers' changes to one transaction, so that they share one fsync.

use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use tokio::sync::{mpsc, oneshot};

use super::change::{apply, write_appended};
use super::client::ClientWrite;
use super::engine::{Connection, Db};
use super::limits::LimitWrite;
use super::marking::{self, Cause, Marking};
use super::reader::{self, HeadRow};
use super::skew::Skew;
use super::{PostgresUrl, postgres, statements as sql, within_limit};
use crate::account::password::PasswordHash;
use crate::account::{BeginSession, OwnPassword, OwnPasswordChange, User, UserChange};
use crate::id::UserId;
use crate::inventory::{Renew, Renewed};
use crate::meters;
use crate::revocation::Reason;
use crate::revocation::log::{Cursor, Entry, Revoke, StoreError};
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
    /// Nothing, but that the mark follows: in a log that goes on from what was read of it.
    Follow(Cursor),
    AddUser(User, PasswordHash),
    User(UserId, UserChange, Timestamp),
    OwnPassword(OwnPassword),
    EnableUser(UserId),
    BeginSession(BeginSession),
    Renew(Renew),
    /// Sessions that ended at or before then.
    Forget(Timestamp),
    UpgradeHash(UserId, PasswordHash, PasswordHash),
    Client(ClientWrite),
    Limit(LimitWrite),
    /// Ends everything from before if the log is empty and no service has begun it with these keys, where there
    /// were keys before it.
    BeginLog {
        had_keys: bool,
        keys: i64,
        at: Timestamp,
    },
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
    OwnPassword(OwnPasswordChange),
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
            Self::Revoked(_) | Self::Renewed(_) | Self::OwnPassword(_) | Self::Forgotten(_) => {
                Err(self.unexpected())
            }
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

/// What a writer writes to.
#[derive(Clone, Debug)]
pub(super) enum Server {
    Sqlite(Box<SqliteConnectOptions>),
    Postgres(PostgresUrl),
}

const BEGIN: (&str, &str) = ("BEGIN IMMEDIATE", "BEGIN");

impl Server {
    /// A connection on which a first statement was done, of each engine its own: the one that was kept, or, if
    /// the server has gone away meanwhile, another one. What that statement does may be done twice.
    pub(super) async fn begin(
        &self,
        kept: Option<Connection>,
        (sqlite, postgres): (&'static str, &'static str),
    ) -> sqlx::Result<Connection> {
        if let Some(mut kept) = kept
            && kept.db().query_of(sqlite, postgres).execute().await.is_ok()
        {
            return Ok(kept);
        }
        let mut connection = self.connect().await?;
        connection.db().query_of(sqlite, postgres).execute().await?;
        Ok(connection)
    }

    /// Within which time it must have answered.
    pub(super) const fn limit(&self) -> Option<Duration> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgres(_) => Some(postgres::LIMIT),
        }
    }

    async fn connect(&self) -> sqlx::Result<Connection> {
        Ok(match self {
            Self::Sqlite(options) => Connection::Sqlite(options.connect().await?),
            Self::Postgres(url) => {
                let mut connection = postgres::connect(url.options()).await?;
                // After a fail-over it is another server.
                let checked = postgres::check(&mut connection).await;
                checked.map_err(|cause| sqlx::Error::Configuration(cause.into()))?;
                Connection::Postgres(connection)
            }
        })
    }
}

#[derive(Debug)]
pub(super) struct Writer(mpsc::Sender<Job>);

/// The writer's task.
#[derive(Debug)]
struct Writing {
    server: Server,
    connection: Option<Connection>,
    mark: MarkFile,
    /// The mark could not be moved last time.
    stuck: bool,
    skew: Option<Skew>,
}

impl Writer {
    pub(super) fn start(
        connection: Connection,
        server: Server,
        mark: MarkFile,
        skew: Option<Skew>,
    ) -> Self {
        let (sender, jobs) = mpsc::channel(WAITING);
        let writing = Writing {
            server,
            connection: Some(connection),
            mark,
            stuck: false,
            skew,
        };
        tokio::spawn(writing.run(jobs));
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

impl Writing {
    async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut batch = Vec::with_capacity(BATCH);
        while jobs.recv_many(&mut batch, BATCH).await > 0 {
            match self.try_commit(&batch).await {
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
        if let Some(connection) = self.connection
            && let Err(cause) = connection.close().await
        {
            tracing::warn!(%cause, "the database was not closed cleanly");
        }
    }

    /// After a failure nobody knows what state the connection is in (SQLite ends a transaction by itself
    /// when the disk is full, and sqlx does not learn of it): the next batch gets a new one.
    async fn try_commit(&mut self, batch: &[Job]) -> Result<Vec<Done>, Cause> {
        let limit = self.server.limit();
        let commit = async {
            let kept = self.connection.take();
            let mut connection = self.server.begin(kept, BEGIN).await?;
            let done = self.commit(&mut connection.db(), batch).await?;
            Ok::<_, Cause>((connection, done))
        };
        let (connection, (done, head, marking)) = within_limit(limit, commit).await?;
        self.connection = Some(connection);
        for Entry { revocation, .. } in &head.appended {
            let (scope, reason) = (revocation.target.scope(), revocation.reason);
            meters::revocations_written(scope.name(), reason.name()).increment(1);
        }
        // A disk that hangs must not stop the writer for ever.
        let followed = within_limit(limit, marking.follow(&self.mark, &head.head)).await;
        self.stuck = followed.is_err();
        followed.map(|()| done)
    }

    /// In a transaction that has begun.
    async fn commit(
        &self,
        db: &mut Db<'_>,
        batch: &[Job],
    ) -> Result<(Vec<Done>, HeadRow, Marking), Cause> {
        let asked = self.skew.as_ref().map(Skew::now);
        let before = reader::locked_head(db).await?;
        if let (Some(skew), Some(asked), Some(server)) = (&self.skew, asked, before.server_time) {
            skew.check(asked, server)?;
        }
        for job in batch {
            if let Change::Follow(read) = &job.change
                && !marking::goes_on(db, read, &before.head).await?
            {
                let why = "the revocation log does not go on from what this node has read of it";
                return Err(why.into());
            }
        }
        let ends_former = |job: &Job| matches!(job.change, Change::EndFormer { .. });
        let marking = if batch.iter().any(ends_former) {
            Marking::anew()
        } else {
            Marking::after(&self.mark, db, &before.head, self.stuck).await?
        };
        let mut head = before.clone();
        let mut done = Vec::with_capacity(batch.len());
        for job in batch {
            // A caller who gets no answer keeps the token that it has: it must not end here.
            let unheard = job.reply.is_closed() || marking.is_stuck();
            done.push(match &job.change {
                Change::Renew(_) if unheard => Done::Renewed(Renewed::Unknown),
                Change::OwnPassword(_) if unheard => Done::OwnPassword(OwnPasswordChange::Lost),
                change => apply(db, &mut head, change, &marking).await?,
            });
        }
        forget_ended(db, batch).await?;
        write_appended(db, &head).await?;
        set_head(db, &head).await?;
        marking.note(db, &head.head).await?;
        if db.is_postgres() && head.head != before.head {
            db.query(sql::RING).execute().await?;
        }
        db.query("COMMIT").execute().await?;
        Ok((done, head, marking))
    }
}

/// The sessions that the batch ended leave the inventory together: one statement, and not one a logout.
async fn forget_ended(db: &mut Db<'_>, batch: &[Job]) -> sqlx::Result<()> {
    let ended = batch.iter().filter_map(|job| match &job.change {
        Change::Revoke(Revoke::Session(lineage, _), ..) => Some(lineage.to_string()),
        _ => None,
    });
    let ended: Vec<_> = ended.collect();
    if !ended.is_empty() {
        db.query_of(sql::FORGET_SESSIONS, sql::FORGET_SESSIONS_AT_SERVER)
            .bind(serde_json::json!(ended).to_string())
            .execute()
            .await?;
    }
    Ok(())
}

pub(super) async fn set_head(db: &mut Db<'_>, row: &HeadRow) -> sqlx::Result<()> {
    db.query(sql::SET_HEAD)
        .bind(row.head.cursor.seq)
        .bind(row.head.cursor.hash.as_slice())
        .bind(row.head.compacted)
        .bind(row.head.horizon.millis())
        .bind(row.head.newest_lineage.millis())
        .bind(row.everything_from)
        .bind(row.everything_version)
        .execute()
        .await?;
    Ok(())
}
