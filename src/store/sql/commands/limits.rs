//! Commands of the login limits. With SQLite the process counts in memory, and writes what must survive a restart.

use serde_json::json;

use crate::account::limits::{KeptFailures, NETWORKS, Whereabouts};
use crate::store::sql::command::{Command, Transaction};
use crate::store::sql::statements as sql;
use crate::time::Timestamp;

/// The number of rows that one command drops. It bounds how long the cleanup delays a logout.
const DROP_AT_ONCE: i64 = 1000;

/// Records a known network and the time of the login.
#[derive(Debug)]
pub(in crate::store::sql) struct NoteNetwork(
    pub(in crate::store::sql) Whereabouts,
    pub(in crate::store::sql) Timestamp,
);

impl Command for NoteNetwork {
    type Reply = ();

    async fn write(&self, to: &mut Transaction<'_, '_>) -> sqlx::Result<()> {
        let Self(at, now) = self;
        let query = to.db.query(sql::NOTE_NETWORK).bind(at.account.to_vec());
        let query = query.bind(at.network.to_vec()).bind(now.millis());
        query.execute().await?;
        let query = to.db.query(sql::DROP_OTHER_NETWORKS);
        let query = query.bind(at.account.to_vec()).bind(NETWORKS);
        query.execute().await.map(drop)
    }
}

/// Stores the failures of accounts.
#[derive(Debug)]
pub(in crate::store::sql) struct KeepFailures(pub(in crate::store::sql) Vec<KeptFailures>);

impl Command for KeepFailures {
    type Reply = ();

    async fn write(&self, to: &mut Transaction<'_, '_>) -> sqlx::Result<()> {
        let Self(failures) = self;
        let hex =
            |digest: &[u8]| -> String { digest.iter().map(|byte| format!("{byte:02x}")).collect() };
        let rows = failures.iter().map(|kept| {
            json!({
                "account": hex(&kept.account),
                "failures": kept.failures,
                "expires_at": kept.expires_at.millis(),
            })
        });
        let rows = json!(rows.collect::<Vec<_>>()).to_string();
        let query = to.db.query(sql::KEEP_FAILURES).bind(rows);
        query.execute().await.map(drop)
    }
}

/// Runs `statement` to drop some rows of the time `until` or older.
#[derive(Debug)]
pub(in crate::store::sql) struct DropOld {
    pub(in crate::store::sql) statement: &'static str,
    pub(in crate::store::sql) until: Timestamp,
}

impl Command for DropOld {
    type Reply = ();

    async fn write(&self, to: &mut Transaction<'_, '_>) -> sqlx::Result<()> {
        let query = to.db.query(self.statement).bind(self.until.millis());
        query.bind(DROP_AT_ONCE).execute().await.map(drop)
    }
}
