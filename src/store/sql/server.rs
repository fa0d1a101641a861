//! The database of a writer, and its connections.

use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

use super::address::PostgresUrl;
use super::engine::Connection;
use super::postgres;
use super::time_limit::LIMIT;

/// What a writer writes to.
#[derive(Clone, Debug)]
pub(super) enum Server {
    Sqlite(Box<SqliteConnectOptions>),
    Postgres(PostgresUrl),
}

impl Server {
    /// A connection on which a first statement was done, of each engine its own: the one that was kept, or, if
    /// the server has gone away meanwhile, another one. What that statement does may be done twice.
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

    /// Within which time it must have answered.
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
                // After a fail-over it is another server.
                let checked = postgres::check(&mut connection).await;
                checked.map_err(|cause| sqlx::Error::Configuration(cause.into()))?;
                Connection::Postgres(connection)
            }
        })
    }
}
