//! The store: its connections, and how it opens.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;

use super::address::PostgresUrl;
use super::advice::BoxedError;
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

/// The database of a service, which implements the storage traits.
#[derive(Debug)]
pub struct SqlStore {
    /// `None` in a store that was opened read-only.
    writer: Option<Writer>,
    pub(super) readers: Readers,
    pub(super) attendance: Attendance,
    pub(super) bell: watch::Sender<u64>,
    listening: Option<Listening>,
    /// The known networks, and with SQLite the login limits too.
    pub(super) limits: Limits,
    counters: Option<SharedCounters>,
}

impl SqlStore {
    /// Opens the SQLite file and brings its schema up to date. The file may be empty but must exist. Other processes
    /// may have it open too. Each change checks that the log continues from the mark. Without a mark the store is
    /// read-only, except for the schema.
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

    /// Opens a PostgreSQL database and brings its schema up to date. The database must be for Waxseal alone, and may be
    /// empty. The first of several nodes migrates it. Waits up to 30 s for the server. With `skew`, a node whose wall
    /// clock differs from the server's by more than the tolerance writes nothing and proves no freshness.
    ///
    /// # Errors
    /// [`StoreError`]; a schema that is newer than this program is refused, and so is a server that would lose commits.
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

    /// Returns the stores of the login limits. All nodes of a PostgreSQL database share their counters.
    #[must_use]
    pub fn limit_stores(self: &Arc<Self>) -> LimitStores {
        let networks = Arc::clone(self) as _;
        let counting = match &self.counters {
            Some(counters) => counters.counting(),
            None => Counting::Here(Arc::clone(self) as _),
        };
        LimitStores { networks, counting }
    }

    /// Returns the milliseconds by which this node's clock was ahead of the server's when the node last proved its
    /// freshness.
    #[must_use]
    pub fn clock_ahead(&self) -> Option<i64> {
        self.attendance.clock_ahead()
    }

    /// Returns the log's head, and whether the log continues from that mark.
    ///
    /// # Errors
    /// [`StoreError`] if the log cannot be read.
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

    /// Begins the log for a service. `keys` identifies the service's set of keys, and is not 0. If the log is empty and
    /// was never begun with these keys although the service had them, the keys are older than the log: then this
    /// revokes everything that they can have signed, and returns `true`.
    ///
    /// # Errors
    /// [`StoreError`] if the log cannot be written.
    pub async fn begin_log(
        &self,
        had_keys: bool,
        keys: i64,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        self.write(BeginLog { had_keys, keys, at }).await
    }

    /// Ends every session and every client token issued before, including those that are unknown to this log: their
    /// lineages reach up to `newest_lineage`, and those that expired up to `horizon`. Moves the mark to this log,
    /// wherever it was.
    ///
    /// # Errors
    /// [`StoreError`]; the call can be repeated.
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

    /// Moves the mark to the head of a log that continues from `read`, so that each node's own mark also covers what
    /// other nodes wrote.
    ///
    /// # Errors
    /// [`StoreError`] if the log does not continue from `read`, or the mark cannot be written.
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
        let read = async { read.await.map_err(BoxedError::from) };
        let read = within_limit(limit, read).await;
        read.map_err(|cause| StoreError::new(doing, cause))
    }
}
