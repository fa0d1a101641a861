//! The revocation log.

use std::time::Duration;

use futures_util::future::join_all;
use waxseal::account::{Accounts, UserChange};
use waxseal::id::{KeyId, TokenId, UserId};
use waxseal::policy::{LIFETIME_CAP, MAX_LEEWAY};
use waxseal::report::report;
use waxseal::revocation::log::{Cursor, LogReader, RevocationLog, Revoke, StoreError};
use waxseal::revocation::{
    ALL, Reason, Revocation, Target, cut_off_expiry, session_revocation_expiry,
};
use waxseal::store::sql::SqlStore;
use waxseal::time::Timestamp;

use super::fixture::START;
use super::fixture::{Fixture, HOUR, read_from};

on_both_engines! {
    entries_come_back_as_they_were_written
    each_page_continues_where_the_previous_one_ended
    a_page_of_very_many_has_each_of_them_once
    cut_offs_are_past_all_that_was_issued
    expired_entries_are_dropped_and_covered_by_the_horizon
    the_horizon_goes_forward_alone
    a_larger_leeway_revives_nothing
    a_log_opened_read_only_accepts_no_write
    an_altered_entry_is_one_of_another_log
    an_entry_of_a_later_version_is_skipped_if_it_says_so_and_stops_the_reading_if_not
}

async fn session_until(fixture: &Fixture, store: &SqlStore, until: Timestamp) -> i64 {
    let lineage = fixture.lineage(until.minus(2 * HOUR));
    let revoke = Revoke::Session(lineage, until);
    store.revoke(revoke, Reason::Logout, START).await.unwrap()
}

async fn entries_come_back_as_they_were_written(fixture: Fixture) {
    let store = fixture.node("a").await;
    let (lineage, until) = (fixture.lineage(START), START.plus(3 * HOUR));
    let token = TokenId::new(START, &fixture.random());
    let user = UserId::new(START, &fixture.random());
    let kid: KeyId = "a-key".parse().unwrap();
    let alice = fixture.add_user(&store, "alice").await;
    let mine = fixture.begin(&store, "alice", START).await.unwrap();
    let written = [
        (Revoke::Session(lineage, until), Reason::Logout),
        (Revoke::Token(token, until), Reason::Client),
        (Revoke::Key(kid.clone()), Reason::Operator),
        (Revoke::User(user), Reason::Deleted),
        (Revoke::Everything, Reason::LogLost),
    ];
    for (n, (what, reason)) in written.into_iter().enumerate() {
        let at = START.plus(Duration::from_secs(n as u64));
        assert_eq!(store.revoke(what, reason, at).await.unwrap(), n as i64 + 1);
    }
    let spare = UserChange::EndSessions {
        spared: Some(mine.lineage),
        reason: Reason::Logout,
    };
    assert_eq!(
        store.change_user(alice, spare, START).await.unwrap(),
        Some(6)
    );
    let (cursor, pages) = read_from(&fixture.look().await, Cursor::START, 100).await;
    assert_eq!(cursor.seq, 6);
    let entries = pages[0].entries.iter().map(|entry| &entry.revocation);
    let entries: Vec<_> = entries.collect();
    let targets: Vec<_> = entries.iter().map(|entry| entry.target.clone()).collect();
    let wanted = [
        Target::Session(lineage),
        Target::Token(token),
        Target::Key(kid),
        Target::User(user),
        Target::Everything,
        Target::User(alice),
    ];
    assert_eq!(targets, wanted);
    let from = START.millis() + 1;
    let ends: Vec<_> = entries.iter().map(|entry| entry.from).collect();
    assert_eq!(ends, [ALL, ALL, ALL, from + 3000, from + 4000, from]);
    let at = |second| START.plus(Duration::from_secs(second));
    let expiries: Vec<_> = entries.iter().map(|entry| entry.expires_at).collect();
    let cut_off = |at: Timestamp| cut_off_expiry(at, at.millis() + 1);
    let wanted = [
        until,
        until,
        Timestamp::NEVER,
        cut_off(at(3)),
        cut_off(at(4)),
        cut_off(START),
    ];
    assert_eq!(expiries, wanted);
    let spared: Vec<_> = entries.iter().map(|entry| entry.spared).collect();
    assert_eq!(spared, [None, None, None, None, None, Some(mine.lineage)]);
    assert_eq!(entries[1].reason, Reason::Client);
    assert_eq!(entries[1].at, at(1));
}

