//! The head row of the log, and the entries appended to it.

use serde_json::json;

use super::engine::{Db, Row};
use super::row::{hash, time};
use super::statements as sql;
use crate::revocation::Revocation;
use crate::revocation::log::{Cursor, Entry, Head};
use crate::store::mark::Mark;
use crate::time::Timestamp;

/// The head row: the log's head, and the state of the cut-offs.
#[derive(Clone, Debug)]
pub(super) struct HeadRow {
    pub head: Head,
    pub everything_from: i64,
    pub everything_version: i64,
    /// The server's time, if the database has a server.
    pub server_time: Option<Timestamp>,
    /// The entries appended since the row was read.
    pub appended: Vec<Entry>,
}

impl HeadRow {
    /// Returns `true` if a cut-off of everything covers all that the mark knows. A cut-off from before the mark was
    /// written does not count, because something else may have been revoked after it. The mark's horizon needs no check
    /// of its own: everything that had expired by it is covered too, wherever the horizon is now.
    pub(super) fn has_ended_all_of(&self, mark: &Mark) -> bool {
        let known = mark.newest_lineage.max(mark.written_at);
        self.everything_from > known.millis()
    }
}

pub(super) async fn head(db: &mut Db<'_>) -> sqlx::Result<HeadRow> {
    let row = db.query_of(sql::HEAD, sql::HEAD_AT_PRIMARY).one().await?;
    head_row(&row, db.is_postgres())
}

/// Returns the head, locked against other writers until the transaction ends.
pub(super) async fn locked_head(db: &mut Db<'_>) -> sqlx::Result<HeadRow> {
    // SQLite locks the database when the transaction begins.
    let row = db.query_of(sql::HEAD, sql::LOCK_HEAD).one().await?;
    head_row(&row, db.is_postgres())
}

fn head_row(row: &Row, at_server: bool) -> sqlx::Result<HeadRow> {
    if at_server && row.get(7)? {
        return Err(sqlx::Error::Protocol(
            "this server is a standby and not the writable primary".to_owned(),
        ));
    }
    Ok(HeadRow {
        head: Head {
            cursor: Cursor {
                seq: row.get(0)?,
                hash: hash(row, 1)?,
            },
            compacted: row.get(2)?,
            horizon: time(row, 3)?,
            newest_lineage: time(row, 4)?,
        },
        everything_from: row.get(5)?,
        everything_version: row.get(6)?,
        server_time: at_server.then(|| time(row, 8)).transpose()?,
        appended: Vec::new(),
    })
}

pub(super) async fn set_head(db: &mut Db<'_>, row: &HeadRow) -> sqlx::Result<()> {
    db.query(sql::SET_HEAD)
        .bind(row.head.cursor.seq)
        .bind(row.head.cursor.hash.as_slice())
        .bind(row.head.compacted)
        .bind(row.head.horizon.millis())
        .bind(row.head.newest_lineage.millis())
        .bind(row.everything_from)
        .bind(row.everything_version)
        .execute()
        .await?;
    Ok(())
}

/// Appends an entry in memory, and returns its `seq`. The `seq` and the hash follow from the head, in the transaction
/// that moves the head. [`write_appended`] writes the entry together with the others of the transaction.
pub(super) fn append(head: &mut HeadRow, mut revocation: Revocation) -> i64 {
    revocation.seq = head.head.cursor.seq + 1;
    let hash = revocation.chain(&head.head.cursor.hash);
    let seq = revocation.seq;
    head.head.cursor = Cursor { seq, hash };
    head.appended.push(Entry { revocation, hash });
    seq
}

/// Writes all appended entries in one statement, however many callers they come from.
pub(super) async fn write_appended(db: &mut Db<'_>, head: &HeadRow) -> sqlx::Result<()> {
    if head.appended.is_empty() {
        return Ok(());
    }
    let hex = |hash: &[u8]| {
        hash.iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let row = |entry: &Entry| {
        let Entry { revocation, hash } = entry;
        json!({
            "seq": revocation.seq,
            "scope": revocation.target.scope(),
            "key": revocation.target.key(),
            "from": revocation.from,
            "spared": revocation.spared,
            "expires_at": revocation.expires_at.millis(),
            "reason": revocation.reason.word(),
            "at": revocation.at.millis(),
            "hash": hex(hash),
            "grace_until": revocation.grace_until.map(Timestamp::millis),
        })
    };
    let rows: Vec<_> = head.appended.iter().map(row).collect();
    let query = db.query_of(sql::APPEND, sql::APPEND_AT_SERVER);
    query
        .bind(json!(rows).to_string())
        .execute()
        .await
        .map(drop)
}

/// Returns the first creation time that is valid after a cut-off at `at`: later than now, and later than every issued
/// lineage, including those of a clock that was ahead.
pub(super) fn cut_off(at: Timestamp, newest_lineage: i64, from: i64) -> i64 {
    at.millis().max(newest_lineage).saturating_add(1).max(from)
}
