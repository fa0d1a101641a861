//! The register of nodes.

use std::time::Duration;

use waxseal::id::NodeId;
use waxseal::revocation::Reason;
use waxseal::revocation::log::{Cursor, RevocationLog, Revoke};
use waxseal::revocation::register::{Node, Register, Registered};
use waxseal::store::sql::SqlStore;

use super::fixture::START;
use super::fixture::{Fixture, HOUR, read_from};

on_both_engines! {
    a_beat_that_arrives_late_changes_nothing
    attending_registers_a_node_and_returns_the_next_page
    the_hash_tells_whether_a_node_has_the_entries_of_this_log
    a_node_is_dismissed_only_if_it_did_not_come_back
    a_node_that_leaves_is_gone
}

fn node(fixture: &Fixture, name: &str) -> Node {
    Node {
        id: NodeId::new(START, &fixture.random()),
        name: name.to_owned(),
        beat: 1,
        applied: Cursor::START,
        bound: Duration::from_millis(2000),
    }
}

fn beat(node: &Node, beat: i64, applied: Cursor) -> Node {
    Node {
        beat,
        applied,
        ..node.clone()
    }
}

async fn nodes(store: &SqlStore) -> Vec<Node> {
    let read = store.nodes().await.unwrap().nodes;
    read.into_iter().map(|node| node.node).collect()
}

/// Writes that many entries, and returns the cursor after each.
async fn fill(fixture: &Fixture, store: &SqlStore, entries: u32) -> Vec<Cursor> {
    for n in 0..entries {
        let until = START.plus((n + 1) * HOUR);
        let end = Revoke::Session(fixture.lineage(until.minus(2 * HOUR)), until);
        store.revoke(end, Reason::Logout, START).await.unwrap();
    }
    let (_, pages) = read_from(store, Cursor::START, 100).await;
    let entries = pages[0].entries.iter().map(|entry| Cursor {
        seq: entry.revocation.seq,
        hash: entry.hash,
    });
    entries.collect()
}

async fn a_beat_that_arrives_late_changes_nothing(fixture: Fixture) {
    let store = fixture.node("a").await;
    assert_eq!(nodes(&store).await, []);
    let at = |seq| Cursor { seq, hash: [9; 32] };
    let first = node(&fixture, "first");
    let second = beat(&first, 2, at(7));
    store.enter(&second).await.unwrap();
    for late in [beat(&first, 1, at(9)), beat(&first, 2, at(9))] {
        store.enter(&late).await.unwrap();
        store.attend(&late, 0).await.unwrap();
        assert_eq!(nodes(&store).await, std::slice::from_ref(&second));
    }
    let mut third = beat(&first, 3, at(8));
    third.bound = Duration::from_secs(5);
    third.name = "renamed".to_owned();
    store.enter(&third).await.unwrap();
    let other = node(&fixture, "another");
    store.attend(&other, 0).await.unwrap();
    assert_eq!(nodes(&fixture.look().await).await, [other, third]);
}

async fn attending_registers_a_node_and_returns_the_next_page(fixture: Fixture) {
    let (store, other) = (fixture.node("a").await, fixture.node("b").await);
    let cursors = fill(&fixture, &other, 5).await;
    let here = beat(&node(&fixture, "here"), 1, cursors[1]);
    let page = store.attend(&here, 2).await.unwrap();
    let seqs: Vec<_> = page
        .entries
        .iter()
        .map(|entry| entry.revocation.seq)
        .collect();
    assert_eq!((seqs, page.head.cursor), (vec![3, 4], cursors[4]));
    let read = other.nodes().await.unwrap();
    assert_eq!((read.seq, read.nodes[0].node.clone()), (5, here));
    assert_eq!(
        store
            .attend(&node(&fixture, "x"), 100)
            .await
            .unwrap()
            .entries
            .len(),
        5
    );
}

async fn the_hash_tells_whether_a_node_has_the_entries_of_this_log(fixture: Fixture) {
    let store = fixture.node("a").await;
    let cursors = fill(&fixture, &store, 4).await;
    let wrong = |cursor: Cursor| Cursor {
        hash: [1; 32],
        ..cursor
    };
    let past = Cursor {
        seq: 9,
        hash: cursors[3].hash,
    };
    let cases = [
        ("a", cursors[3], true),
        ("b", cursors[2], true),
        ("c", wrong(cursors[3]), false),
        ("d", wrong(cursors[2]), false),
        ("e", past, false),
    ];
    for (name, applied, _) in cases {
        let node = beat(&node(&fixture, name), 1, applied);
        store.enter(&node).await.unwrap();
    }
    let continued = async || -> Vec<(String, bool)> {
        let read = store.nodes().await.unwrap().nodes;
        let told = |node: &Registered| (node.node.name.clone(), node.continued);
        read.iter().map(told).collect()
    };
    let wanted = cases.map(|(name, _, continued)| (name.to_owned(), continued));
    assert_eq!(continued().await, wanted);
    let read = store.nodes().await.unwrap().nodes;
    let has: Vec<_> = read.iter().map(|node| node.has(4)).collect();
    assert_eq!(has, [true, false, false, false, false]);
    // Compaction may drop even the newest entry: the head still has its hash. A missing entry proves nothing.
    assert_eq!(store.compact(START.plus(9 * HOUR)).await.unwrap(), 4);
    let told: Vec<_> = continued()
        .await
        .into_iter()
        .map(|(_, told)| told)
        .collect();
    assert_eq!(told, [true, false, false, false, false]);
}

async fn a_node_is_dismissed_only_if_it_did_not_come_back(fixture: Fixture) {
    let (store, other) = (fixture.node("a").await, fixture.node("b").await);
    let here = node(&fixture, "here");
    store.enter(&here).await.unwrap();
    store.enter(&beat(&here, 2, Cursor::START)).await.unwrap();
    for beat in [0, 1, 3] {
        other.dismiss(here.id, beat).await.unwrap();
        assert_eq!(nodes(&store).await.len(), 1);
    }
    other.dismiss(here.id, 2).await.unwrap();
    assert_eq!(nodes(&store).await, []);
    // A paused node comes back.
    store.enter(&beat(&here, 3, Cursor::START)).await.unwrap();
    assert_eq!(nodes(&store).await.len(), 1);
}

async fn a_node_that_leaves_is_gone(fixture: Fixture) {
    let store = fixture.node("a").await;
    let (here, there) = (node(&fixture, "here"), node(&fixture, "there"));
    store.enter(&here).await.unwrap();
    store.enter(&there).await.unwrap();
    // A late request to leave does not remove a node that has come back.
    store.leave(here.id, here.beat - 1).await.unwrap();
    assert_eq!(nodes(&store).await.len(), 2);
    store.leave(here.id, here.beat).await.unwrap();
    store.leave(here.id, here.beat).await.unwrap();
    assert_eq!(nodes(&store).await, [there]);
}
