//! The embedded store: one SQLite file, WAL, `synchronous=FULL`, one writer.

mod client;
mod marking;
mod reader;
mod session;
mod sql;
mod writer;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, SqlSafeStr};

use crate::account::password::PasswordHash;
use crate::account::{
    Accounts, AddUserError, BeginSession, LoginStart, LoginUser, User, UserChange, Username,
};
use crate::id::{Lineage, UserId};
use crate::inventory::{Entered, Inventory, Renew, Renewed};
use crate::revocation::Reason;
use crate::revocation::log::{Page, RevocationLog, Revoke, StoreError};
use crate::store::mark::MarkFile;
use crate::time::Timestamp;
use writer::{Change, Done, Writer};

/// How long a writer waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How many rows one compacting transaction drops: a logout waits no longer than that takes.
const COMPACT_AT_ONCE: usize = 512;

/// The embedded store.
#[derive(Debug)]
pub struct SqliteStore {
    /// None in one that was opened to be looked into.
    writer: Option<Writer>,
    readers: SqlitePool,
}

impl SqliteStore {
    /// Opens the file, which may be empty but must be there, and brings its schema up to date. Other
    /// processes may have it open too. Whether the log goes on from the mark is asked at each change; without
    /// a mark it is opened to be looked into, and changes nothing else.
    ///
    /// # Errors
    /// [`StoreError`]; a schema that is newer than this program is refused.
    pub async fn open(path: &Path, mark: Option<MarkFile>) -> Result<Self, StoreError> {
        let failed = |cause: sqlx::Error| StoreError::new("open the database", cause);
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            .disable_statement_logging();
        let mut connection = options.connect().await.map_err(failed)?;
        // SQLite answers with another mode where it cannot have the one that was asked for, and a
        // commit would then survive less than is promised.
        let mode: String = sqlx::query_scalar("PRAGMA journal_mode")
            .fetch_one(&mut connection)
            .await
            .map_err(failed)?;
        let sync: i64 = sqlx::query_scalar("PRAGMA synchronous")
            .fetch_one(&mut connection)
            .await
            .map_err(failed)?;
        if mode != "wal" || sync != 2 {
            let cause = format!(
                "it works in journal mode {mode} here and not in WAL; put it on a local disk"
            );
            return Err(StoreError::new("open the database", cause));
        }
        migrations()
            .run(&mut connection)
            .await
            .map_err(|cause| StoreError::new("bring the database's schema up to date", cause))?;
        let readers = SqlitePoolOptions::new()
            .max_connections(4)
            // A local file does not go away between two uses; the question costs a thread's hop.
            .test_before_acquire(false)
            .connect_with(options.clone().pragma("query_only", "on"))
            .await
            .map_err(failed)?;
        let writer = mark.map(|mark| Writer::start(connection, options, mark));
        Ok(Self { writer, readers })
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

    async fn write(&self, change: Change) -> Result<Done, StoreError> {
        match &self.writer {
            Some(writer) => writer.write(change).await,
            None => Err(StoreError::new("write", "it was opened to be looked into")),
        }
    }
}

fn migrations() -> Migrator {
    let migration = |version, name: &'static str, sql: &'static str| {
        let (name, kind) = (name.into(), MigrationType::Simple);
        Migration::new(version, name, kind, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(vec![
        migration(1, "init", include_str!("0001_init.sql")),
        migration(2, "sessions", include_str!("0002_sessions.sql")),
        migration(3, "clients", include_str!("0003_clients.sql")),
    ])
}

#[async_trait]
impl RevocationLog for SqliteStore {
    async fn read(&self, after: i64, limit: u32) -> Result<Page, StoreError> {
        reader::page(&self.readers, after, limit).await
    }

    async fn revoke(&self, what: Revoke, reason: Reason, at: Timestamp) -> Result<i64, StoreError> {
        match self.write(Change::Revoke(what, reason, at)).await? {
            Done::Revoked(seq) => Ok(seq),
            other => Err(other.unexpected()),
        }
    }

    async fn compact(&self, until: Timestamp) -> Result<u64, StoreError> {
        let expired = reader::expired(&self.readers, until).await?;
        let mut dropped = 0;
        for rows in expired.chunks(COMPACT_AT_ONCE) {
            match self.write(Change::Compact(rows.to_vec())).await? {
                Done::Forgotten(rows) => dropped += rows,
                other => return Err(other.unexpected()),
            }
        }
        Ok(dropped)
    }

    async fn change_leeway(&self, leeway: Duration, at: Timestamp) -> Result<(), StoreError> {
        self.write(Change::Leeway(leeway, at)).await.map(drop)
    }

    async fn raise_horizon(&self, horizon: Timestamp) -> Result<(), StoreError> {
        self.write(Change::RaiseHorizon(horizon)).await.map(drop)
    }
}

#[async_trait]
impl Accounts for SqliteStore {
    async fn users(&self) -> Result<Vec<User>, StoreError> {
        reader::users(&self.readers).await
    }

    async fn user(&self, name: &Username) -> Result<Option<User>, StoreError> {
        reader::user(&self.readers, name).await
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

    async fn enable_user(&self, user: UserId) -> Result<bool, StoreError> {
        self.write(Change::EnableUser(user)).await?.yes_or_no()
    }

    async fn login_user(&self, user: UserId) -> Result<Option<LoginUser>, StoreError> {
        reader::login_user(&self.readers, user).await
    }

    async fn start_login(&self, name: &Username) -> Result<LoginStart, StoreError> {
        reader::start_login(&self.readers, name).await
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

#[async_trait]
impl Inventory for SqliteStore {
    async fn sessions(&self, user: UserId, since: Timestamp) -> Result<Vec<Entered>, StoreError> {
        session::list(&self.readers, user, since).await
    }

    async fn session(&self, user: UserId, lineage: Lineage) -> Result<Option<Entered>, StoreError> {
        session::find(&self.readers, user, lineage).await
    }

    async fn renew(&self, renew: Renew) -> Result<Renewed, StoreError> {
        match self.write(Change::Renew(renew)).await? {
            Done::Renewed(renewed) => Ok(renewed),
            other => Err(other.unexpected()),
        }
    }

    async fn forget(&self, until: Timestamp) -> Result<u64, StoreError> {
        let mut all = 0;
        loop {
            match self.write(Change::Forget(until)).await? {
                Done::Forgotten(0) => return Ok(all),
                Done::Forgotten(some) => all += some,
                other => return Err(other.unexpected()),
            }
        }
    }
}