async fn each_page_continues_where_the_previous_one_ended(fixture: Fixture) {
    let (store, other) = (fixture.node("a").await, fixture.node("b").await);
    for n in 0..25 {
        let store = if n % 3 == 0 { &other } else { &store };
        session_until(&fixture, store, START.plus(HOUR)).await;
    }
    let reader = fixture.look().await;
    let (head, whole) = read_from(&reader, Cursor::START, 100).await;
    for size in [1, 2, 7, 24, 25, 26] {
        let (cursor, pages) = read_from(&reader, Cursor::START, size).await;
        assert_eq!(cursor, head);
        let entries = pages.into_iter().flat_map(|page| page.entries);
        assert!(entries.eq(whole[0].entries.iter().cloned()), "{size}");
    }
    let page = reader.read(25, 9).await.unwrap();
    assert_eq!((page.head.cursor, page.entries.len()), (head, 0));
    assert_eq!(reader.read(3, 0).await.unwrap().entries.len(), 0);
    assert_eq!(reader.read(99, 9).await.unwrap().entries.len(), 0);
}

/// More than the store reads in one query.
async fn a_page_of_very_many_has_each_of_them_once(fixture: Fixture) {
    let store = fixture.node("a").await;
    let revoke = |_| session_until(&fixture, &store, START.plus(HOUR));
    join_all((0..3100).map(revoke)).await;
    fixture
        .sql("DELETE FROM revocation WHERE seq % 7 = 3")
        .await;
    let left: Vec<i64> = (1..=3100).filter(|seq| seq % 7 != 3).collect();
    for limit in [1023, 1024, 1025, 2048, 2500, 2657, 2658, 4096, u32::MAX] {
        for after in [0, 3, 1000] {
            let page = store.read(after, limit).await.unwrap();
            let seqs: Vec<_> = page
                .entries
                .iter()
                .map(|entry| entry.revocation.seq)
                .collect();
            let wanted = left.iter().copied().filter(|seq| *seq > after);
            let wanted: Vec<_> = wanted.take(limit as usize).collect();
            assert_eq!(seqs, wanted, "{limit} after {after}");
        }
    }
}

async fn cut_offs_are_past_all_that_was_issued(fixture: Fixture) {
    let store = fixture.node("a").await;
    fixture.add_user(&store, "alice").await;
    let ahead = fixture
        .begin(&store, "alice", START.plus(HOUR))
        .await
        .unwrap();
    let head = store.read(0, 0).await.unwrap().head;
    assert_eq!(head.newest_lineage, ahead.lineage.created_at());
    let nobody = UserId::new(START, &fixture.random());
    let all = [Revoke::Everything, Revoke::User(nobody), Revoke::Everything];
    for what in all {
        store.revoke(what, Reason::Operator, START).await.unwrap();
    }
    let entries = store.read(0, 9).await.unwrap().entries;
    let from: Vec<_> = entries.iter().map(|entry| entry.revocation.from).collect();
    let first = START.plus(HOUR).millis() + 1;
    assert_eq!(from, [first; 3]);
    let start = store.start_login(&"alice".parse().unwrap()).await.unwrap();
    assert_eq!((start.first_lineage, start.everything_version), (first, 2));
}

