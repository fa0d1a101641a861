//! The database behind a writer, and its connections.

use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

use super::address::PostgresUrl;
use super::engine::Connection;
use super::postgres;
use super::time_limit::LIMIT;

/// The database that a writer writes to.
#[derive(Clone, Debug)]
pub(super) enum Server {
    Sqlite(Box<SqliteConnectOptions>),
    Postgres(PostgresUrl),
}

impl Server {
    /// Returns a connection on which a first statement, one per engine, has succeeded: the kept connection, or a new
    /// one if the server has gone away. The statement may run twice.
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

    /// The time limit for the server's answer.
    pub(super) const fn limit(&self) -> Option<Duration> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgres(_) => Some(LIMIT),
        }
    }

    async fn connect(&self) -> sqlx::Result<Connection> {
        Ok(match self {
            Self::Sqlite(options) => Connection::Sqlite(options.connect().await?),
            Self::Postgres(url) => {
                let mut connection = postgres::connect(url.options()).await?;
                // After a fail-over the server is another one.
                let checked = postgres::check(&mut connection).await;
                checked.map_err(|cause| sqlx::Error::Configuration(cause.into()))?;
                Connection::Postgres(connection)
            }
        })
    }
}
