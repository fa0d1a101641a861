//! Read queries. Each function sees one snapshot of the store.

use super::engine::{Db, Readers, Row};
use super::head::{HeadRow, head};
use super::packed::{self, Packed};
use super::row::{maybe_time, parsed, time};
use super::statements as sql;
use crate::account::password::PasswordHash;
use crate::account::{LoginStart, LoginUser, User, Username};
use crate::id::UserId;
use crate::revocation::log::{Entry, Page};
use crate::time::Timestamp;

/// The maximum number of entries in one row.
const ROW: u32 = 1024;

/// Returns up to `limit` entries. The engine prepares the next row while this one is unpacked.
async fn entries(db: &mut Db<'_>, after: i64, limit: u32) -> sqlx::Result<Vec<Entry>> {
    let (mut entries, mut left) = (Vec::new(), limit);
    let mut row = packed_row(db, after, left.min(ROW)).await?;
    while let Some(packed) = row {
        let full = packed.len() >= ROW as usize;
        left = if full { left.saturating_sub(ROW) } else { 0 };
        let next = packed_row(db, packed.newest()?, left.min(ROW));
        let unpacked = async { packed.unpack_onto(&mut entries) };
        let (next, unpacked) = tokio::join!(next, unpacked);
        unpacked?;
        row = next?;
    }
    Ok(entries)
}

async fn packed_row(db: &mut Db<'_>, after: i64, limit: u32) -> sqlx::Result<Option<Packed>> {
    if limit == 0 {
        return Ok(None);
    }
    let query = db.query_of(sql::ENTRIES, sql::ENTRIES_AT_SERVER);
    let row = query.bind(after).bind(i64::from(limit)).one().await?;
    let Some(hashes) = row.get(packed::COLUMNS)? else {
        return Ok(None);
    };
    let columns = (0..packed::COLUMNS).map(|column| row.get(column));
    let columns = columns.collect::<sqlx::Result<Vec<String>>>()?;
    Ok(Some(Packed { columns, hashes }))
}

pub(super) async fn page(readers: &Readers, after: i64, limit: u32) -> sqlx::Result<Page> {
    let mut reader = readers.snapshot().await?;
    let (_, page) = page_in(&mut reader.db(), after, limit).await?;
    reader.done().await?;
    Ok(page)
}

pub(super) async fn page_in(
    db: &mut Db<'_>,
    after: i64,
    limit: u32,
) -> sqlx::Result<(HeadRow, Page)> {
    let row = head(db).await?;
    let head = row.head;
    let entries = entries(db, after, limit).await?;
    Ok((row, Page { head, entries }))
}

/// Returns the first entry after that `seq`.
pub(super) async fn entry_after(db: &mut Db<'_>, seq: i64) -> sqlx::Result<Option<Entry>> {
    Ok(entries(db, seq, 1).await?.pop())
}

/// Returns `seq` and `expires_at` of up to `limit` entries that come after that `seq` and expired at or before `until`.
pub(super) async fn expired(
    readers: &Readers,
    after: i64,
    until: Timestamp,
    limit: i64,
) -> sqlx::Result<Vec<(i64, i64)>> {
    let rows = readers.all(sql::EXPIRED, |query| {
        query.bind(after).bind(until.millis()).bind(limit)
    });
    let rows = rows.await?;
    rows.iter()
        .map(|row| Ok((row.get(0)?, row.get(1)?)))
        .collect()
}

fn user_row(row: &Row) -> sqlx::Result<User> {
    Ok(User {
        id: parsed(row, 0, "user ID")?,
        username: parsed(row, 1, "username")?,
        enabled: row.get(2)?,
        created_at: time(row, 3)?,
        password_change_required_by: maybe_time(row, 4)?,
    })
}

pub(super) async fn users(readers: &Readers) -> sqlx::Result<Vec<User>> {
    let rows = readers.all(sql::USERS, |query| query).await?;
    rows.iter().map(user_row).collect()
}

pub(super) async fn user(readers: &Readers, name: &Username) -> sqlx::Result<Option<User>> {
    let row = readers.optional(sql::USER, |query| query.bind(name.as_str()));
    row.await?.as_ref().map(user_row).transpose()
}

fn login_user_row(row: &Row) -> sqlx::Result<LoginUser> {
    Ok(LoginUser {
        id: parsed(row, 0, "user ID")?,
        username: parsed(row, 1, "username")?,
        password_hash: PasswordHash::from_store(row.get(2)?),
        enabled: row.get(3)?,
        version: row.get(4)?,
        password_change_required_by: maybe_time(row, 5)?,
    })
}

pub(super) async fn login_user(readers: &Readers, user: UserId) -> sqlx::Result<Option<LoginUser>> {
    let row = readers.optional(sql::LOGIN_USER_BY_ID, |query| query.bind(user.to_string()));
    row.await?.as_ref().map(login_user_row).transpose()
}

pub(super) async fn start_login(readers: &Readers, name: &Username) -> sqlx::Result<LoginStart> {
    let mut reader = readers.snapshot().await?;
    let mut db = reader.db();
    let head = head(&mut db).await?;
    let query = db.query(sql::LOGIN_USER).bind(name.as_str());
    let row = query.optional().await?;
    reader.done().await?;
    let mut first_lineage = head.everything_from;
    let user = match row {
        None => None,
        Some(row) => {
            first_lineage = first_lineage.max(row.get(6)?);
            Some(login_user_row(&row)?)
        }
    };
    Ok(LoginStart {
        user,
        first_lineage,
        everything_version: head.everything_version,
    })
}
