//! The head of the log, and what is appended to it.

use serde_json::json;

use super::engine::{Db, Row};
use super::row::{hash, time};
use super::statements as sql;
use crate::revocation::Revocation;
use crate::revocation::log::{Cursor, Entry, Head};
use crate::store::mark::Mark;
use crate::time::Timestamp;

/// The head row: the log's head, and what cut-offs know.
#[derive(Clone, Debug)]
pub(super) struct HeadRow {
    pub head: Head,
    pub everything_from: i64,
    pub everything_version: i64,
    /// What time it is at the server, if there is one.
    pub server_time: Option<Timestamp>,
    /// What was appended since it was read.
    pub appended: Vec<Entry>,
}

impl HeadRow {
    /// Whether a cut-off of everything came after all that the mark knows of: not one that was there before the
    /// mark was written, after which something else may have been revoked. What had expired by the mark's
    /// horizon is among that, wherever the horizon is now.
    pub(super) fn has_ended_all_of(&self, mark: &Mark) -> bool {
        let known = mark.newest_lineage.max(mark.written_at);
        self.everything_from > known.millis()
    }
}

pub(super) async fn head(db: &mut Db<'_>) -> sqlx::Result<HeadRow> {
    let row = db.query_of(sql::HEAD, sql::HEAD_AT_PRIMARY).one().await?;
    head_row(&row, db.is_postgres())
}

/// The head, which nobody else moves until the transaction is over.
pub(super) async fn locked_head(db: &mut Db<'_>) -> sqlx::Result<HeadRow> {
    // SQLite locks when the transaction begins.
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

/// The next entry: its `seq`, which this gives, and its hash follow from the head, in the transaction that moves the
/// head. It is written with the others of the transaction, by [`write_appended`].
pub(super) fn append(head: &mut HeadRow, mut revocation: Revocation) -> i64 {
    revocation.seq = head.head.cursor.seq + 1;
    let hash = revocation.chain(&head.head.cursor.hash);
    let seq = revocation.seq;
    head.head.cursor = Cursor { seq, hash };
    head.appended.push(Entry { revocation, hash });
    seq
}

/// Writes all that was appended: one statement, however many callers it is of.
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
            "scope": revocation.target.kind().name(),
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

/// The first lineage time that is good after a cut-off at `at`: past now, and past every lineage
/// that was issued, also by a clock that was ahead.
pub(super) fn cut_off(at: Timestamp, newest_lineage: i64, from: i64) -> i64 {
    at.millis().max(newest_lineage).saturating_add(1).max(from)
}
