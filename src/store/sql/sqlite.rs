//! SQLite: one file, WAL, `synchronous=FULL`, one writer.

use std::path::Path;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};

use super::engine::READERS;
use super::migration::migration;
use crate::revocation::log::StoreError;

/// The time for which a writer waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging()
}

pub(super) async fn connect(
    options: &SqliteConnectOptions,
) -> Result<SqliteConnection, StoreError> {
    let failed = |cause: sqlx::Error| StoreError::new("open the database", cause);
    let mut connection = options.connect().await.map_err(failed)?;
    // SQLite falls back to another journal mode where WAL is not possible, and a commit would then be less durable than
    // the service promises.
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode")
        .fetch_one(&mut connection)
        .await
        .map_err(failed)?;
    let sync: i64 = sqlx::query_scalar("PRAGMA synchronous")
        .fetch_one(&mut connection)
        .await
        .map_err(failed)?;
    if mode != "wal" || sync != 2 {
        let cause =
            format!("it works in journal mode {mode} here and not in WAL; put it on a local disk");
        return Err(StoreError::new("open the database", cause));
    }
    Ok(connection)
}

pub(super) fn migrations() -> Migrator {
    Migrator::with_migrations(vec![
        migration(1, "init", include_str!("sqlite/0001_init.sql")),
        migration(2, "sessions", include_str!("sqlite/0002_sessions.sql")),
        migration(3, "clients", include_str!("sqlite/0003_clients.sql")),
        migration(4, "nodes", include_str!("sqlite/0004_nodes.sql")),
        migration(5, "begun", include_str!("sqlite/0005_begun.sql")),
        migration(6, "limits", include_str!("sqlite/0006_limits.sql")),
        migration(7, "accounts", include_str!("sqlite/0007_accounts.sql")),
        migration(8, "expiry", include_str!("sqlite/0008_expiry.sql")),
        migration(9, "methods", include_str!("sqlite/0009_methods.sql")),
    ])
}

/// Opens the readers at the start and keeps them open: a connection opens the database and its log (`-wal`), and later
/// there may be no free file descriptor for them.
pub(super) async fn readers(options: SqliteConnectOptions) -> Result<SqlitePool, StoreError> {
    let failed = |cause| StoreError::new("open the database", cause);
    let pool = SqlitePoolOptions::new()
        .max_connections(READERS)
        .idle_timeout(None)
        .max_lifetime(None)
        // A local file does not go away between two uses, and the test costs a hop to another thread.
        .test_before_acquire(false)
        .connect_with(options.pragma("query_only", "on"))
        .await
        .map_err(failed)?;
    let mut opened = Vec::new();
    for _ in 0..READERS {
        let mut reader = pool.acquire().await.map_err(failed)?;
        // SQLite opens the log with the first read.
        let read = sqlx::query("SELECT count(*) FROM sqlite_schema");
        read.execute(&mut *reader).await.map_err(failed)?;
        opened.push(reader);
    }
    Ok(pool)
}

/// Creates a separate pool for lookups that unauthenticated callers cause. The connections are opened when needed.
pub(super) fn lookups(options: SqliteConnectOptions, size: u32) -> SqlitePool {
    SqlitePoolOptions::new()
        .max_connections(size)
        .test_before_acquire(false)
        .connect_lazy_with(options.pragma("query_only", "on"))
}
