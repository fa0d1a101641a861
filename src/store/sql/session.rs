//! Sessions: begun, renewed, listed, forgotten.

use std::net::IpAddr;

use async_trait::async_trait;

use super::SqlStore;
use super::change::append;
use super::engine::{Db, Readers, Row};
use super::reader::{HeadRow, parsed, time, unreadable};
use super::statements as sql;
use super::user::session_user;
use super::writer::{Change, Done};
use crate::account::BeginSession;
use crate::id::{Lineage, SessionId, UserId};
use crate::inventory::{Entered, Inventory, Origin, Raise, Renew, Renewed};
use crate::revocation::log::StoreError;
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
    let query = db.query(sql::GENERATION).bind(lineage.to_string());
    let query = query.bind(renew.user.to_string());
    let query = query.bind(renew.auth_time.millis());
    let query = query.bind(renew.session_expiry.millis());
    let Some(row) = query.optional().await? else {
        return Ok(Done::Renewed(Renewed::Unknown));
    };
    let (current, renew_at) = (generation(&row, 0)?, time(&row, 1)?);
    let next = match current.checked_add(1) {
        Some(next) if presented == current => next,
        _ => {
            return Ok(Done::Renewed(match () {
                () if within_grace(&row, presented, renew.at)? => Renewed::Current {
                    generation: current,
                    renew_at,
                },
                () if presented < generation(&row, 3)? => Renewed::Superseded,
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
    append(
        head,
        Revocation {
            grace_until: Some(grace_until),
            ..raised_entry(
                lineage,
                next,
                renew.session_expiry,
                Reason::Renewed,
                renew.at,
            )
        },
    );
    Ok(Done::Renewed(Renewed::Current {
        generation: next,
        renew_at: renew.renew_at,
    }))
}

/// Gives a session its next generation and ends all before it at once, without a grace. Gives the generation, or
/// none if there is no such session or the generation that was presented is over.
///
/// The `reason` is why the session changed: its user's new password, for example. It is not
/// [`Reason::Renewed`], which says that a generation before it is a sign of theft.
pub(super) async fn raise(
    db: &mut Db<'_>,
    head: &mut HeadRow,
    raise: &Raise,
    reason: Reason,
) -> sqlx::Result<Option<u32>> {
    let SessionId {
        lineage,
        generation: presented,
    } = raise.presented;
    let query = db.query(sql::GENERATION).bind(lineage.to_string());
    let query = query.bind(raise.user.to_string());
    let query = query.bind(raise.auth_time.millis());
    let query = query.bind(raise.session_expiry.millis());
    let Some(row) = query.optional().await? else {
        return Ok(None);
    };
    let current = generation(&row, 0)?;
    let good = presented == current || within_grace(&row, presented, raise.at)?;
    let Some(next) = current.checked_add(1).filter(|_| good) else {
        return Ok(None);
    };
    db.query(sql::RAISE)
        .bind(lineage.to_string())
        .bind(i64::from(next))
        .bind(raise.renew_at.millis())
        .bind(raise.idle_end.millis())
        .execute()
        .await?;
    let entry = raised_entry(lineage, next, raise.session_expiry, reason, raise.at);
    append(head, entry);
    Ok(Some(next))
}

/// Whether a generation was renewed, and its grace lasts.
fn within_grace(row: &Row, presented: u32, at: Timestamp) -> sqlx::Result<bool> {
    let before = presented.checked_add(1) == Some(generation(row, 0)?);
    Ok(before && at < time(row, 2)?)
}

/// The entry that ends every generation before `next`, without a grace.
fn raised_entry(
    lineage: Lineage,
    next: u32,
    session_expiry: Timestamp,
    reason: Reason,
    at: Timestamp,
) -> Revocation {
    Revocation {
        seq: 0,
        target: Target::Session(lineage),
        from: i64::from(next),
        grace_until: None,
        spared: None,
        expires_at: session_revocation_expiry(lineage.created_at().max(session_expiry)),
        reason,
        at,
    }
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

fn generation(row: &Row, column: usize) -> sqlx::Result<u32> {
    let generation = row.get::<i64>(column)?.try_into();
    generation.map_err(|_| unreadable("generation"))
}

async fn ended_by_a_change(readers: &Readers, session: SessionId) -> sqlx::Result<bool> {
    let lineage = session.lineage.to_string();
    let row = readers.optional(sql::RAISED, |query| query.bind(lineage));
    let Some(row) = row.await? else {
        return Ok(false);
    };
    Ok(session.generation < generation(&row, 0)?)
}

async fn list(readers: &Readers, user: UserId, since: Timestamp) -> sqlx::Result<Vec<Entered>> {
    let rows = readers.all(sql::SESSIONS, |query| {
        query.bind(user.to_string()).bind(since.millis())
    });
    rows.await?.iter().map(listed).collect()
}

async fn find(readers: &Readers, user: UserId, lineage: Lineage) -> sqlx::Result<Option<Entered>> {
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

#[async_trait]
impl Inventory for SqlStore {
    async fn sessions(&self, user: UserId, since: Timestamp) -> Result<Vec<Entered>, StoreError> {
        let read = list(&self.readers, user, since);
        self.read("list the sessions", read).await
    }

    async fn session(&self, user: UserId, lineage: Lineage) -> Result<Option<Entered>, StoreError> {
        let read = find(&self.readers, user, lineage);
        self.read("find the session", read).await
    }

    async fn renew(&self, renew: Renew) -> Result<Renewed, StoreError> {
        match self.write(Change::Renew(renew)).await? {
            Done::Renewed(renewed) => Ok(renewed),
            other => Err(other.unexpected()),
        }
    }

    async fn ended_by_a_change(&self, session: SessionId) -> Result<bool, StoreError> {
        let read = ended_by_a_change(&self.readers, session);
        self.read("find the session", read).await
    }

    async fn forget(&self, until: Timestamp) -> Result<u64, StoreError> {
        let mut all = 0;
        loop {
            match self.write(Change::Forget(until)).await? {
                Done::Forgotten(0) => return Ok(all),
                Done::Forgotten(some) => all += some,
                other => return Err(other.unexpected()),
            }
        }
    }
}
