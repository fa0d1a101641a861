//! Moves a SQLite database to PostgreSQL in one transaction, all of it or nothing.

use std::path::Path;
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;

use super::address::PostgresUrl;
use super::advice::BoxedError;
use super::engine::{Column, Db, Value};
use super::head::{self, HeadRow, set_head};
use super::marking::{self, Continuation};
use super::migration::not_migrated;
use super::reader::page_in;
use super::time_limit::within_limit;
use super::{moving_statements as sql, postgres, sqlite, statements};
use crate::revocation::log::Cursor;
use crate::revocation::log::{Head, StoreError};
use crate::revocation::reading::Reading;
use crate::store::mark::Mark;

/// The time limit for one step, such as one page.
const STEP: Duration = Duration::from_secs(60);

/// The number of rows that one statement copies or compares.
const PAGE: i64 = 2000;
/// The page size for clients, which is smaller because each may have a set of keys.
const CLIENTS_AT_ONCE: i64 = 64;

/// The numbers of rows in the tables that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowCounts {
    /// The number of entries in the log.
    pub revocations: i64,
    /// The number of users.
    pub users: i64,
    /// The number of sessions in the inventory.
    pub sessions: i64,
    /// The number of clients.
    pub clients: i64,
    /// The number of assertions that were presented.
    pub assertions: i64,
}

/// A summary of a database that is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The `seq` of the log's newest entry.
    pub seq: i64,
    /// The numbers of rows.
    pub counts: RowCounts,
}

/// A failure to move a database.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MoveError {
    /// The destination is not empty.
    #[error("it is not empty: it has {0}")]
    NotEmpty(String),
    /// One of the two engines failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A SQLite database that is locked against other writers.
#[derive(Debug)]
pub struct Moving {
    source: SqliteConnection,
}

async fn step<T>(
    doing: &'static str,
    work: impl Future<Output = sqlx::Result<T>>,
) -> Result<T, StoreError> {
    let work = async { work.await.map_err(BoxedError::from) };
    let done = within_limit(Some(STEP), work).await;
    done.map_err(|cause| StoreError::new(doing, cause))
}

impl Moving {
    /// Opens the file, brings its schema up to date, and locks out every other writer.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be opened, migrated or locked.
    pub async fn begin(path: &Path) -> Result<Self, StoreError> {
        let mut source = sqlite::connect(&sqlite::options(path)).await?;
        let migrated = sqlite::migrations().run(&mut source).await;
        migrated.map_err(not_migrated)?;
        let mut db = Db::Sqlite(&mut source);
        step("lock the database", db.query("BEGIN IMMEDIATE").execute()).await?;
        Ok(Self { source })
    }

