//! A common interface to the two engines: a connection, a statement with its values, a row. Both engines run the same
//! statements.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnection, PgPool, PgRow};
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqlitePool, SqliteRow};
use sqlx::{ColumnIndex, Decode, Encode, Postgres, Row as _, Sqlite, Type};

use super::statements::SNAPSHOT;
use super::time_limit::LIMIT;

/// The number of connections to a database that are for reading.
pub(super) const READERS: u32 = 4;

/// A type that both engines can store.
pub(super) trait Value:
    Type<Sqlite> + Type<Postgres> + for<'q> Encode<'q, Sqlite> + for<'q> Encode<'q, Postgres>
{
}

impl<T> Value for T where
    T: Type<Sqlite> + Type<Postgres> + for<'q> Encode<'q, Sqlite> + for<'q> Encode<'q, Postgres>
{
}

/// A type that both engines can return.
pub(super) trait Column:
    Type<Sqlite> + Type<Postgres> + for<'r> Decode<'r, Sqlite> + for<'r> Decode<'r, Postgres>
{
}

impl<T> Column for T where
    T: Type<Sqlite> + Type<Postgres> + for<'r> Decode<'r, Sqlite> + for<'r> Decode<'r, Postgres>
{
}

/// A connection to either engine.
#[derive(Debug)]
pub(super) enum Connection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// A connection in use.
#[derive(Debug)]
pub(super) enum Db<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres(&'c mut PgConnection),
}

/// A statement with its bound values.
pub(super) enum Query<'c> {
    Sqlite(
        &'c mut SqliteConnection,
        sqlx::query::Query<'static, Sqlite, SqliteArguments>,
    ),
    Postgres(
        &'c mut PgConnection,
        sqlx::query::Query<'static, Postgres, PgArguments>,
    ),
}

#[derive(Debug)]
pub(super) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Connection {
    pub(super) fn db(&mut self) -> Db<'_> {
        match self {
            Self::Sqlite(connection) => Db::Sqlite(connection),
            Self::Postgres(connection) => Db::Postgres(connection),
        }
    }

    pub(super) async fn close(self) -> sqlx::Result<()> {
        use sqlx::Connection as _;
        match self {
            Self::Sqlite(connection) => connection.close().await,
            Self::Postgres(connection) => connection.close().await,
        }
    }
}

