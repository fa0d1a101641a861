//! What lasts, in either of two engines: SQLite in a file for one node, PostgreSQL for several.

mod address;
mod change;
mod client;
mod engine;
mod limits;
mod marking;
mod moving;
mod moving_statements;
mod packed;
mod postgres;
mod reader;
mod register;
mod session;
mod skew;
mod sqlite;
mod statements;
mod user;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::SqlSafeStr;
use sqlx::migrate::{MigrateError, Migration, MigrationType};
use tokio::sync::watch;

use crate::account::limits::{Counting, LimitStores};
use crate::account::password::PasswordHash;
use crate::account::{
    Accounts, AddUserError, BeginSession, LoginStart, LoginUser, OwnPassword, OwnPasswordChange,
    User, UserChange, Username,
};
use crate::id::UserId;
use crate::revocation::Reason;
use crate::revocation::log::{Cursor, Head, Page, RevocationLog, Revoke, StoreError};
use crate::store::mark::{Mark, MarkFile};
use crate::time::Timestamp;
pub use address::{BadPostgresUrl, PostgresUrl};
use engine::{Connection, Readers};
use limits::{Limits, SharedCounters};
use marking::Cause;
pub use moving::{Counts, MoveError, Moved, Moving};
use postgres::Listening;
use register::Attendance;
pub use skew::{ClockOff, Skew};
use writer::{Change, Done, Server, Writer};

/// How many rows one compacting transaction drops: a logout waits no longer than that takes.
const COMPACT_AT_ONCE: i64 = 512;

/// How many connections to a server are for reading.
const READERS: u32 = 4;

/// How a log stands to a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuation {
    /// It goes on from there.
    GoesOn,
    /// It is another log, in which everything is ended that can have begun by then: another node took an older
    /// copy on.
    AllEnded,
    /// It is another log.
    Another,
}

/// The store.
#[derive(Debug)]
pub struct SqlStore {
    /// None in one that was opened to be looked into.
    writer: Option<Writer>,
    readers: Readers,
    attendance: Attendance,
    bell: watch::Sender<u64>,
    listening: Option<Listening>,
    /// The known networks; with SQLite the login limits too.
    limits: Limits,
    counters: Option<SharedCounters>,
}

impl SqlStore {
    /// Opens the SQLite file, which may be empty but must be there, and brings its schema up to date. Other
    /// processes may have it open too. Whether the log goes on from the mark is asked at each change; without
    /// a mark it is opened to be looked into, and changes nothing else.
    ///
    /// # Errors
    /// [`StoreError`]; a schema that is newer than this program is refused.
    pub async fn open(path: &Path, mark: Option<MarkFile>) -> Result<Self, StoreError> {
        let options = sqlite::options(path);
        let mut connection = sqlite::connect(&options).await?;
        let migrated = sqlite::migrations().run(&mut connection).await;
        migrated.map_err(not_migrated)?;
        let readers = Readers::Sqlite(sqlite::readers(options.clone()).await?);
        let connection = Connection::Sqlite(connection);
        let limits = Limits::sqlite(options.clone());
        let server = Server::Sqlite(Box::new(options));
        Ok(Self::new(connection, server, readers, limits, mark, None))
    }

    /// Opens a PostgreSQL database of its own, which may be empty, and brings its schema up to date: once, whichever
    /// of several nodes comes first. A server that cannot be reached yet is waited for, for 30 s. With `skew`, a node
    /// whose wall clock is further off the server's than that writes nothing and proves no freshness.
    ///
    /// # Errors
    /// [`StoreError`]; a schema that is newer than this program is refused, as is a server that would lose commits.
    pub async fn connect(
        url: &PostgresUrl,
        mark: Option<MarkFile>,
        skew: Option<Skew>,
    ) -> Result<Self, StoreError> {
        if url.is_insecure() {
            tracing::warn!(database = %url, "the connection to the database is not secured: an attacker on the network can read the password and change the revocation log");
        }
        if url.checks_no_name() {
            tracing::warn!(database = %url, "sslmode=verify-ca does not check the name in the certificate of the database: a server with any certificate from a trusted CA is accepted; use sslmode=verify-full");
        }
        let mut connection = postgres::connect_first(url.options()).await?;
        postgres::check(&mut connection).await?;
        postgres::migrate(&mut connection).await?;
        let readers = Readers::Postgres(postgres::pool(url.options(), READERS));
        let connection = Connection::Postgres(connection);
        let server = Server::Postgres(url.clone());
        let limits = Limits::postgres(url.options());
        let mut store = Self::new(connection, server, readers, limits, mark, skew);
        store.counters = Some(SharedCounters::postgres(url.options()));
        let bell = store.bell.clone();
        store.listening = Some(Listening::start(url.options().clone(), bell));
        Ok(store)
    }

