//! Sessions: begun, renewed, listed, forgotten.

use std::net::IpAddr;

use super::change::append;
use super::engine::{Db, Readers, Row};
use super::reader::{HeadRow, parsed, time, unreadable};
use super::statements as sql;
use super::user::session_user;
use super::writer::Done;
use crate::account::BeginSession;
use crate::id::{Lineage, SessionId, UserId};
use crate::inventory::{Entered, Origin, Renew, Renewed};
use crate::revocation::{Reason, Revocation, Target, session_revocation_expiry};
use crate::time::Timestamp;

/// How many rows one forgetting transaction drops: a logout waits no longer than that takes.
pub(super) const FORGET_AT_ONCE: i64 = 512;

pub(super) async fn begin(
    db: &mut Db<'_>,
    head: &mut HeadRow,
    begin: &BeginSession,
) -> sqlx::Result<Done> {
    let id = begin.user.to_string();
    let known = session_user(db, &id).await?;
    let Some((enabled, version, newest_lineage, from, _)) = known else {
        return Ok(Done::No);
    };
    let begun = &begin.session;
    let lineage = begun.lineage.created_at().millis();
    let unchanged = version == begin.version && head.everything_version == begin.everything_version;
    if !enabled || !unchanged || lineage < from || lineage < head.everything_from {
        return Ok(Done::No);
    }
    db.query(sql::SET_NEWEST_LINEAGE)
        .bind(&id)
        .bind(newest_lineage.max(lineage))
        .execute()
        .await?;
    db.query(sql::BEGIN_SESSION)
        .bind(begun.lineage.to_string())
        .bind(&id)
        .bind(begun.auth_time.millis())
        .bind(begun.session_expiry.millis())
        .bind(begun.renew_at.millis())
        .bind(begun.idle_end.millis())
        .bind(begun.origin.address().map(|address| address.to_string()))
        .bind(begun.origin.browser().map(str::to_owned))
        .execute()
        .await?;
    head.head.newest_lineage = head
        .head
        .newest_lineage
        .max(Timestamp::from_millis(lineage));
    Ok(Done::Yes)
}

pub(super) async fn renew(
    db: &mut Db<'_>,
    head: &mut HeadRow,
    renew: &Renew,
) -> sqlx::Result<Done> {
    let SessionId {
        lineage,
        generation: presented,
    } = renew.presented;
    let row = db
        .query(sql::GENERATION)
        .bind(lineage.to_string())
        .bind(renew.user.to_string())
        .bind(renew.auth_time.millis())
        .bind(renew.session_expiry.millis())
        .optional()
        .await?;
    let Some(row) = row else {
        return Ok(Done::Renewed(Renewed::Unknown));
    };
    let (current, renew_at) = (generation(&row)?, time(&row, 1)?);
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
    db.query(sql::RENEW)
        .bind(lineage.to_string())
        .bind(i64::from(next))
        .bind(renew.renew_at.millis())
        .bind(grace_until.millis())
        .bind(renew.idle_end.millis())
        .execute()
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
    append(head, revocation);
    Ok(Done::Renewed(Renewed::Current {
        generation: next,
        renew_at: renew.renew_at,
    }))
}

pub(super) async fn forget(db: &mut Db<'_>, until: Timestamp) -> sqlx::Result<Done> {
    let forgotten = db
        .query(sql::FORGET)
        .bind(until.millis())
        .bind(FORGET_AT_ONCE)
        .execute()
        .await?;
    Ok(Done::Forgotten(forgotten))
}

fn generation(row: &Row) -> sqlx::Result<u32> {
    let generation = row.get::<i64>(0)?.try_into();
    generation.map_err(|_| unreadable("generation"))
}

pub(super) async fn list(
    readers: &Readers,
    user: UserId,
    since: Timestamp,
) -> sqlx::Result<Vec<Entered>> {
    let rows = readers.all(sql::SESSIONS, |query| {
        query.bind(user.to_string()).bind(since.millis())
    });
    rows.await?.iter().map(listed).collect()
}

pub(super) async fn find(
    readers: &Readers,
    user: UserId,
    lineage: Lineage,
) -> sqlx::Result<Option<Entered>> {
    let row = readers.optional(sql::SESSION, |query| {
        query.bind(lineage.to_string()).bind(user.to_string())
    });
    row.await?.as_ref().map(listed).transpose()
}

fn listed(row: &Row) -> sqlx::Result<Entered> {
    let address: Option<String> = row.get(5)?;
    let address: Option<IpAddr> = address
        .map(|text| text.parse())
        .transpose()
        .map_err(|_| unreadable("address"))?;
    let browser: Option<String> = row.get(6)?;
    Ok(Entered {
        lineage: parsed(row, 0, "session lineage")?,
        auth_time: time(row, 1)?,
        session_expiry: time(row, 2)?,
        renew_at: time(row, 3)?,
        idle_end: time(row, 4)?,
        origin: Origin::new(address, browser.as_deref()),
    })
}
