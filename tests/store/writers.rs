//! Many concurrent writers: entries are committed in the order of `seq`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinSet;
use waxseal::revocation::Reason;
use waxseal::revocation::log::{Cursor, LogReader, RevocationLog, Revoke};
use waxseal::revocation::reading::Reading;

use super::fixture::START;
use super::fixture::{Fixture, HOUR, read_from};

on_both_engines! {
    two_writers_make_one_log_in_the_order_of_their_commits
}

const WRITERS: usize = 25;
const EACH: usize = 20;

async fn two_writers_make_one_log_in_the_order_of_their_commits(fixture: Fixture) {
    let nodes = [fixture.node("a").await, fixture.node("b").await].map(Arc::new);
    // A reader that polls: each page continues exactly where the previous one ended, whatever is committed meanwhile.
    let (third, done) = (fixture.look().await, Arc::new(AtomicBool::new(false)));
    let polling = tokio::spawn({
        let done = Arc::clone(&done);
        async move {
            let (mut reading, mut pages) = (Reading::from(Cursor::START), 0);
            loop {
                let last_look = done.load(Ordering::SeqCst);
                let page = third.read(reading.cursor().seq, 4096).await.unwrap();
                let before = reading.cursor().seq;
                let seqs: Vec<_> = page.entries.iter().map(|e| e.revocation.seq).collect();
                let wanted: Vec<_> = (before + 1..=page.head.cursor.seq).collect();
                assert_eq!(seqs, wanted, "nothing is skipped");
                assert!(reading.take(&page, true).expect("one chain"));
                pages += usize::from(!page.entries.is_empty());
                if last_look {
                    return (reading.cursor(), pages);
                }
                tokio::task::yield_now().await;
            }
        }
    });
    let mut writing = JoinSet::new();
    for node in &nodes {
        for _ in 0..WRITERS {
            let node = Arc::clone(node);
            let lineages: Vec<_> = (0..EACH).map(|_| fixture.lineage(START)).collect();
            writing.spawn(async move {
                let mut seqs = Vec::new();
                for lineage in lineages {
                    let end = Revoke::Session(lineage, START.plus(HOUR));
                    let seq = node.revoke(end, Reason::Logout, START).await.unwrap();
                    let head = node.read(0, 0).await.unwrap().head.cursor.seq;
                    assert!(head >= seq, "what was answered is there");
                    seqs.push(seq);
                }
                assert!(seqs.is_sorted());
                seqs
            });
        }
    }
    let seqs: BTreeSet<i64> = writing.join_all().await.into_iter().flatten().collect();
    done.store(true, Ordering::SeqCst);
    let all = 2 * WRITERS * EACH;
    assert!(
        seqs.into_iter().eq(1..=all as i64),
        "no gap, and none twice"
    );
    let (cursor, pages) = polling.await.unwrap();
    assert!(pages > 1, "it was polled meanwhile");
    assert_eq!(read_from(&nodes[1], Cursor::START, 100).await.0, cursor);
    assert_eq!(cursor.seq, all as i64);
}
