//! Commands that write to the revocation log.

use std::time::Duration;

use serde_json::json;

use crate::revocation::log::{Cursor, Revoke};
use crate::revocation::{
    ALL, Reason, Revocation, Target, cut_off_expiry, session_revocation_expiry,
};
use crate::store::sql::command::{Command, Effect, Transaction};
use crate::store::sql::engine::Db;
use crate::store::sql::head::{HeadRow, append, cut_off};
use crate::store::sql::statements as sql;
use crate::time::Timestamp;

/// Writes a revocation. The reply is the `seq` of its entry.
#[derive(Debug)]
pub(in crate::store::sql) struct EndNow {
    pub(in crate::store::sql) what: Revoke,
    pub(in crate::store::sql) reason: Reason,
    pub(in crate::store::sql) at: Timestamp,
}

impl Command for EndNow {
    type Reply = i64;

    async fn write(&self, to: &mut Transaction<'_, '_>) -> sqlx::Result<i64> {
        revoke(to.db, to.head, &self.what, self.reason, self.at).await
    }

    fn kind(&self) -> Effect<'_> {
        match &self.what {
            Revoke::Session(lineage, _) => Effect::EndSession(*lineage),
            Revoke::Token(..) | Revoke::Key(_) | Revoke::Everything | Revoke::User(_) => {
                Effect::Other
            }
        }
    }
}

/// Begins the log. If the log is empty, was not last begun with these keys, and the keys existed before it, this ends
/// everything from before. The reply is `true` if it did.
#[derive(Debug)]
pub(in crate::store::sql) struct BeginLog {
    pub(in crate::store::sql) had_keys: bool,
    pub(in crate::store::sql) keys: i64,
    pub(in crate::store::sql) at: Timestamp,
}

impl Command for BeginLog {
    type Reply = bool;

    async fn write(&self, to: &mut Transaction<'_, '_>) -> sqlx::Result<bool> {
        let begins = to.db.query(sql::BEGIN_LOG).bind(self.keys);
        let begins = begins.execute().await? > 0;
        let head = &to.head.head;
        let used = head.cursor.seq > 0 || head.newest_lineage > Timestamp::EPOCH;
        if !begins || !self.had_keys || used {
            return Ok(false);
        }
        revoke(
            to.db,
            to.head,
            &Revoke::Everything,
            Reason::LogLost,
            self.at,
        )
        .await?;
        Ok(true)
    }
}

/// Ends everything, after a restore of an older copy or in a new log, up to a newest lineage and a horizon that this
/// log does not know.
#[derive(Debug)]
pub(in crate::store::sql) struct EndFormer {
    pub(in crate::store::sql) newest_lineage: Timestamp,
    pub(in crate::store::sql) horizon: Timestamp,
    pub(in crate::store::sql) at: Timestamp,
}

impl Command for EndFormer {
    type Reply = ();

    async fn write(&self, to: &mut Transaction<'_, '_>) -> sqlx::Result<()> {
        let head = &mut to.head.head;
        head.newest_lineage = head.newest_lineage.max(self.newest_lineage);
        head.horizon = head.horizon.max(self.horizon);
        let ended = revoke(
            to.db,
            to.head,
            &Revoke::Everything,
            Reason::LogLost,
            self.at,
        );
        ended.await.map(drop)
    }

    fn kind(&self) -> Effect<'_> {
        Effect::EndFormer
    }
}

/// Writes nothing to the log. Advances the mark, if the log continues from the cursor.
#[derive(Debug)]
pub(in crate::store::sql) struct Follow(pub(in crate::store::sql) Cursor);

impl Command for Follow {
    type Reply = ();

    async fn write(&self, _: &mut Transaction<'_, '_>) -> sqlx::Result<()> {
        Ok(())
    }

    fn kind(&self) -> Effect<'_> {
        let Self(read) = self;
        Effect::Follow(read)
    }
}

/// Raises the horizon, never back.
#[derive(Debug)]
pub(in crate::store::sql) struct RaiseHorizon(pub(in crate::store::sql) Timestamp);

impl Command for RaiseHorizon {
    type Reply = ();

    async fn write(&self, to: &mut Transaction<'_, '_>) -> sqlx::Result<()> {
        let Self(horizon) = *self;
        to.head.head.horizon = to.head.head.horizon.max(passed(to.head, horizon));
        Ok(())
    }
}