impl Db<'_> {
    /// Returns `true` if the SQL of PostgreSQL is needed. For decisions that depend on other nodes, use
    /// [`is_shared`](Self::is_shared).
    pub(super) const fn is_postgres(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// Returns `true` if other nodes can write to this log. Each node then has a mark of its own, and the other nodes
    /// move the head and drop entries without moving that mark. A log that is not shared has one node, and the commands
    /// beside it use the node's mark.
    pub(super) const fn is_shared(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    pub(super) fn query(&mut self, statement: &'static str) -> Query<'_> {
        match self {
            Self::Sqlite(connection) => Query::Sqlite(connection, sqlx::query(statement)),
            Self::Postgres(connection) => Query::Postgres(connection, sqlx::query(statement)),
        }
    }

    /// Prepares a statement that differs between the engines.
    pub(super) fn query_of(&mut self, sqlite: &'static str, postgres: &'static str) -> Query<'_> {
        let statement = if self.is_postgres() { postgres } else { sqlite };
        self.query(statement)
    }
}

impl Query<'_> {
    pub(super) fn bind(self, value: impl Value) -> Self {
        match self {
            Self::Sqlite(connection, query) => Self::Sqlite(connection, query.bind(value)),
            Self::Postgres(connection, query) => Self::Postgres(connection, query.bind(value)),
        }
    }

    /// Executes the statement, and returns the number of rows that it changed.
    pub(super) async fn execute(self) -> sqlx::Result<u64> {
        Ok(match self {
            Self::Sqlite(connection, query) => query.execute(connection).await?.rows_affected(),
            Self::Postgres(connection, query) => query.execute(connection).await?.rows_affected(),
        })
    }

    pub(super) async fn all(self) -> sqlx::Result<Vec<Row>> {
        Ok(match self {
            Self::Sqlite(connection, query) => {
                let rows = query.fetch_all(connection).await?;
                rows.into_iter().map(Row::Sqlite).collect()
            }
            Self::Postgres(connection, query) => {
                let rows = query.fetch_all(connection).await?;
                rows.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    pub(super) async fn optional(self) -> sqlx::Result<Option<Row>> {
        Ok(match self {
            Self::Sqlite(connection, query) => {
                query.fetch_optional(connection).await?.map(Row::Sqlite)
            }
            Self::Postgres(connection, query) => {
                query.fetch_optional(connection).await?.map(Row::Postgres)
            }
        })
    }

    pub(super) async fn one(self) -> sqlx::Result<Row> {
        self.optional().await?.ok_or(sqlx::Error::RowNotFound)
    }
}

impl Row {
    pub(super) fn get<T: Column>(&self, column: usize) -> sqlx::Result<T>
    where
        usize: ColumnIndex<SqliteRow> + ColumnIndex<PgRow>,
    {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
    }
}

/// The pool of read-only connections.
#[derive(Debug)]
pub(super) enum Readers {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

#[derive(Debug)]
enum Pooled {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>),
}

/// A pooled read-only connection. Dropping it without [`done`](Self::done) closes the connection, because its state is
/// then unknown.
#[derive(Debug)]
pub(super) struct PooledReader {
    pooled: Pooled,
    begun: bool,
    done: bool,
}

impl Readers {
    pub(super) const fn limit(&self) -> Option<Duration> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgres(_) => Some(LIMIT),
        }
    }

    pub(super) async fn reader(&self) -> sqlx::Result<PooledReader> {
        let pooled = match self {
            Self::Sqlite(pool) => Pooled::Sqlite(pool.acquire().await?),
            Self::Postgres(pool) => Pooled::Postgres(pool.acquire().await?),
        };
        Ok(PooledReader {
            pooled,
            begun: false,
            done: false,
        })
    }

    /// Returns the rows of one statement.
    pub(super) async fn all(
        &self,
        statement: &'static str,
        bind: impl for<'c> FnOnce(Query<'c>) -> Query<'c> + Send,
    ) -> sqlx::Result<Vec<Row>> {
        let mut reader = self.reader().await?;
        let rows = bind(reader.db().query(statement)).all().await?;
        reader.done().await?;
        Ok(rows)
    }

    /// Returns the first row of one statement, if any.
    pub(super) async fn optional(
        &self,
        statement: &'static str,
        bind: impl for<'c> FnOnce(Query<'c>) -> Query<'c> + Send,
    ) -> sqlx::Result<Option<Row>> {
        let mut reader = self.reader().await?;
        let row = bind(reader.db().query(statement)).optional().await?;
        reader.done().await?;
        Ok(row)
    }

    /// Begins a transaction that sees one snapshot of the store.
    pub(super) async fn snapshot(&self) -> sqlx::Result<PooledReader> {
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        db.query_of("BEGIN", SNAPSHOT).execute().await?;
        reader.begun = true;
        Ok(reader)
    }
}

impl PooledReader {
    pub(super) fn db(&mut self) -> Db<'_> {
        match &mut self.pooled {
            Pooled::Sqlite(connection) => Db::Sqlite(connection),
            Pooled::Postgres(connection) => Db::Postgres(connection),
        }
    }

    pub(super) async fn done(mut self) -> sqlx::Result<()> {
        if self.begun {
            self.db().query("COMMIT").execute().await?;
        }
        self.done = true;
        Ok(())
    }
}

impl Drop for PooledReader {
    fn drop(&mut self) {
        if !self.done {
            match &mut self.pooled {
                Pooled::Sqlite(connection) => connection.close_on_drop(),
                Pooled::Postgres(connection) => connection.close_on_drop(),
            }
        }
    }
}
