//! Users: added, changed, and the end of their sessions.

use super::change::{append, cut_off};
use super::engine::{Db, Row};
use super::reader::HeadRow;
use super::statements as sql;
use super::writer::Done;
use crate::account::password::PasswordHash;
use crate::account::{User, UserChange};
use crate::id::{Lineage, UserId};
use crate::revocation::{Reason, Revocation, Target, cut_off_expiry};
use crate::time::Timestamp;

/// `enabled`, `version`, `newest_lineage`, `from`, `spared`.
type SessionUser = (bool, i64, i64, i64, Option<String>);

pub(super) async fn change(
    db: &mut Db<'_>,
    head: &mut HeadRow,
    user: UserId,
    change: &UserChange,
    at: Timestamp,
) -> sqlx::Result<Done> {
    let id = user.to_string();
    let known = session_user(db, &id).await?;
    let Some((_, version, newest_lineage, before, already_spared)) = known else {
        return Ok(Done::No);
    };
    let spared: Option<Lineage> = match change {
        UserChange::EndSessions { spared, .. } => *spared,
        UserChange::OwnPassword { version: read, .. } if *read != version => return Ok(Done::No),
        UserChange::OwnPassword { spared, .. } => Some(*spared),
        UserChange::Password(_) | UserChange::Disable | UserChange::Delete => None,
    };
    let spares = spared.map(|lineage| lineage.to_string());
    // "All others" again, and none was begun since: one session cannot grow the log for ever. Logins
    // under way lose all the same.
    let again = matches!(change, UserChange::EndSessions { .. })
        && spares.is_some()
        && spares == already_spared
        && newest_lineage < before;
    let from = if again {
        before
    } else {
        cut_off(at, newest_lineage, before)
    };
    db.query(sql::CUT_OFF_USER)
        .bind(&id)
        .bind(from)
        .bind(&spares)
        .execute()
        .await?;
    if again {
        return Ok(Done::Revoked(head.head.cursor.seq));
    }
    db.query(sql::FORGET_OTHERS)
        .bind(&id)
        .bind(spares.unwrap_or_default())
        .execute()
        .await?;
    let reason = match change {
        UserChange::Password(hash) | UserChange::OwnPassword { hash, .. } => {
            db.query(sql::SET_PASSWORD)
                .bind(&id)
                .bind(hash.as_str())
                .execute()
                .await?;
            Reason::PasswordChanged
        }
        UserChange::Disable => {
            db.query(sql::DISABLE_USER).bind(&id).execute().await?;
            Reason::Disabled
        }
        UserChange::Delete => {
            db.query(sql::DELETE_USER).bind(&id).execute().await?;
            Reason::Deleted
        }
        UserChange::EndSessions { reason, .. } => *reason,
    };
    let expires_at = cut_off_expiry(at, from);
    let revocation = Revocation {
        seq: 0,
        target: Target::User(user),
        from,
        grace_until: None,
        spared,
        expires_at,
        reason,
        at,
    };
    Ok(append(head, revocation))
}

pub(super) async fn session_user(db: &mut Db<'_>, id: &str) -> sqlx::Result<Option<SessionUser>> {
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

pub(super) async fn add(
    db: &mut Db<'_>,
    user: &User,
    password: &PasswordHash,
) -> sqlx::Result<Done> {
    let query = db.query(sql::ADD_USER).bind(user.id.to_string());
    let added = query
        .bind(user.username.as_str())
        .bind(password.as_str())
        .bind(user.created_at.millis())
        .execute()
        .await?;
    Ok(Done::of(added == 1))
}

pub(super) async fn enable(db: &mut Db<'_>, user: UserId) -> sqlx::Result<Done> {
    let query = db.query(sql::ENABLE_USER).bind(user.to_string());
    Ok(Done::of(query.execute().await? == 1))
}

pub(super) async fn upgrade_hash(
    db: &mut Db<'_>,
    user: UserId,
    old: &PasswordHash,
    new: &PasswordHash,
) -> sqlx::Result<Done> {
    let query = db.query(sql::UPGRADE_HASH).bind(user.to_string());
    query
        .bind(old.as_str())
        .bind(new.as_str())
        .execute()
        .await?;
    Ok(Done::Yes)
}
