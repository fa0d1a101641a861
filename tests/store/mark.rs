//! The store's use of the mark.

use std::fs;

use waxseal::report::report;
use waxseal::revocation::Reason;
use waxseal::revocation::log::{Cursor, LogReader, RevocationLog, Revoke, StoreError};
use waxseal::store::sql::{Continuation, SqlStore};
use waxseal::time::Timestamp;

use super::fixture::START;
use super::fixture::{Fixture, HOUR, read_from};

on_both_engines! {
    a_log_that_goes_on_goes_on_from_its_mark
    another_nodes_compaction_past_a_mark_does_not_make_it_another_log
    a_mark_from_before_the_last_commit_is_known_too
    an_older_copy_that_has_grown_again_accepts_no_write
    where_everything_was_ended_the_other_marks_hear_of_it
    without_a_mark_nothing_is_written
}

async fn write(fixture: &Fixture, store: &SqlStore) -> Result<i64, StoreError> {
    let end = Revoke::Session(fixture.lineage(START), START.plus(HOUR));
    store.revoke(end, Reason::Logout, START).await
}

async fn how(fixture: &Fixture, node: &str) -> Continuation {
    let mark = fixture.mark(node).read().unwrap();
    fixture.look().await.compare(Some(&mark)).await.unwrap().1
}

/// Sets the log back to `seq`, as an older copy would.
async fn go_back_to(fixture: &Fixture, seq: i64) {
    let hash = |seq: i64| format!("(SELECT hash FROM revocation WHERE seq = {seq})");
    let (newest, former) = (hash(seq), hash(seq - 1));
    fixture
        .sql(&format!("UPDATE head SET hash = {newest}, seq = {seq};"))
        .await;
    if fixture.server().is_some() {
        // The notes of marks are of that age too.
        fixture
            .sql(&format!(
                "UPDATE mark SET seq = {seq}, hash = {newest}, former_seq = {seq} - 1, former_hash = {former};"
            ))
            .await;
    }
    fixture
        .sql(&format!("DELETE FROM revocation WHERE seq > {seq};"))
        .await;
}

async fn a_log_that_goes_on_goes_on_from_its_mark(fixture: Fixture) {
    let (a, b) = (fixture.node("a").await, fixture.node("b").await);
    for _ in 0..3 {
        write(&fixture, &a).await.unwrap();
        assert!(
            fixture
                .mark("a")
                .read()
                .unwrap()
                .is_at(&a.read(0, 0).await.unwrap().head)
        );
        write(&fixture, &b).await.unwrap();
        assert_eq!(how(&fixture, "a").await, Continuation::GoesOn);
        assert_eq!(how(&fixture, "b").await, Continuation::GoesOn);
    }
    let (head, continued) = fixture.look().await.compare(None).await.unwrap();
    assert_eq!((head.cursor.seq, continued), (6, Continuation::GoesOn));
}

async fn another_nodes_compaction_past_a_mark_does_not_make_it_another_log(fixture: Fixture) {
    let (a, b) = (fixture.node("a").await, fixture.node("b").await);
    write(&fixture, &a).await.unwrap();
    for _ in 0..3 {
        write(&fixture, &b).await.unwrap();
    }
    if fixture.server().is_some() {
        assert_eq!(fixture.mark("a").read().unwrap().cursor.seq, 1);
    }
    assert_eq!(b.compact(START.plus(9 * HOUR)).await.unwrap(), 4);
    assert_eq!(how(&fixture, "a").await, Continuation::GoesOn);
    // The same holds at the node's next start, and while it runs.
    let again = fixture.node("a").await;
    assert_eq!(write(&fixture, &again).await.unwrap(), 5);
    assert_eq!(write(&fixture, &a).await.unwrap(), 6);
    assert_eq!(how(&fixture, "a").await, Continuation::GoesOn);
}

/// A process may die between its commit and the move of its mark.
async fn a_mark_from_before_the_last_commit_is_known_too(fixture: Fixture) {
    let (a, b) = (fixture.node("a").await, fixture.node("b").await);
    write(&fixture, &a).await.unwrap();
    let path = fixture.mark("a").path();
    let first = fs::read(&path).unwrap();
    write(&fixture, &a).await.unwrap();
    let second = fs::read(&path).unwrap();
    write(&fixture, &a).await.unwrap();
    b.compact(START.plus(9 * HOUR)).await.unwrap();
    let noted = fixture.server().is_some();
    // With SQLite, a mark that is behind protects the later entries from compaction; here it was restored after the
    // compaction.
    let wanted = [
        (second, noted, "one commit ago"),
        (
            first,
            false,
            "two commits ago: the log of that mark was dropped",
        ),
    ];
    for (mark, goes_on, when) in wanted {
        fs::write(&path, mark).unwrap();
        let how = how(&fixture, "a").await;
        assert_eq!(how == Continuation::GoesOn, goes_on, "{when}: {how:?}");
        let written = write(&fixture, &a).await;
        assert_eq!(written.is_ok(), goes_on, "{when}: {written:?}");
    }
}

