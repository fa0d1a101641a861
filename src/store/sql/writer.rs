//! The one task that writes. It puts the commands of many callers into one transaction, so that they share one fsync.

use serde_json::json;
use tokio::sync::mpsc;

use super::advice::BoxedError;
use super::command::{Command, Effect, Job, Transaction, job};
use super::engine::{Connection, Db};
use super::head::{self, HeadRow};
use super::marking::{self, Marking};
use super::server::Server;
use super::skew::Skew;
use super::statements as sql;
use super::time_limit::within_limit;
use crate::meters;
use crate::report::report;
use crate::revocation::log::{Entry, StoreError};
use crate::store::mark::MarkFile;

/// The maximum number of commands in one transaction, and of commands that wait.
const BATCH: usize = 256;
const WAITING: usize = 4 * BATCH;

const BEGIN: (&str, &str) = ("BEGIN IMMEDIATE", "BEGIN");

#[derive(Debug)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Box<dyn Job>>,
}

/// The writer's task.
#[derive(Debug)]
struct Writing {
    server: Server,
    connection: Option<Connection>,
    mark: MarkFile,
    /// `true` if the last attempt to move the mark failed.
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
        Self { jobs: sender }
    }

    /// Queues a command. Returns once the command is on disk, or certainly will not be written.
    pub(super) async fn write<C: Command>(&self, command: C) -> Result<C::Reply, StoreError> {
        let gone = || StoreError::new("write", "the writer has stopped");
        let (job, reply) = job(command);
        self.jobs.send(job).await.map_err(|_| gone())?;
        reply.await.map_err(|_| gone())?
    }
}

impl Writing {
    async fn run(mut self, mut jobs: mpsc::Receiver<Box<dyn Job>>) {
        let mut batch = Vec::with_capacity(BATCH);
        while jobs.recv_many(&mut batch, BATCH).await > 0 {
            let failed = self.try_commit(&mut batch).await.err();
            let failed = failed.map(|cause| StoreError::new("write", cause));
            for job in batch.drain(..) {
                job.reply(failed.as_ref());
            }
        }
        if let Some(connection) = self.connection
            && let Err(cause) = connection.close().await
        {
            tracing::warn!(cause = %report(&cause), "the database was not closed cleanly");
        }
    }

    /// Commits a batch. A failure leaves the connection in an unknown state: SQLite rolls a transaction back when the
    /// disk is full, and sqlx does not notice. So the next batch gets a new connection.
    async fn try_commit(&mut self, batch: &mut [Box<dyn Job>]) -> Result<(), BoxedError> {
        let limit = self.server.limit();
        let commit = async {
            let kept = self.connection.take();
            let mut connection = self.server.begin(kept, BEGIN).await?;
            let done = self.commit(&mut connection.db(), batch).await?;
            Ok::<_, BoxedError>((connection, done))
        };
        let (connection, (head, marking)) = within_limit(limit, commit).await?;
        self.connection = Some(connection);
        for Entry { revocation, .. } in &head.appended {
            let (scope, reason) = (revocation.target.kind(), revocation.reason);
            meters::revocations_written(scope.name(), reason.name()).increment(1);
        }
        // A disk that hangs must not stop the writer for ever.
        let followed = within_limit(limit, marking.follow(&self.mark, &head.head)).await;
        self.stuck = followed.is_err();
        followed
    }

    /// Runs the batch in a transaction that has begun.
    async fn commit(
        &self,
        db: &mut Db<'_>,
        batch: &mut [Box<dyn Job>],
    ) -> Result<(HeadRow, Marking), BoxedError> {
        let asked = self.skew.as_ref().map(Skew::now);
        let before = head::locked_head(db).await?;
        if let (Some(skew), Some(asked), Some(server)) = (&self.skew, asked, before.server_time) {
            skew.check(asked, server)?;
        }
        for job in batch.iter() {
            if let Effect::Follow(read) = job.kind()
                && !marking::goes_on(db, read, &before.head).await?
            {
                let why = "the revocation log does not go on from what this node has read of it";
                return Err(why.into());
            }
        }
        let mut kinds = batch.iter().map(|job| job.kind());
        let marking = if kinds.any(|kind| matches!(kind, Effect::EndFormer)) {
            Marking::anew()
        } else {
            Marking::after(&self.mark, db, &before.head, self.stuck).await?
        };
        let mut head = before.clone();
        for job in batch.iter_mut() {
            let mut transaction = Transaction {
                db: &mut *db,
                head: &mut head,
                marking: &marking,
            };
            job.write(&mut transaction).await?;
        }
        forget_ended(db, batch).await?;
        head::write_appended(db, &head).await?;
        head::set_head(db, &head).await?;
        marking.note(db, &head.head).await?;
        if db.is_shared() && head.head != before.head {
            db.query(sql::RING).execute().await?;
        }
        db.query("COMMIT").execute().await?;
        Ok((head, marking))
    }
}

/// Removes the sessions that the batch ended from the inventory, in one statement instead of one per logout.
async fn forget_ended(db: &mut Db<'_>, batch: &[Box<dyn Job>]) -> sqlx::Result<()> {
    let ended = batch.iter().filter_map(|job| match job.kind() {
        Effect::EndSession(lineage) => Some(lineage.to_string()),
        Effect::Follow(_) | Effect::EndFormer | Effect::Other => None,
    });
    let ended: Vec<_> = ended.collect();
    if !ended.is_empty() {
        db.query_of(sql::FORGET_SESSIONS, sql::FORGET_SESSIONS_AT_SERVER)
            .bind(json!(ended).to_string())
            .execute()
            .await?;
    }
    Ok(())
}
