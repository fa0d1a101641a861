//! Commands that add and change users, and end their sessions.

use super::session::{self, user_row};
use crate::account::limits::{Digest, account_digest};
use crate::account::password::PasswordHash;
use crate::account::{OwnPassword, OwnPasswordChange, User, UserChange};
use crate::id::{Lineage, UserId};
use crate::revocation::{Reason, Revocation, Target, cut_off_expiry};
use crate::store::sql::command::{Command, Transaction};
use crate::store::sql::engine::Db;
use crate::store::sql::head::{HeadRow, append, cut_off};
use crate::store::sql::statements as sql;
use crate::time::Timestamp;

/// Adds a user. The reply is `false` if the name is taken.
#[derive(Debug)]
pub(in crate::store::sql) struct AddUser(
    pub(in crate::store::sql) User,
    pub(in crate::store::sql) PasswordHash,
);

impl Command for AddUser {
    type Reply = bool;

    async fn write(&self, to: &mut Transaction<'_, '_>) -> sqlx::Result<bool> {
        let Self(user, password) = self;
        let query = to.db.query(sql::ADD_USER).bind(user.id.to_string());
        let added = query
            .bind(user.username.as_str())
            .bind(password.as_str())
            .bind(user.created_at.millis())
            .bind(user.password_change_required_by.map(Timestamp::millis))
            .execute()
            .await?;
        Ok(added == 1)
    }
}

/// Changes a user. The reply is the `seq` of the entry that ends the sessions, or `None` if the user does not exist.
#[derive(Debug)]
pub(in crate::store::sql) struct ChangeUser {
    pub(in crate::store::sql) user: UserId,
    pub(in crate::store::sql) change: UserChange,
    pub(in crate::store::sql) at: Timestamp,
}

impl Command for ChangeUser {
    type Reply = Option<i64>;

    async fn write(&self, to: &mut Transaction<'_, '_>) -> sqlx::Result<Option<i64>> {
        change(to.db, to.head, self.user, &self.change, self.at).await
    }
}

impl Command for OwnPassword {
    type Reply = OwnPasswordChange;

    async fn write(&self, to: &mut Transaction<'_, '_>) -> sqlx::Result<OwnPasswordChange> {
        change_own_password(to.db, to.head, self).await
    }

    fn unheard(&self) -> Option<OwnPasswordChange> {
        Some(OwnPasswordChange::Lost)
    }
}

/// Lets a user log in again. The reply is `false` if the user does not exist.
#[derive(Debug)]
pub(in crate::store::sql) struct EnableUser(pub(in crate::store::sql) UserId);

impl Command for EnableUser {
    type Reply = bool;

    async fn write(&self, to: &mut Transaction<'_, '_>) -> sqlx::Result<bool> {
        let Self(user) = self;
        let query = to.db.query(sql::ENABLE_USER).bind(user.to_string());
        Ok(query.execute().await? == 1)
    }
}

/// Replaces a password hash, unless the password has changed since.
#[derive(Debug)]
pub(in crate::store::sql) struct UpgradeHash {
    pub(in crate::store::sql) user: UserId,
    pub(in crate::store::sql) old: PasswordHash,
    pub(in crate::store::sql) new: PasswordHash,
}

impl Command for UpgradeHash {
    type Reply = ();

    async fn write(&self, to: &mut Transaction<'_, '_>) -> sqlx::Result<()> {
        let query = to.db.query(sql::UPGRADE_HASH).bind(self.user.to_string());
        let query = query.bind(self.old.as_str()).bind(self.new.as_str());
        query.execute().await.map(drop)
    }
}

