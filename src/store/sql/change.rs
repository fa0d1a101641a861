//! What each change does within the transaction that holds the head.

use std::time::Duration;

use serde_json::json;

use super::engine::Db;
use super::marking::Marking;
use super::reader::HeadRow;
use super::writer::{Change, Done};
use super::{client, limits, session, statements as sql, user};
use crate::revocation::log::{Cursor, Entry, Revoke};
use crate::revocation::{
    ALL, Reason, Revocation, Target, cut_off_expiry, session_revocation_expiry,
};
use crate::time::Timestamp;

pub(super) async fn apply(
    db: &mut Db<'_>,
    head: &mut HeadRow,
    change: &Change,
    marking: &Marking,
) -> sqlx::Result<Done> {
    match change {
        Change::Revoke(what, reason, at) => revoke(db, head, what, *reason, *at).await,
        Change::EndFormer {
            newest_lineage,
            horizon,
            at,
        } => {
            head.head.newest_lineage = head.head.newest_lineage.max(*newest_lineage);
            head.head.horizon = head.head.horizon.max(*horizon);
            revoke(db, head, &Revoke::Everything, Reason::LogLost, *at).await
        }
        Change::BeginLog { had_keys, keys, at } => {
            let begins = db.query(sql::BEGIN_LOG).bind(*keys).execute().await? > 0;
            let used = head.head.cursor.seq > 0 || head.head.newest_lineage > Timestamp::EPOCH;
            if !begins || !had_keys || used {
                return Ok(Done::No);
            }
            revoke(db, head, &Revoke::Everything, Reason::LogLost, *at).await
        }
        Change::Compact(rows) => compact(db, head, rows, marking).await,
        Change::RaiseHorizon(horizon) => {
            head.head.horizon = head.head.horizon.max(passed(head, *horizon));
            Ok(Done::Yes)
        }
        Change::Follow(_) => Ok(Done::Yes),
        Change::Leeway(leeway, at) => change_leeway(db, head, *leeway, *at).await,
        Change::AddUser(user, password) => user::add(db, user, password).await,
        Change::User(user, change, at) => user::change(db, head, *user, change, *at).await,
        Change::OwnPassword(change) => {
            let done = user::change_own_password(db, head, change).await?;
            Ok(Done::OwnPassword(done))
        }
        Change::EnableUser(user) => user::enable(db, *user).await,
        Change::BeginSession(begin) => session::begin(db, head, begin).await,
        Change::Renew(renew) => session::renew(db, head, renew).await,
        Change::Forget(until) => session::forget(db, *until).await,
        Change::Client(write) => client::write(db, head, write).await,
        Change::Limit(write) => limits::write(db, write).await,
        Change::UpgradeHash(user, old, new) => user::upgrade_hash(db, *user, old, new).await,
    }
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
            "scope": revocation.target.scope().name(),
            "key": revocation.target.key(),
            "from": revocation.from,
            "spared": revocation.spared,
            "expires_at": revocation.expires_at.millis(),
            "reason": revocation.reason.name(),
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

async fn revoke(
    db: &mut Db<'_>,
    head: &mut HeadRow,
    what: &Revoke,
    reason: Reason,
    at: Timestamp,
) -> sqlx::Result<Done> {
    let (target, from, expires_at) = match what {
        Revoke::Session(lineage, expires_at) => {
            // A lineage may be ahead of the clock, and the horizon that takes the entry's place must
            // be past it.
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
    Ok(Done::Revoked(append(head, revocation)))
}

/// The first lineage time that is good after a cut-off at `at`: past now, and past every lineage
/// that was issued, also by a clock that was ahead.
pub(super) fn cut_off(at: Timestamp, newest_lineage: i64, from: i64) -> i64 {
    at.millis().max(newest_lineage).saturating_add(1).max(from)
}

/// No later than now, where there is a server that says when that is. The horizon ends what is behind it at every
/// node: it must not follow the clock of one that had been wrong.
fn passed(head: &HeadRow, time: Timestamp) -> Timestamp {
    head.server_time.map_or(time, |now| time.min(now))
}

/// What had expired by the smaller leeway does not come back by the larger one.
async fn change_leeway(
    db: &mut Db<'_>,
    head: &mut HeadRow,
    leeway: Duration,
    at: Timestamp,
) -> sqlx::Result<Done> {
    let before: i64 = db.query(sql::LEEWAY).one().await?.get(0)?;
    let leeway = i64::try_from(leeway.as_millis()).unwrap_or(i64::MAX);
    if leeway > before {
        let expired = Timestamp::from_millis(at.millis().saturating_sub(before));
        head.head.horizon = head.head.horizon.max(passed(head, expired));
    }
    db.query(sql::SET_LEEWAY).bind(leeway).execute().await?;
    Ok(Done::Yes)
}

async fn compact(
    db: &mut Db<'_>,
    head: &mut HeadRow,
    rows: &[(i64, i64)],
    marking: &Marking,
) -> sqlx::Result<Done> {
    // What comes after the mark stays: it proves that the log goes on from there. Where there are several nodes
    // it is noted of each mark instead.
    let noted = db.is_postgres();
    let rows = rows.iter();
    let rows = rows.filter(|(seq, _)| noted || marking.has(*seq));
    let expired = |at| passed(head, Timestamp::from_millis(at)).millis() == at;
    let rows = rows.filter(|(_, expires_at)| expired(*expires_at));
    let rows: Vec<_> = rows.collect();
    let seqs: Vec<_> = rows.iter().map(|(seq, _)| seq).collect();
    let query = db.query_of(sql::DROP, sql::DROP_AT_SERVER);
    let query = query.bind(json!(seqs).to_string());
    let dropped = query.execute().await?;
    for (seq, expires_at) in rows {
        head.head.compacted = head.head.compacted.max(*seq);
        head.head.horizon = head.head.horizon.max(Timestamp::from_millis(*expires_at));
    }
    Ok(Done::Forgotten(dropped))
}