async fn expired_entries_are_dropped_and_covered_by_the_horizon(fixture: Fixture) {
    let (store, other) = (fixture.node("a").await, fixture.node("b").await);
    let hours = |n: u32| START.plus(n * HOUR);
    // The order is mixed, so that the remaining entries have gaps.
    for until in [4, 2, 5, 3, 9, 2] {
        session_until(&fixture, &store, hours(until)).await;
    }
    // A lineage may be ahead of the clock that revoked it.
    let ahead = fixture.lineage(hours(3));
    let end = Revoke::Session(ahead, hours(1));
    store.revoke(end, Reason::Logout, START).await.unwrap();
    let (followed, _) = read_from(&store, Cursor::START, 100).await;
    assert_eq!(other.compact(hours(2).minus(HOUR / 60)).await.unwrap(), 0);
    assert_eq!(store.read(0, 9).await.unwrap().head.compacted, 0);
    assert_eq!(other.compact(hours(3)).await.unwrap(), 3);
    let page = store.read(0, 9).await.unwrap();
    let seqs: Vec<_> = page
        .entries
        .iter()
        .map(|entry| entry.revocation.seq)
        .collect();
    assert_eq!(seqs, [1, 3, 5, 7]);
    assert_eq!((page.head.compacted, page.head.horizon), (6, hours(3)));
    assert_eq!(page.head.cursor, followed, "the head does not move");
    let entry = &page.entries[3].revocation;
    assert_eq!(entry.expires_at, session_revocation_expiry(hours(3)));
    // A reader that starts now, one that had read to the end, and one in between.
    session_until(&fixture, &store, hours(9)).await;
    let (head, _) = read_from(&store, Cursor::START, 2).await;
    assert_eq!(read_from(&store, followed, 2).await.0, head);
    let between = Cursor {
        seq: 2,
        hash: [7; 32],
    };
    assert_eq!(read_from(&store, between, 2).await.0, head);
    // All entries, including the newest.
    assert_eq!(other.compact(hours(48)).await.unwrap(), 5);
    let page = store.read(0, 9).await.unwrap();
    assert_eq!((page.entries.len(), page.head.compacted), (0, 8));
    assert_eq!((page.head.cursor, page.head.horizon), (head, hours(9)));
    assert_eq!(read_from(&store, Cursor::START, 2).await.0, head);
    assert_eq!(session_until(&fixture, &store, hours(9)).await, 9);
    read_from(&store, head, 2).await;
}

async fn the_horizon_goes_forward_alone(fixture: Fixture) {
    let (store, other) = (fixture.node("a").await, fixture.node("b").await);
    let horizon = async || store.read(0, 0).await.unwrap().head.horizon;
    for (to, then) in [(2, 2), (1, 2), (3, 3), (3, 3)] {
        other.raise_horizon(START.plus(to * HOUR)).await.unwrap();
        assert_eq!(horizon().await, START.plus(then * HOUR));
    }
    session_until(&fixture, &store, START.plus(HOUR)).await;
    assert_eq!(store.compact(START.plus(HOUR)).await.unwrap(), 1);
    assert_eq!(horizon().await, START.plus(3 * HOUR));
}

async fn a_larger_leeway_revives_nothing(fixture: Fixture) {
    let store = fixture.node("a").await;
    let horizon = async || store.read(0, 0).await.unwrap().head.horizon;
    let change = async |seconds: u64, at| {
        let leeway = Duration::from_secs(seconds);
        store.change_leeway(leeway, at).await.unwrap();
        horizon().await
    };
    assert_eq!(change(5, START).await, Timestamp::EPOCH, "it was 5 s");
    assert_eq!(change(2, START).await, Timestamp::EPOCH);
    let later = START.plus(HOUR);
    let two = Duration::from_secs(2);
    assert_eq!(change(60, later).await, later.minus(two));
    assert_eq!(change(1, later.plus(HOUR)).await, later.minus(two));
}