async fn change(
    db: &mut Db<'_>,
    head: &mut HeadRow,
    user: UserId,
    change: &UserChange,
    at: Timestamp,
) -> sqlx::Result<Option<i64>> {
    let id = user.to_string();
    let known = user_row(db, &id).await?;
    let Some((_, _, newest_lineage, before, already_spared)) = known else {
        return Ok(None);
    };
    let spared: Option<Lineage> = match change {
        UserChange::EndSessions { spared, .. } => *spared,
        UserChange::Password(_)
        | UserChange::InitialPassword { .. }
        | UserChange::Disable
        | UserChange::Delete => None,
    };
    let spares = spared.map(|lineage| lineage.to_string());
    // Writes no entry if the same session ends all others again and none has begun since, so that one session cannot
    // grow the log without limit. Logins under way still lose.
    let again = matches!(change, UserChange::EndSessions { .. })
        && spares.is_some()
        && spares == already_spared
        && newest_lineage < before;
    let from = if again {
        before
    } else {
        cut_off(at, newest_lineage, before)
    };
    set_cut_off(db, &id, from, spares.as_deref()).await?;
    if again {
        return Ok(Some(head.head.cursor.seq));
    }
    forget_others(db, &id, spares.as_deref()).await?;
    let reason = match change {
        UserChange::Password(hash) => {
            forget_networks(db, &id, None).await?;
            set_password(db, &id, hash, None).await?;
            Reason::PasswordChanged
        }
        UserChange::InitialPassword {
            hash,
            change_required_by,
        } => {
            forget_networks(db, &id, None).await?;
            set_password(db, &id, hash, Some(*change_required_by)).await?;
            Reason::PasswordChanged
        }
        UserChange::Disable => {
            db.query(sql::DISABLE_USER).bind(&id).execute().await?;
            Reason::Disabled
        }
        UserChange::Delete => {
            forget_networks(db, &id, None).await?;
            db.query(sql::DELETE_USER).bind(&id).execute().await?;
            Reason::Deleted
        }
        UserChange::EndSessions { reason, .. } => *reason,
    };
    let revocation = cut_off_entry(user, from, spared, reason, at);
    Ok(Some(append(head, revocation)))
}

/// Changes the password of a session's own user. That session gets its next generation, and all its earlier tokens end
/// together with the user's other sessions.
async fn change_own_password(
    db: &mut Db<'_>,
    head: &mut HeadRow,
    change: &OwnPassword,
) -> sqlx::Result<OwnPasswordChange> {
    let OwnPassword {
        user,
        hash,
        version: read,
        session: raise,
        network,
    } = change;
    let id = user.to_string();
    let known = user_row(db, &id).await?;
    let Some((_, version, newest_lineage, before, _)) = known else {
        return Ok(OwnPasswordChange::Lost);
    };
    if version != *read {
        return Ok(OwnPasswordChange::Lost);
    }
    let reason = Reason::PasswordChanged;
    let Some(generation) = session::raise(db, head, raise, reason).await? else {
        return Ok(OwnPasswordChange::SessionOver);
    };
    let spared = raise.presented.lineage;
    let spares = spared.to_string();
    let from = cut_off(raise.at, newest_lineage, before);
    set_cut_off(db, &id, from, Some(&spares)).await?;
    forget_others(db, &id, Some(&spares)).await?;
    forget_networks(db, &id, *network).await?;
    set_password(db, &id, hash, None).await?;
    let revocation = cut_off_entry(*user, from, Some(spared), reason, raise.at);
    let seq = append(head, revocation);
    Ok(OwnPasswordChange::Done { seq, generation })
}

async fn set_cut_off(
    db: &mut Db<'_>,
    id: &str,
    from: i64,
    spares: Option<&str>,
) -> sqlx::Result<()> {
    let query = db.query(sql::CUT_OFF_USER).bind(id).bind(from);
    let query = query.bind(spares.map(str::to_owned));
    query.execute().await.map(drop)
}

async fn forget_others(db: &mut Db<'_>, id: &str, spares: Option<&str>) -> sqlx::Result<()> {
    let query = db.query(sql::FORGET_OTHERS).bind(id);
    let query = query.bind(spares.unwrap_or_default());
    query.execute().await.map(drop)
}

/// Removes the user's known networks except one, because another person may have logged in from them with the old
/// password.
async fn forget_networks(db: &mut Db<'_>, id: &str, spared: Option<Digest>) -> sqlx::Result<()> {
    let Some(row) = db.query(sql::USERNAME).bind(id).optional().await? else {
        return Ok(());
    };
    let account = account_digest(&row.get::<String>(0)?);
    let query = db.query(sql::FORGET_NETWORKS_OF).bind(account.to_vec());
    let query = query.bind(spared.unwrap_or_default().to_vec());
    query.execute().await.map(drop)
}

async fn set_password(
    db: &mut Db<'_>,
    id: &str,
    hash: &PasswordHash,
    change_required_by: Option<Timestamp>,
) -> sqlx::Result<()> {
    let query = db.query(sql::SET_PASSWORD).bind(id).bind(hash.as_str());
    let query = query.bind(change_required_by.map(Timestamp::millis));
    query.execute().await.map(drop)
}

fn cut_off_entry(
    user: UserId,
    from: i64,
    spared: Option<Lineage>,
    reason: Reason,
    at: Timestamp,
) -> Revocation {
    Revocation {
        seq: 0,
        target: Target::User(user),
        from,
        grace_until: None,
        spared,
        expires_at: cut_off_expiry(at, from),
        reason,
        at,
    }
}