    fn new(
        connection: Connection,
        server: Server,
        readers: Readers,
        limits: Limits,
        mark: Option<MarkFile>,
        skew: Option<Skew>,
    ) -> Self {
        let attendance = Attendance::new(server.clone(), skew.clone());
        let writer = mark.map(|mark| Writer::start(connection, server, mark, skew));
        Self {
            writer,
            readers,
            attendance,
            bell: watch::Sender::new(0),
            listening: None,
            limits,
            counters: None,
        }
    }

    /// What login limits are kept in. All nodes of a PostgreSQL database count together.
    #[must_use]
    pub fn limit_stores(self: &Arc<Self>) -> LimitStores {
        let networks = Arc::clone(self) as _;
        let counting = match &self.counters {
            Some(counters) => counters.counting(),
            None => Counting::Here(Arc::clone(self) as _),
        };
        LimitStores { networks, counting }
    }

    /// By how many milliseconds this node's clock was ahead of the server's when it last proved its freshness.
    #[must_use]
    pub fn clock_ahead(&self) -> Option<i64> {
        self.attendance.clock_ahead()
    }

    /// The log's head, and how the log stands to that mark.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn compare(&self, mark: Option<&Mark>) -> Result<(Head, Continuation), StoreError> {
        let read = async {
            let mut reader = self.readers.snapshot().await?;
            let compared = marking::compare(&mut reader.db(), mark).await?;
            reader.done().await?;
            Ok(compared)
        };
        self.read("compare the revocation log with the mark", read)
            .await
    }

    /// Begins the log for a service. `keys` tells its keys from others, and is not 0. If the log is empty and was
    /// not begun with these keys, those that the service had are older than the log, and everything that they can
    /// have signed is ended. True if so.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn begin_log(
        &self,
        had_keys: bool,
        keys: i64,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let begin = Change::BeginLog { had_keys, keys, at };
        match self.write(begin).await? {
            Done::Revoked(_) => Ok(true),
            Done::No => Ok(false),
            other => Err(other.unexpected()),
        }
    }

    /// Ends every session and every client's token from before, also of those that this log knows nothing
    /// of: their lineages go to `newest_lineage`, and what had expired to `horizon`. The mark is put at
    /// this log, wherever it was.
    ///
    /// # Errors
    /// [`StoreError`]; it may be done again.
    pub async fn end_former(
        &self,
        newest_lineage: Timestamp,
        horizon: Timestamp,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let change = Change::EndFormer {
            newest_lineage,
            horizon,
            at,
        };
        self.write(change).await.map(drop)
    }

    /// Moves the mark to the head of a log that goes on from what a node has read: each node's own mark then shows
    /// also what others wrote.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn follow(&self, read: Cursor) -> Result<(), StoreError> {
        self.write(Change::Follow(read)).await.map(drop)
    }

    async fn write(&self, change: Change) -> Result<Done, StoreError> {
        match &self.writer {
            Some(writer) => writer.write(change).await,
            None => Err(StoreError::new("write", "it was opened to be looked into")),
        }
    }

    async fn read<T>(
        &self,
        doing: &'static str,
        read: impl Future<Output = sqlx::Result<T>>,
    ) -> Result<T, StoreError> {
        let limit = self.readers.limit();
        let read = async { read.await.map_err(Cause::from) };
        let read = within_limit(limit, read).await;
        read.map_err(|cause| StoreError::new(doing, cause))
    }
}

/// A server may be gone without a word; a file is not. What does not come in time is dropped.
async fn within_limit<T>(
    limit: Option<Duration>,
    work: impl Future<Output = Result<T, Cause>>,
) -> Result<T, Cause> {
    let done = match limit {
        None => work.await,
        Some(limit) => match tokio::time::timeout(limit, work).await {
            Ok(done) => done,
            Err(_) => Err(format!("no answer within {} s", limit.as_secs()).into()),
        },
    };
    done.map_err(postgres::explained)
}

