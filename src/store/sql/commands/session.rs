//! Commands that begin, renew and remove sessions.

use crate::account::BeginSession;
use crate::id::{Lineage, SessionId};
use crate::inventory::{Raise, Renew, Renewed};
use crate::revocation::{Reason, Revocation, Target, session_revocation_expiry};
use crate::session::LoginMethods;
use crate::store::sql::command::{Command, Transaction};
use crate::store::sql::engine::{Db, Row};
use crate::store::sql::head::{HeadRow, append};
use crate::store::sql::row::{generation, parsed, time};
use crate::store::sql::statements as sql;
use crate::time::Timestamp;

/// The number of rows that one command removes. It bounds how long the cleanup delays a logout.
const FORGET_AT_ONCE: i64 = 512;

/// The columns `enabled`, `version`, `newest_lineage`, `from` and `spared` of a user.
type UserRow = (bool, i64, i64, i64, Option<String>);

/// The reply is `false` if the user has changed since it was read.
impl Command for BeginSession {
    type Reply = bool;

    async fn write(&self, to: &mut Transaction<'_, '_>) -> sqlx::Result<bool> {
        begin(to.db, to.head, self).await
    }
}

impl Command for Renew {
    type Reply = Renewed;

    async fn write(&self, to: &mut Transaction<'_, '_>) -> sqlx::Result<Renewed> {
        renew(to.db, to.head, self).await
    }

    fn unheard(&self) -> Option<Renewed> {
        Some(Renewed::Unknown)
    }
}

/// Removes some of the sessions that ended at or before a time. The reply is their number.
#[derive(Debug)]
pub(in crate::store::sql) struct Forget(pub(in crate::store::sql) Timestamp);

impl Command for Forget {
    type Reply = u64;

    async fn write(&self, to: &mut Transaction<'_, '_>) -> sqlx::Result<u64> {
        let Self(until) = self;
        let query = to.db.query(sql::FORGET).bind(until.millis());
        query.bind(FORGET_AT_ONCE).execute().await
    }
}

async fn begin(db: &mut Db<'_>, head: &mut HeadRow, begin: &BeginSession) -> sqlx::Result<bool> {
    let id = begin.user.to_string();
    let known = user_row(db, &id).await?;
    let Some((enabled, version, newest_lineage, from, _)) = known else {
        return Ok(false);
    };
    let begun = &begin.session;
    let lineage = begun.lineage.created_at().millis();
    let unchanged = version == begin.version && head.everything_version == begin.everything_version;
    if !enabled || !unchanged || lineage < from || lineage < head.everything_from {
        return Ok(false);
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
        .bind(begun.methods.as_str())
        .execute()
        .await?;
    head.head.newest_lineage = head
        .head
        .newest_lineage
        .max(Timestamp::from_millis(lineage));
    Ok(true)
}

async fn renew(db: &mut Db<'_>, head: &mut HeadRow, renew: &Renew) -> sqlx::Result<Renewed> {
    let SessionId {
        lineage,
        generation: presented,
    } = renew.presented;
    let query = db.query(sql::GENERATION).bind(lineage.to_string());
    let query = query.bind(renew.user.to_string());
    let query = query.bind(renew.auth_time.millis());
    let query = query.bind(renew.session_expiry.millis());
    let Some(row) = of_login(query.optional().await?, &renew.methods)? else {
        return Ok(Renewed::Unknown);
    };
    let (current, renew_at) = (generation(&row, 0)?, time(&row, 1)?);
    let next = match current.checked_add(1) {
        Some(next) if presented == current => next,
        _ => {
            return Ok(match () {
                () if within_grace(&row, presented, renew.at)? => Renewed::Current {
                    generation: current,
                    renew_at,
                },
                () if presented < generation(&row, 3)? => Renewed::Superseded,
                () if presented < current => Renewed::Reused,
                () => Renewed::Unknown,
            });
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
    Ok(Renewed::Current {
        generation: next,
        renew_at: renew.renew_at,
    })
}

/// Raises a session to its next generation and ends all earlier generations at once, without a grace. Returns the new
/// generation, or `None` if the session does not exist or the presented generation is over.
///
/// `reason` says why the session changed: its user has a new password, for example. It is never [`Reason::Renewed`],
/// which makes the use of an earlier generation a sign of theft.
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
    let Some(row) = of_login(query.optional().await?, &raise.methods)? else {
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

/// Returns the row if its login had these methods, and no others.
fn of_login(row: Option<Row>, methods: &LoginMethods) -> sqlx::Result<Option<Row>> {
    let Some(row) = row else {
        return Ok(None);
    };
    let known: LoginMethods = parsed(&row, 4, "set of login methods")?;
    Ok((known == *methods).then_some(row))
}

/// Returns `true` if the presented generation was superseded by a renewal whose grace is not over.
fn within_grace(row: &Row, presented: u32, at: Timestamp) -> sqlx::Result<bool> {
    let before = presented.checked_add(1) == Some(generation(row, 0)?);
    Ok(before && at < time(row, 2)?)
}

/// Returns the entry that ends every generation before `next`, without a grace.
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

/// Returns the columns of a user that a command needs.
pub(super) async fn user_row(db: &mut Db<'_>, id: &str) -> sqlx::Result<Option<UserRow>> {
    let row = db.query(sql::SESSION_USER).bind(id).optional().await?;
    let user = |row: Row| {
        Ok((
            row.get(0)?,
            row.get(1)?,
            row.get(2)?,
            row.get(3)?,
            row.get(4)?,
        ))
    };
    row.map(user).transpose()
}
