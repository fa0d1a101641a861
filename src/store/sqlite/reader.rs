//! What is read. Each function sees one moment of the store.

use sqlx::{Row, SqliteConnection, SqlitePool, sqlite::SqliteRow};

use super::sql;
use crate::account::password::PasswordHash;
use crate::account::{LoginStart, LoginUser, User, Username};
use crate::id::UserId;
use crate::revocation::log::{Cursor, Entry, Head, Page, StoreError};
use crate::revocation::{LogHash, Reason, Revocation, Scope, Target};
use crate::time::Timestamp;

/// The head row: the log's head, and what cut-offs know.
#[derive(Clone, Debug)]
pub(super) struct HeadRow {
    pub head: Head,
    pub everything_from: i64,
    pub everything_version: i64,
    /// What was appended since it was read.
    pub appended: Vec<(Scope, Reason)>,
}

/// A row that this program did not write.
pub(super) fn unreadable(what: &'static str) -> sqlx::Error {
    sqlx::Error::Decode(format!("a {what} that this version does not know").into())
}

fn hash(row: &SqliteRow, column: usize) -> sqlx::Result<LogHash> {
    row.try_get::<Vec<u8>, _>(column)?
        .try_into()
        .map_err(|_| unreadable("hash"))
}

pub(super) fn time(row: &SqliteRow, column: usize) -> sqlx::Result<Timestamp> {
    row.try_get(column).map(Timestamp::from_millis)
}

pub(super) fn parsed<T: std::str::FromStr>(
    row: &SqliteRow,
    column: usize,
    what: &'static str,
) -> sqlx::Result<T> {
    row.try_get::<String, _>(column)?
        .parse()
        .map_err(|_| unreadable(what))
}

pub(super) async fn head(connection: &mut SqliteConnection) -> sqlx::Result<HeadRow> {
    let row = sqlx::query(sql::HEAD).fetch_one(connection).await?;
    Ok(HeadRow {
        head: Head {
            cursor: Cursor {
                seq: row.try_get(0)?,
                hash: hash(&row, 1)?,
            },
            compacted: row.try_get(2)?,
            horizon: time(&row, 3)?,
            newest_lineage: time(&row, 4)?,
        },
        everything_from: row.try_get(5)?,
        everything_version: row.try_get(6)?,
        appended: Vec::new(),
    })
}

fn entry(row: &SqliteRow) -> sqlx::Result<Entry> {
    let (scope, key): (String, String) = (row.try_get(1)?, row.try_get(2)?);
    let spared: Option<String> = row.try_get(4)?;
    let spared = spared
        .map(|text| text.parse())
        .transpose()
        .map_err(|_| unreadable("spared session"))?;
    let revocation = Revocation {
        seq: row.try_get(0)?,
        target: Target::from_log(&scope, &key).ok_or_else(|| unreadable("revocation"))?,
        from: row.try_get(3)?,
        grace_until: row
            .try_get::<Option<i64>, _>(9)?
            .map(Timestamp::from_millis),
        spared,
        expires_at: time(row, 5)?,
        reason: parsed(row, 6, "reason")?,
        at: time(row, 7)?,
    };
    Ok(Entry {
        revocation,
        hash: hash(row, 8)?,
    })
}

pub(super) async fn page(pool: &SqlitePool, after: i64, limit: u32) -> Result<Page, StoreError> {
    let read = async {
        let mut transaction = pool.begin().await?;
        let head = head(&mut transaction).await?.head;
        let rows = sqlx::query(sql::ENTRIES)
            .bind(after)
            .bind(limit)
            .fetch_all(&mut *transaction)
            .await?;
        let entries = rows.iter().map(entry).collect::<sqlx::Result<_>>()?;
        transaction.commit().await?;
        Ok::<_, sqlx::Error>(Page { head, entries })
    };
    read.await
        .map_err(|cause| StoreError::new("read the revocation log", cause))
}

/// The first entry after that `seq`.
pub(super) async fn entry_after(
    connection: &mut SqliteConnection,
    seq: i64,
) -> sqlx::Result<Option<Entry>> {
    let query = sqlx::query(sql::ENTRIES).bind(seq).bind(1);
    let row = query.fetch_optional(connection).await?;
    row.as_ref().map(entry).transpose()
}

pub(super) async fn expired(
    pool: &SqlitePool,
    until: Timestamp,
) -> Result<Vec<(i64, i64)>, StoreError> {
    sqlx::query_as(sql::EXPIRED)
        .bind(until.millis())
        .fetch_all(pool)
        .await
        .map_err(|cause| StoreError::new("find expired revocations", cause))
}

fn user_row(row: &SqliteRow) -> sqlx::Result<User> {
    Ok(User {
        id: parsed(row, 0, "user ID")?,
        username: parsed(row, 1, "username")?,
        enabled: row.try_get(2)?,
        created_at: time(row, 3)?,
    })
}

pub(super) async fn users(pool: &SqlitePool) -> Result<Vec<User>, StoreError> {
    let rows = sqlx::query(sql::USERS).fetch_all(pool).await;
    rows.and_then(|rows| rows.iter().map(user_row).collect())
        .map_err(|cause| StoreError::new("list the users", cause))
}

pub(super) async fn user(pool: &SqlitePool, name: &Username) -> Result<Option<User>, StoreError> {
    let row = sqlx::query(sql::USER)
        .bind(name.as_str())
        .fetch_optional(pool)
        .await;
    row.and_then(|row| row.as_ref().map(user_row).transpose())
        .map_err(|cause| StoreError::new("find the user", cause))
}

fn login_user_row(row: &SqliteRow) -> sqlx::Result<LoginUser> {
    Ok(LoginUser {
        id: parsed(row, 0, "user ID")?,
        username: parsed(row, 1, "username")?,
        password_hash: PasswordHash::from_store(row.try_get(2)?),
        enabled: row.try_get(3)?,
        version: row.try_get(4)?,
    })
}

pub(super) async fn login_user(
    pool: &SqlitePool,
    user: UserId,
) -> Result<Option<LoginUser>, StoreError> {
    let row = sqlx::query(sql::LOGIN_USER_BY_ID)
        .bind(user.to_string())
        .fetch_optional(pool)
        .await;
    row.and_then(|row| row.as_ref().map(login_user_row).transpose())
        .map_err(|cause| StoreError::new("look up the user", cause))
}

pub(super) async fn start_login(
    pool: &SqlitePool,
    name: &Username,
) -> Result<LoginStart, StoreError> {
    let read = async {
        let mut transaction = pool.begin().await?;
        let head = head(&mut transaction).await?;
        let row = sqlx::query(sql::LOGIN_USER)
            .bind(name.as_str())
            .fetch_optional(&mut *transaction)
            .await?;
        transaction.commit().await?;
        let mut first_lineage = head.everything_from;
        let user = match row {
            None => None,
            Some(row) => {
                first_lineage = first_lineage.max(row.try_get(5)?);
                Some(login_user_row(&row)?)
            }
        };
        Ok::<_, sqlx::Error>(LoginStart {
            user,
            first_lineage,
            everything_version: head.everything_version,
        })
    };
    read.await
        .map_err(|cause| StoreError::new("look up the user", cause))
}
