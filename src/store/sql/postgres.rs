//! PostgreSQL 12 and later: one writable primary, shared by several nodes.

use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgListener, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Row};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::advice::{explained, tls_error};
use super::migration::{migration, not_migrated};
use super::time_limit::LIMIT;
use crate::report::report;
use crate::revocation::log::StoreError;

/// The time for which a service tries to make its first connection when it starts.
const START_LIMIT: Duration = Duration::from_secs(30);
const START_PAUSE: Duration = Duration::from_secs(1);

/// The settings of each connection, whatever the server's defaults are. A commit is on disk when it returns, and a node
/// that stops in the middle of a transaction holds the head for at most 2 s.
const SET: &str = "SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false), set_config('statement_timeout', '5s', false), set_config('lock_timeout', '5s', false), set_config('idle_in_transaction_session_timeout', '2s', false), set_config('default_transaction_isolation', 'read committed', false)";

const SERVER: &str = "SELECT current_setting('server_version_num')::integer, current_setting('fsync') = 'on', current_setting('full_page_writes') = 'on', current_setting('server_encoding') = 'UTF8', pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'";

/// Returns `true` for an error that may pass in a moment: connection trouble, too many connections, or a server that
/// starts or shuts down (SQLSTATEs `08…`, `53…` and `57P…`).
fn may_pass(cause: &sqlx::Error) -> bool {
    match cause {
        sqlx::Error::Database(cause) => cause.code().is_some_and(|code| {
            code.starts_with("08") || code.starts_with("53") || code.starts_with("57P")
        }),
        sqlx::Error::Io(cause) => tls_error(cause).is_none(),
        sqlx::Error::PoolTimedOut => true,
        _ => false,
    }
}

async fn set(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query(SET).execute(connection).await.map(drop)
}

/// Opens a connection with the settings above, within the time limit.
pub(super) async fn connect(options: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    let connect = async {
        let mut connection = options.connect().await?;
        set(&mut connection).await?;
        Ok(connection)
    };
    let late = |_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()));
    timeout(LIMIT, connect).await.unwrap_or_else(late)
}

/// Opens the first connection. Retries for 30 s, because the server may still be starting.
pub(super) async fn connect_first(options: &PgConnectOptions) -> Result<PgConnection, StoreError> {
    let failed =
        |cause: sqlx::Error| StoreError::new("connect to the database", explained(cause.into()));
    let tries = async {
        let mut said = false;
        loop {
            match connect(options).await {
                Err(cause) if may_pass(&cause) => {
                    if !said {
                        let (host, port) = (options.get_host(), options.get_port());
                        tracing::warn!(cause = %report(&cause), host, port, "the database cannot be reached yet; trying for {} s", START_LIMIT.as_secs());
                    }
                    said = true;
                    sleep(START_PAUSE).await;
                }
                done => return done,
            }
        }
    };
    let late = "it could not be reached in time; is it up, and is its address right?";
    match timeout(START_LIMIT, tries).await {
        Ok(done) => done.map_err(failed),
        Err(_) => Err(StoreError::new("connect to the database", late)),
    }
}

/// Refuses a server whose commits are less durable than the service promises.
pub(super) async fn check(connection: &mut PgConnection) -> Result<(), StoreError> {
    let refused = |why: &str| Err(StoreError::new("use the database", why.to_owned()));
    let row = sqlx::query(SERVER).fetch_one(connection).await;
    let row = row.map_err(|cause| StoreError::new("look at the database", cause))?;
    let is = |column: usize| row.try_get::<bool, _>(column).unwrap_or(false);
    if row.try_get::<i32, _>(0).unwrap_or(0) < 120_000 {
        return refused("it must be PostgreSQL 12 or later");
    }
    if !is(1) || !is(2) {
        return refused(
            "its settings fsync and full_page_writes must be on: a logout that was answered could be lost",
        );
    }
    if !is(3) {
        return refused("its encoding must be UTF8");
    }
    if is(4) || is(5) {
        return refused("it is a standby or read-only: give the address of the writable primary");
    }
    Ok(())
}

/// Migrates the schema. The first node to arrive does it: sqlx holds an advisory lock meanwhile, and the others wait
/// for it.
pub(super) async fn migrate(connection: &mut PgConnection) -> Result<(), StoreError> {
    let migrated = timeout(START_LIMIT, migrations().run(connection)).await;
    let late = "another node has been migrating for too long";
    let late = |_| {
        Err(StoreError::new(
            "bring the database's schema up to date",
            late,
        ))
    };
    migrated.map_or_else(late, |done| done.map_err(not_migrated))
}

fn migrations() -> Migrator {
    Migrator::with_migrations(vec![
        migration(1, "init", include_str!("postgres/0001_init.sql")),
        migration(2, "limits", include_str!("postgres/0002_limits.sql")),
        migration(3, "begun", include_str!("postgres/0003_begun.sql")),
        migration(4, "failures", include_str!("postgres/0004_failures.sql")),
        migration(5, "accounts", include_str!("postgres/0005_accounts.sql")),
        migration(6, "methods", include_str!("postgres/0006_methods.sql")),
    ])
}

pub(super) fn pool(options: &PgConnectOptions, size: u32) -> PgPool {
    let pool = PgPoolOptions::new()
        .max_connections(size)
        .acquire_timeout(LIMIT)
        .after_connect(|connection, _| Box::pin(async move { set(connection).await }));
    pool.connect_lazy_with(options.clone())
}

/// A task that stops when the store is dropped.
#[derive(Debug)]
pub(super) struct Listening(JoinHandle<()>);

impl Listening {
    pub(super) fn start(options: PgConnectOptions, bell: watch::Sender<u64>) -> Self {
        Self(tokio::spawn(listen(options, bell)))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Rings the bell whenever a node has written or acknowledged something. The task is separate because cancelling a wait
/// for a notification can lose the notification and takes long.
async fn listen(options: PgConnectOptions, bell: watch::Sender<u64>) {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(LIMIT)
        .connect_lazy_with(options);
    loop {
        let heard = hear(&pool, &bell).await;
        if let Err(cause) = heard {
            tracing::debug!(cause = %report(&cause), "not listening for notifications; the log is polled instead");
        }
        sleep(START_PAUSE).await;
    }
}

async fn hear(pool: &PgPool, bell: &watch::Sender<u64>) -> sqlx::Result<()> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen("waxseal").await?;
    loop {
        // A reconnection also counts as news: notifications may have been missed in between.
        listener.try_recv().await?;
        bell.send_modify(|rung| *rung = rung.wrapping_add(1));
    }
}
