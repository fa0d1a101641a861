//! Sessions: begun, renewed, listed, forgotten.

use std::net::IpAddr;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection, SqlitePool};

use super::reader::{HeadRow, parsed, time, unreadable};
use super::sql;
use super::writer::{Done, SessionUser, append};
use crate::account::BeginSession;
use crate::id::{Lineage, SessionId, UserId};
use crate::inventory::{Entered, Origin, Renew, Renewed};
use crate::revocation::log::StoreError;
use crate::revocation::{Reason, Revocation, Target, session_revocation_expiry};
use crate::time::Timestamp;

/// How many rows one forgetting transaction drops: a logout waits no longer than that takes.
pub(super) const FORGET_AT_ONCE: i64 = 512;

pub(super) async fn begin(
    connection: &mut SqliteConnection,
    head: &mut HeadRow,
    begin: &BeginSession,
) -> sqlx::Result<Done> {
    let id = begin.user.to_string();
    let known: Option<SessionUser> = sqlx::query_as(sql::SESSION_USER)
        .bind(&id)
        .fetch_optional(&mut *connection)
        .await?;
    let Some((enabled, version, newest_lineage, from, _)) = known else {
        return Ok(Done::No);
    };
    let session = &begin.session;
    let lineage = session.lineage.created_at().millis();
    let unchanged = version == begin.version && head.everything_version == begin.everything_version;
    if !enabled || !unchanged || lineage < from || lineage < head.everything_from {
        return Ok(Done::No);
    }
    sqlx::query(sql::SET_NEWEST_LINEAGE)
        .bind(&id)
        .bind(newest_lineage.max(lineage))
        .execute(&mut *connection)
        .await?;
    sqlx::query(sql::BEGIN_SESSION)
        .bind(session.lineage.to_string())
        .bind(&id)
        .bind(session.auth_time.millis())
        .bind(session.session_expiry.millis())
        .bind(session.renew_at.millis())
        .bind(session.idle_end.millis())
        .bind(session.origin.address().map(|address| address.to_string()))
        .bind(session.origin.browser())
        .execute(connection)
        .await?;
    head.head.newest_lineage = head
        .head
        .newest_lineage
        .max(Timestamp::from_millis(lineage));
    Ok(Done::Yes)
}

pub(super) async fn renew(
    connection: &mut SqliteConnection,
    head: &mut HeadRow,
    renew: &Renew,
) -> sqlx::Result<Done> {
    let SessionId {
        lineage,
        generation: presented,
    } = renew.presented;
    let row = sqlx::query(sql::GENERATION)
        .bind(lineage.to_string())
        .bind(renew.user.to_string())
        .bind(renew.auth_time.millis())
        .bind(renew.session_expiry.millis())
        .fetch_optional(&mut *connection)
        .await?;
    let Some(row) = row else {
        return Ok(Done::Renewed(Renewed::Unknown));
    };
    let (current, renew_at) = (row.try_get::<u32, _>(0)?, time(&row, 1)?);
    let grace_until = time(&row, 2)?;
    let within_grace = presented.checked_add(1) == Some(current) && renew.at < grace_until;
    let next = match current.checked_add(1) {
        Some(next) if presented == current => next,
        _ => {
            return Ok(Done::Renewed(match () {
                () if within_grace => Renewed::Current {
                    generation: current,
                    renew_at,
                },
                () if presented < current => Renewed::Reused,
                () => Renewed::Unknown,
            }));
        }
    };
    let grace_until = renew.at.plus(renew.grace);
    sqlx::query(sql::RENEW)
        .bind(lineage.to_string())
        .bind(next)
        .bind(renew.renew_at.millis())
        .bind(grace_until.millis())
        .bind(renew.idle_end.millis())
        .execute(&mut *connection)
        .await?;
    let expires_at = session_revocation_expiry(lineage.created_at().max(renew.session_expiry));
    let revocation = Revocation {
        seq: 0,
        target: Target::Session(lineage),
        from: i64::from(next),
        grace_until: Some(grace_until),
        spared: None,
        expires_at,
        reason: Reason::Renewed,
        at: renew.at,
    };
    append(connection, head, revocation).await?;
    Ok(Done::Renewed(Renewed::Current {
        generation: next,
        renew_at: renew.renew_at,
    }))
}

pub(super) async fn forget(
    connection: &mut SqliteConnection,
    until: Timestamp,
) -> sqlx::Result<Done> {
    let forgotten = sqlx::query(sql::FORGET)
        .bind(until.millis())
        .bind(FORGET_AT_ONCE)
        .execute(connection)
        .await?;
    Ok(Done::Forgotten(forgotten.rows_affected()))
}

pub(super) async fn list(
    pool: &SqlitePool,
    user: UserId,
    since: Timestamp,
) -> Result<Vec<Entered>, StoreError> {
    let rows = sqlx::query(sql::SESSIONS)
        .bind(user.to_string())
        .bind(since.millis())
        .fetch_all(pool)
        .await;
    rows.and_then(|rows| rows.iter().map(listed).collect())
        .map_err(|cause| StoreError::new("list the sessions", cause))
}

pub(super) async fn find(
    pool: &SqlitePool,
    user: UserId,
    lineage: Lineage,
) -> Result<Option<Entered>, StoreError> {
    let row = sqlx::query(sql::SESSION)
        .bind(lineage.to_string())
        .bind(user.to_string())
        .fetch_optional(pool)
        .await;
    row.and_then(|row| row.as_ref().map(listed).transpose())
        .map_err(|cause| StoreError::new("find the session", cause))
}

fn listed(row: &SqliteRow) -> sqlx::Result<Entered> {
    let address: Option<String> = row.try_get(5)?;
    let address: Option<IpAddr> = address
        .map(|text| text.parse())
        .transpose()
        .map_err(|_| unreadable("address"))?;
    let browser: Option<String> = row.try_get(6)?;
    Ok(Entered {
        lineage: parsed(row, 0, "session lineage")?,
        auth_time: time(row, 1)?,
        session_expiry: time(row, 2)?,
        renew_at: time(row, 3)?,
        idle_end: time(row, 4)?,
        origin: Origin::new(address, browser.as_deref()),
    })
}
