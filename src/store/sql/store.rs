//! The store: its connections, and how it is opened.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;

use super::address::PostgresUrl;
use super::advice::Cause;
use super::attendance::Attendance;
use super::command::Command;
use super::commands::log::{BeginLog, EndFormer, Follow};
use super::engine::{Connection, READERS, Readers};
use super::limits::{Limits, SharedCounters};
use super::marking::{self, Continuation};
use super::migration::not_migrated;
use super::postgres::{self, Listening};
use super::server::Server;
use super::skew::Skew;
use super::sqlite;
use super::time_limit::within_limit;
use super::writer::Writer;
use crate::account::limits::{Counting, LimitStores};
use crate::revocation::log::{Cursor, Head, StoreError};
use crate::store::mark::{Mark, MarkFile};
use crate::time::Timestamp;

/// The store.
#[derive(Debug)]
pub struct SqlStore {
    /// None in one that was opened to be looked into.
    writer: Option<Writer>,
    pub(super) readers: Readers,
    pub(super) attendance: Attendance,
    pub(super) bell: watch::Sender<u64>,
    listening: Option<Listening>,
    /// The known networks; with SQLite the login limits too.
    pub(super) limits: Limits,
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
        self.write(BeginLog { had_keys, keys, at }).await
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
        let end = EndFormer {
            newest_lineage,
            horizon,
            at,
        };
        self.write(end).await
    }

    /// Moves the mark to the head of a log that goes on from what a node has read: each node's own mark then shows
    /// also what others wrote.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn follow(&self, read: Cursor) -> Result<(), StoreError> {
        self.write(Follow(read)).await
    }

    pub(super) async fn write<C: Command>(&self, command: C) -> Result<C::Reply, StoreError> {
        match &self.writer {
            Some(writer) => writer.write(command).await,
            None => Err(StoreError::new("write", "the store was opened read-only")),
        }
    }

    pub(super) async fn read<T>(
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