    /// Returns `true` if the database has already moved.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub async fn has_moved(&mut self) -> Result<bool, StoreError> {
        let mut db = Db::Sqlite(&mut self.source);
        let row = step("look at the database", db.query(sql::IS_CLOSED).optional());
        Ok(row.await?.is_some())
    }

    /// Returns the log's head, and whether the log continues from that mark.
    ///
    /// # Errors
    /// [`StoreError`] if the log cannot be read.
    pub async fn compare(
        &mut self,
        mark: Option<&Mark>,
    ) -> Result<(Head, Continuation), StoreError> {
        let mut db = Db::Sqlite(&mut self.source);
        let compared = marking::compare(&mut db, mark);
        step("compare the revocation log with the mark", compared).await
    }

    /// Counts what there is to move.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub async fn all(&mut self) -> Result<Moved, StoreError> {
        let mut db = Db::Sqlite(&mut self.source);
        step("look at the database", all(&mut db)).await
    }

    /// Copies everything into the database at `url`, which must be empty or already be this copy. Records the position
    /// of `mark` there.
    ///
    /// # Errors
    /// [`MoveError`]; nothing was copied, unless the commit failed: then its outcome is unknown.
    pub async fn copy_to(
        &mut self,
        url: &PostgresUrl,
        mark: Option<&Mark>,
    ) -> Result<(), MoveError> {
        let mut connection = postgres::connect_first(url.options()).await?;
        postgres::check(&mut connection).await?;
        let mut transaction = step("begin", connection.begin()).await?;
        let target: &mut PgConnection = &mut transaction;
        let doing = "look at the other database";
        step(doing, sqlx::query(sql::PATIENCE).execute(&mut *target)).await?;
        let foreign = sqlx::query_scalar(sql::FOREIGN_TABLES).fetch_one(&mut *target);
        let foreign: i64 = step(doing, foreign).await?;
        if foreign > 0 {
            let found =
                format!("{foreign} tables of something else; it needs a database of its own");
            return Err(MoveError::NotEmpty(found));
        }
        postgres::migrate(target).await?;
        let source = &mut Db::Sqlite(&mut self.source);
        let target = &mut Db::Postgres(target);
        let head = step("lock the other database", head::locked_head(target)).await?;
        let there = step(doing, all(target)).await?;
        let others: i64 = step(doing, async {
            target.query(sql::OTHERS).one().await?.get(0)
        })
        .await?;
        let untouched = head.head.newest_lineage.millis() == 0 && head.everything_version == 0;
        let empty = there.seq == 0 && there.counts == RowCounts::NONE && others == 0 && untouched;
        if !empty {
            // An earlier attempt may have committed and failed before it received the answer.
            if compare_all(source, target).await?.is_none() {
                return Ok(());
            }
            return Err(MoveError::NotEmpty(there.described(others)));
        }
        copy_all(source, target).await?;
        if let Some(Mark {
            id: Some(id),
            cursor,
            ..
        }) = mark
        {
            step("note the mark", marking::note(target, *id, cursor, cursor)).await?;
        }
        if let Some(what) = compare_all(source, target).await? {
            let cause = format!("{what} came out differently; nothing was moved");
            return Err(StoreError::new("copy the database", cause).into());
        }
        let doing = "commit the copy; whether it was committed is unknown; run it again";
        step(doing, transaction.commit()).await?;
        // The copy is committed, so a failure to close the connection does not matter.
        let _ = connection.close().await;
        Ok(())
    }

    /// Closes the file for good: a process that still has it open can no longer write. The file then contains
    /// everything that was in its log (`-wal`), unless another process is reading at that moment.
    ///
    /// # Errors
    /// [`StoreError`]; the call can be repeated.
    pub async fn close(mut self) -> Result<(), StoreError> {
        let doing = "close the database that was moved";
        let mut db = Db::Sqlite(&mut self.source);
        step(doing, db.query(sql::CLOSE).execute()).await?;
        step(doing, db.query("COMMIT").execute()).await?;
        step(doing, db.query("PRAGMA wal_checkpoint(TRUNCATE)").all()).await?;
        step(doing, self.source.close()).await
    }
}

impl RowCounts {
    const NONE: Self = Self {
        revocations: 0,
        users: 0,
        sessions: 0,
        clients: 0,
        assertions: 0,
    };
}

impl Moved {
    fn described(&self, others: i64) -> String {
        let RowCounts { users, clients, .. } = self.counts;
        format!(
            "users: {users}, clients: {clients}, a log at seq {}, nodes and marks: {others}",
            self.seq
        )
    }
}

async fn all(db: &mut Db<'_>) -> sqlx::Result<Moved> {
    let seq = head::head(db).await?.head.cursor.seq;
    let row = db.query(sql::COUNTS).one().await?;
    let counts = RowCounts {
        revocations: row.get(0)?,
        users: row.get(1)?,
        sessions: row.get(2)?,
        clients: row.get(3)?,
        assertions: row.get(4)?,
    };
    Ok(Moved { seq, counts })
}

async fn copy_all(source: &mut Db<'_>, target: &mut Db<'_>) -> Result<(), StoreError> {
    let text = String::new;
    let counts = step("look at the database", all(source)).await?.counts;
    let of = Progress::of;
    let mut progress = of("revocations", counts.revocations);
    copy(
        source,
        target,
        sql::REVOCATIONS,
        i64::MIN,
        PAGE,
        &mut progress,
    )
    .await?;
    let mut progress = of("users", counts.users);
    copy(source, target, sql::USERS, text(), PAGE, &mut progress).await?;
    let mut progress = of("sessions", counts.sessions);
    copy(source, target, sql::SESSIONS, text(), PAGE, &mut progress).await?;
    let mut progress = of("clients", counts.clients);
    copy(
        source,
        target,
        sql::CLIENTS,
        text(),
        CLIENTS_AT_ONCE,
        &mut progress,
    )
    .await?;
    let mut progress = of("assertions", counts.assertions);
    let start = Vec::<u8>::new();
    copy(source, target, sql::ASSERTIONS, start, PAGE, &mut progress).await?;
    // Without its known networks every owner would count as a stranger. The table is too small for a progress report.
    let mut progress = of("networks of users", i64::MAX);
    let start = Vec::<u8>::new();
    copy(source, target, sql::NETWORKS, start, PAGE, &mut progress).await?;
    let head = async {
        set_head(target, &head::head(source).await?).await?;
        let leeway: i64 = source.query(statements::LEEWAY).one().await?.get(0)?;
        let query = target.query(statements::SET_LEEWAY).bind(leeway);
        query.execute().await?;
        let begun: i64 = source.query(statements::BEGUN).one().await?.get(0)?;
        let query = target.query(statements::BEGIN_LOG).bind(begun);
        query.execute().await
    };
    step("copy the log's head", head).await.map(drop)
}