fn migration(version: i64, name: &'static str, sql: &'static str) -> Migration {
    let (name, kind) = (name.into(), MigrationType::Simple);
    Migration::new(version, name, kind, sql.into_sql_str(), false)
}

fn not_migrated(cause: MigrateError) -> StoreError {
    let cause: Cause = match cause {
        MigrateError::VersionMissing(version) => format!(
            "its schema has version {version}, which is newer than this program; use the newer one"
        )
        .into(),
        MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _) => {
            postgres::explained(cause.into())
        }
        cause => cause.into(),
    };
    StoreError::new("bring the database's schema up to date", cause)
}

#[async_trait]
impl RevocationLog for SqlStore {
    async fn read(&self, after: i64, limit: u32) -> Result<Page, StoreError> {
        let page = reader::page(&self.readers, after, limit);
        self.read("read the revocation log", page).await
    }

    async fn revoke(&self, what: Revoke, reason: Reason, at: Timestamp) -> Result<i64, StoreError> {
        match self.write(Change::Revoke(what, reason, at)).await? {
            Done::Revoked(seq) => Ok(seq),
            other => Err(other.unexpected()),
        }
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
            match self.write(Change::Compact(expired)).await? {
                Done::Forgotten(rows) => dropped += rows,
                other => return Err(other.unexpected()),
            }
        }
    }

    async fn change_leeway(&self, leeway: Duration, at: Timestamp) -> Result<(), StoreError> {
        self.write(Change::Leeway(leeway, at)).await.map(drop)
    }

    async fn raise_horizon(&self, horizon: Timestamp) -> Result<(), StoreError> {
        self.write(Change::RaiseHorizon(horizon)).await.map(drop)
    }
}

#[async_trait]
impl Accounts for SqlStore {
    async fn users(&self) -> Result<Vec<User>, StoreError> {
        self.read("list the users", reader::users(&self.readers))
            .await
    }

    async fn user(&self, name: &Username) -> Result<Option<User>, StoreError> {
        self.read("find the user", reader::user(&self.readers, name))
            .await
    }

    async fn add_user(&self, user: &User, password: &PasswordHash) -> Result<(), AddUserError> {
        match self
            .write(Change::AddUser(user.clone(), password.clone()))
            .await?
        {
            Done::Yes => Ok(()),
            Done::No => Err(AddUserError::Taken),
            other => Err(other.unexpected().into()),
        }
    }

    async fn change_user(
        &self,
        user: UserId,
        change: UserChange,
        at: Timestamp,
    ) -> Result<Option<i64>, StoreError> {
        match self.write(Change::User(user, change, at)).await? {
            Done::Revoked(seq) => Ok(Some(seq)),
            Done::No => Ok(None),
            other => Err(other.unexpected()),
        }
    }

    async fn change_own_password(
        &self,
        change: OwnPassword,
    ) -> Result<OwnPasswordChange, StoreError> {
        match self.write(Change::OwnPassword(change)).await? {
            Done::OwnPassword(done) => Ok(done),
            other => Err(other.unexpected()),
        }
    }

    async fn enable_user(&self, user: UserId) -> Result<bool, StoreError> {
        self.write(Change::EnableUser(user)).await?.yes_or_no()
    }

    async fn login_user(&self, user: UserId) -> Result<Option<LoginUser>, StoreError> {
        let read = reader::login_user(&self.readers, user);
        self.read("look up the user", read).await
    }

    async fn start_login(&self, name: &Username) -> Result<LoginStart, StoreError> {
        let read = reader::start_login(&self.readers, name);
        self.read("look up the user", read).await
    }

    async fn begin_session(&self, begin: BeginSession) -> Result<bool, StoreError> {
        self.write(Change::BeginSession(begin)).await?.yes_or_no()
    }

    async fn upgrade_hash(
        &self,
        user: UserId,
        old: &PasswordHash,
        new: &PasswordHash,
    ) -> Result<(), StoreError> {
        self.write(Change::UpgradeHash(user, old.clone(), new.clone()))
            .await?;
        Ok(())
    }
}