async fn an_older_copy_that_has_grown_again_accepts_no_write(fixture: Fixture) {
    let a = fixture.node("a").await;
    for _ in 0..4 {
        write(&fixture, &a).await.unwrap();
    }
    go_back_to(&fixture, 2).await;
    let refused = async |when: &str| {
        assert_eq!(how(&fixture, "a").await, Continuation::Another, "{when}");
        let cause = report(&write(&fixture, &a).await.unwrap_err()).to_string();
        assert!(cause.contains("an older copy"), "{when}: {cause}");
    };
    refused("at once").await;
    // The log grows through a writer that does not know.
    let row = |seq: i64| {
        format!(
            r#"INSERT INTO revocation (seq, scope, key, "from", expires_at, reason, at, hash) SELECT {seq}, scope, key, "from", expires_at, reason, at, hash FROM revocation WHERE seq = 1; UPDATE head SET seq = {seq};"#
        )
    };
    for seq in 3..=6 {
        fixture.sql(&row(seq)).await;
        refused(&format!("at seq {seq}")).await;
    }
    assert_eq!(a.read(0, 0).await.unwrap().head.cursor.seq, 6);
}

async fn where_everything_was_ended_the_other_marks_hear_of_it(fixture: Fixture) {
    let (a, b) = (fixture.node("a").await, fixture.node("b").await);
    fixture.add_user(&a, "alice").await;
    fixture.begin(&a, "alice", START).await.unwrap();
    for _ in 0..4 {
        write(&fixture, &a).await.unwrap();
    }
    a.raise_horizon(START).await.unwrap();
    let mark = fixture.mark("a").read().unwrap();
    write(&fixture, &b).await.unwrap();
    go_back_to(&fixture, 2).await;
    fixture
        .sql("UPDATE head SET newest_lineage = 0, horizon = 0;")
        .await;
    assert_eq!(how(&fixture, "b").await, Continuation::Another);
    assert!(write(&fixture, &b).await.is_err());
    // At a time before the newest session began.
    let past = START.minus(HOUR);
    b.end_former(mark.newest_lineage, mark.horizon, past)
        .await
        .unwrap();
    let compare = async || fixture.look().await.compare(Some(&mark)).await.unwrap().1;
    let wanted = match fixture.server() {
        Some(_) => Continuation::AllEnded,
        // SQLite has one mark, and that one was moved.
        None => Continuation::Another,
    };
    assert_eq!(compare().await, wanted);
    assert_eq!(how(&fixture, "b").await, Continuation::GoesOn);
    assert_eq!(write(&fixture, &b).await.unwrap(), 4);
    let head = b.read(0, 0).await.unwrap().head;
    assert!(head.horizon >= mark.horizon && head.newest_lineage >= mark.newest_lineage);
    let (_, pages) = read_from(&b, Cursor::START, 9).await;
    let ended = &pages[0].entries[2].revocation;
    assert_eq!(
        (ended.reason, ended.from),
        (Reason::LogLost, START.millis() + 1)
    );
    // A log that has less than the mark has not ended everything.
    let mut newer = mark;
    newer.newest_lineage = Timestamp::from_millis(ended.from);
    let how = fixture.look().await.compare(Some(&newer)).await.unwrap().1;
    assert_eq!(how, Continuation::Another);
}

async fn without_a_mark_nothing_is_written(fixture: Fixture) {
    let a = fixture.node("a").await;
    write(&fixture, &a).await.unwrap();
    let path = fixture.mark("a").path();
    let mark = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let cause = report(&write(&fixture, &a).await.unwrap_err()).to_string();
    assert!(cause.contains("there is no mark"), "{cause}");
    fs::write(&path, "nonsense").unwrap();
    let cause = report(&write(&fixture, &a).await.unwrap_err()).to_string();
    assert!(cause.contains("damaged"), "{cause}");
    fs::write(&path, mark).unwrap();
    assert_eq!(write(&fixture, &a).await.unwrap(), 2);

    // If another folder replaces the open one, the store writes to the new folder.
    let folder = path.parent().unwrap();
    let aside = folder.with_extension("aside");
    let before = fs::read(&path).unwrap();
    fs::rename(folder, &aside).unwrap();
    fs::create_dir(folder).unwrap();
    fs::write(&path, &before).unwrap();
    assert_eq!(write(&fixture, &a).await.unwrap(), 3);
    assert_eq!(fixture.mark("a").read().unwrap().cursor.seq, 3);
    assert_eq!(fs::read(aside.join("mark")).unwrap(), before);
}