async fn a_log_opened_read_only_accepts_no_write(fixture: Fixture) {
    let (store, look) = (fixture.node("a").await, fixture.look().await);
    session_until(&fixture, &store, START.plus(HOUR)).await;
    let refused = |done: Result<i64, StoreError>| report(&done.unwrap_err()).to_string();
    let why = refused(
        look.revoke(Revoke::Everything, Reason::Operator, START)
            .await,
    );
    assert!(why.contains("opened read-only"), "{why}");
    assert_eq!(look.read(0, 9).await.unwrap().entries.len(), 1);
}

async fn an_altered_entry_is_one_of_another_log(fixture: Fixture) {
    let store = fixture.node("a").await;
    for _ in 0..3 {
        session_until(&fixture, &store, START.plus(LIFETIME_CAP).plus(MAX_LEEWAY)).await;
    }
    let (head, _) = read_from(&store, Cursor::START, 9).await;
    fixture
        .sql("UPDATE revocation SET at = at + 1 WHERE seq = 2;")
        .await;
    let page = store.read(0, 9).await.unwrap();
    let mut reading = waxseal::revocation::reading::Reading::from(Cursor::START);
    assert!(reading.take(&page, true).is_err());
    fixture
        .sql("UPDATE revocation SET at = at - 1 WHERE seq = 2;")
        .await;
    assert_eq!(read_from(&store, Cursor::START, 9).await.0, head);
}

/// Appends an entry as a later version would.
async fn append(fixture: &Fixture, store: &SqlStore, scope: &str) {
    let head = store.read(0, 0).await.unwrap().head.cursor;
    // A critical scope has no target here. Its reader stops before the hash is compared.
    let target = Target::from_log("ignorable:note", "a_key").unwrap();
    let entry = Revocation {
        seq: head.seq + 1,
        target,
        from: ALL,
        grace_until: None,
        spared: None,
        expires_at: START.plus(HOUR),
        reason: "a_later_reason".parse().unwrap(),
        at: START,
    };
    let hash = entry.chain(&head.hash);
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let hash = match fixture.server() {
        Some(_) => format!("decode('{hash}', 'hex')"),
        None => format!("x'{hash}'"),
    };
    let (seq, expires_at, at) = (entry.seq, entry.expires_at.millis(), START.millis());
    let insert = format!(
        r#"INSERT INTO revocation (seq, scope, key, "from", expires_at, reason, at, hash) VALUES ({seq}, '{scope}', 'a_key', {ALL}, {expires_at}, 'a_later_reason', {at}, {hash});"#
    );
    fixture.sql(&insert).await;
    fixture
        .sql(&format!("UPDATE head SET seq = {seq}, hash = {hash};"))
        .await;
}

async fn an_entry_of_a_later_version_is_skipped_if_it_says_so_and_stops_the_reading_if_not(
    fixture: Fixture,
) {
    let store = fixture.node("a").await;
    session_until(&fixture, &store, START.plus(2 * HOUR)).await;
    append(&fixture, &store, "ignorable:note").await;
    // The mark of this node is before the entry, and the node writes on.
    assert_eq!(
        session_until(&fixture, &store, START.plus(2 * HOUR)).await,
        3
    );
    let (_, pages) = read_from(&fixture.look().await, Cursor::START, 2).await;
    let entries: Vec<_> = pages.into_iter().flat_map(|page| page.entries).collect();
    let scopes: Vec<_> = entries
        .iter()
        .map(|entry| entry.revocation.target.scope())
        .collect();
    assert_eq!(scopes, ["session", "ignorable:note", "session"]);
    assert_eq!(store.compact(START.plus(HOUR)).await.unwrap(), 1);

    append(&fixture, &store, "device").await;
    let why = store.read(0, 9).await.unwrap_err();
    let why = report(&why).to_string();
    let words =
        "a kind of revocation that this version does not know; if a newer one wrote it, upgrade";
    assert!(why.contains(words), "{why}");
    let lineage = fixture.lineage(START);
    let end = Revoke::Session(lineage, START.plus(HOUR));
    assert!(store.revoke(end, Reason::Logout, START).await.is_err());
}