/// Changes the leeway at a time. A larger leeway revives nothing that expired under the smaller one.
#[derive(Debug)]
pub(in crate::store::sql) struct ChangeLeeway(
    pub(in crate::store::sql) Duration,
    pub(in crate::store::sql) Timestamp,
);

impl Command for ChangeLeeway {
    type Reply = ();

    async fn write(&self, to: &mut Transaction<'_, '_>) -> sqlx::Result<()> {
        let Self(leeway, at) = *self;
        let before: i64 = to.db.query(sql::LEEWAY).one().await?.get(0)?;
        let leeway = i64::try_from(leeway.as_millis()).unwrap_or(i64::MAX);
        if leeway > before {
            let expired = Timestamp::from_millis(at.millis().saturating_sub(before));
            to.head.head.horizon = to.head.head.horizon.max(passed(to.head, expired));
        }
        let set = to.db.query(sql::SET_LEEWAY).bind(leeway);
        set.execute().await.map(drop)
    }
}

/// Drops expired rows, each given by its `seq` and `expires_at`. The reply is the number dropped.
#[derive(Debug)]
pub(in crate::store::sql) struct Compact(pub(in crate::store::sql) Vec<(i64, i64)>);

impl Command for Compact {
    type Reply = u64;

    async fn write(&self, to: &mut Transaction<'_, '_>) -> sqlx::Result<u64> {
        let Self(rows) = self;
        // Keeps the entries after the mark, which prove that the log continues from it. With several nodes the position
        // of each mark is recorded in the database instead.
        let noted = to.db.is_shared();
        let rows = rows.iter();
        let rows = rows.filter(|(seq, _)| noted || to.marking.has(*seq));
        let expired = |at| passed(to.head, Timestamp::from_millis(at)).millis() == at;
        let rows = rows.filter(|(_, expires_at)| expired(*expires_at));
        let rows: Vec<_> = rows.collect();
        let seqs: Vec<_> = rows.iter().map(|(seq, _)| seq).collect();
        let query = to.db.query_of(sql::DROP, sql::DROP_AT_SERVER);
        let query = query.bind(json!(seqs).to_string());
        let dropped = query.execute().await?;
        let head = &mut to.head.head;
        for (seq, expires_at) in rows {
            head.compacted = head.compacted.max(*seq);
            head.horizon = head.horizon.max(Timestamp::from_millis(*expires_at));
        }
        Ok(dropped)
    }
}

async fn revoke(
    db: &mut Db<'_>,
    head: &mut HeadRow,
    what: &Revoke,
    reason: Reason,
    at: Timestamp,
) -> sqlx::Result<i64> {
    let (target, from, expires_at) = match what {
        Revoke::Session(lineage, expires_at) => {
            // A lineage may be ahead of the clock, and the horizon that replaces the entry must lie past it.
            let expires_at = session_revocation_expiry(lineage.created_at()).max(*expires_at);
            (Target::Session(*lineage), ALL, expires_at)
        }
        Revoke::Token(token, expires_at) => (Target::Token(*token), ALL, *expires_at),
        Revoke::Key(kid) => (Target::Key(kid.clone()), ALL, Timestamp::NEVER),
        Revoke::Everything => {
            let from = cut_off(at, head.head.newest_lineage.millis(), head.everything_from);
            head.everything_from = from;
            head.everything_version += 1;
            db.query(sql::FORGET_ALL).execute().await?;
            (Target::Everything, from, cut_off_expiry(at, from))
        }
        Revoke::User(user) => {
            let from = cut_off(at, head.head.newest_lineage.millis(), 0);
            (Target::User(*user), from, cut_off_expiry(at, from))
        }
    };
    let revocation = Revocation {
        seq: 0,
        target,
        from,
        grace_until: None,
        spared: None,
        expires_at,
        reason,
        at,
    };
    Ok(append(head, revocation))
}

/// Limits a time to the server's time, if there is a server. The horizon refuses everything before it at every node, so
/// it must not follow the wrong clock of one node.
fn passed(head: &HeadRow, time: Timestamp) -> Timestamp {
    head.server_time.map_or(time, |now| time.min(now))
}