/// The progress of copying a table. Logs at most ten lines, however large the table is.
struct Progress {
    what: &'static str,
    all: i64,
    done: i64,
    tenths: i64,
}

impl Progress {
    const fn of(what: &'static str, all: i64) -> Self {
        Self {
            what,
            all,
            done: 0,
            tenths: 0,
        }
    }

    fn add(&mut self, rows: i64) {
        self.done += rows;
        let tenths = self.done.saturating_mul(10) / self.all.max(1);
        if tenths > self.tenths {
            self.tenths = tenths;
            tracing::info!("copied {} of {} {}", self.done, self.all, self.what);
        }
    }
}

/// Copies a table page by page, in the order of its primary key, so that neither side holds more than one page in
/// memory.
async fn copy<K: Value + Column>(
    source: &mut Db<'_>,
    target: &mut Db<'_>,
    (read, write): (&'static str, &'static str),
    start: K,
    limit: i64,
    progress: &mut Progress,
) -> Result<(), StoreError> {
    let mut after = Some(start);
    while let Some(key) = after.take() {
        let page = async {
            let row = source.query(read).bind(key).bind(limit).one().await?;
            let rows: i64 = row.get(0)?;
            if rows == 0 {
                return Ok(None);
            }
            let written = target.query(write).bind(row.get::<String>(2)?).execute();
            if i64::try_from(written.await?) != Ok(rows) {
                let cause = "not every row of a page was taken".to_owned();
                return Err(sqlx::Error::Protocol(cause));
            }
            row.get::<K>(1).map(|last| Some((rows, last)))
        };
        let copied = step("copy the database", page).await?;
        after = copied.map(|(rows, last)| {
            progress.add(rows);
            last
        });
    }
    Ok(())
}

/// Returns the first difference between the two databases. Compares heads and row counts, and then the logs entry by
/// entry, page by page.
async fn compare_all(
    source: &mut Db<'_>,
    target: &mut Db<'_>,
) -> Result<Option<&'static str>, StoreError> {
    let differ = step("compare the two", heads_and_counts(source, target)).await?;
    if differ.is_some() {
        return Ok(differ);
    }
    tracing::info!("comparing the two revocation logs");
    let mut place = ComparedTo::start();
    while !place.done {
        if !step("compare the two", next_page(source, target, &mut place)).await? {
            return Ok(Some("the revocation log"));
        }
    }
    Ok(None)
}

async fn heads_and_counts(
    source: &mut Db<'_>,
    target: &mut Db<'_>,
) -> sqlx::Result<Option<&'static str>> {
    let (own, copied) = (head::head(source).await?, head::head(target).await?);
    let cut_offs = |row: &HeadRow| (row.everything_from, row.everything_version);
    if own.head != copied.head || cut_offs(&own) != cut_offs(&copied) {
        return Ok(Some("the log's head"));
    }
    let leeway = async |db: &mut Db<'_>| db.query(statements::LEEWAY).one().await?.get::<i64>(0);
    if leeway(source).await? != leeway(target).await? {
        return Ok(Some("the leeway"));
    }
    Ok((all(source).await? != all(target).await?).then_some("the number of rows"))
}

/// The progress of comparing the two logs.
struct ComparedTo {
    reading: Reading,
    done: bool,
}

impl ComparedTo {
    fn start() -> Self {
        Self {
            reading: Reading::from(Cursor::START),
            done: false,
        }
    }
}

/// Returns `true` if the next page is equal on both sides and continues the hash chain of the page before.
async fn next_page(
    source: &mut Db<'_>,
    target: &mut Db<'_>,
    place: &mut ComparedTo,
) -> sqlx::Result<bool> {
    let (after, limit) = (place.reading.cursor().seq, u32::try_from(PAGE).unwrap_or(1));
    let (_, own) = page_in(source, after, limit).await?;
    let (_, copied) = page_in(target, after, limit).await?;
    let last = copied.entries.len() < limit as usize;
    match place.reading.take(&copied, last) {
        Ok(done) => place.done = done,
        Err(_) => return Ok(false),
    }
    Ok(own.entries == copied.entries)
}
