//! `waxseal revoke … --explain`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use serde_json::Value;
use waxseal::time::{Clock, SystemClock, Timestamp};

use super::super::common::postgres::Postgres;
use super::super::common::wire::{State, Wire};
use super::super::load::{client, ready};
use super::super::nodes::Nodes;
use super::{PATIENCE, accepts, login, parsed, users, verify};

fn time(value: &Value) -> Timestamp {
    let text = value.as_str().unwrap_or_else(|| panic!("no time: {value}"));
    Timestamp::parse_rfc3339(text).unwrap()
}

const BOUNDED: [(&str, &str); 1] = [("WAXSEAL_MAX_STALENESS", "3s")];

/// A node that lost the database accepts for a while, but never after the printed instant.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_instant_is_not_before_the_last_use() {
    let postgres = Postgres::start();
    let wire = Wire::to_port(postgres.port()).await;
    let databases = [postgres.url(), postgres.url_through(&wire)];
    let nodes = Nodes::start(&databases, &BOUNDED, &users());
    // On a slow machine the token may not be used between the revocation and the end of the node's freshness.
    for _ in 0..20 {
        if used_after_it_was_written(&nodes, &wire).await {
            return;
        }
    }
    panic!("it was never used after it was revoked");
}

async fn used_after_it_was_written(nodes: &Nodes, wire: &Wire) -> bool {
    let [first, second] = [0, 1].map(|node| Arc::clone(&nodes.0[node]));
    let http = client(PATIENCE);
    wire.set(State::Whole);
    ready(&http, &second.site()).await;
    let token = login(&http, &first.url, "alice").await;
    accepts(&http, &second, &token).await;
    let (used, done) = (
        Arc::new(AtomicI64::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let user = {
        let (used, done) = (Arc::clone(&used), Arc::clone(&done));
        let (http, url, token) = (http.clone(), second.url.clone(), token.clone());
        tokio::spawn(async move {
            while !done.load(Ordering::SeqCst) {
                // The token was accepted at this time or later.
                let asked = SystemClock.now().millis();
                if verify(&http, &url, &token).await == 200 {
                    used.store(asked, Ordering::SeqCst);
                }
            }
        })
    };
    wire.set(State::Held);
    let printed = {
        let first = Arc::clone(&first);
        let run = move || first.ok(&["revoke", "user", "alice", "--explain", "--json"], "");
        parsed(&tokio::task::spawn_blocking(run).await.unwrap())
    };
    // The node accepts until its list is too old, which is the case once the command has ended.
    assert_ne!(verify(&http, &second.url, &token).await, 200);
    tokio::time::sleep(Duration::from_millis(500)).await;
    done.store(true, Ordering::SeqCst);
    user.await.unwrap();

    let explain = &printed["explain"];
    let (written, last) = (time(&explain["written_at"]), time(&explain["last_use"]));
    let used = Timestamp::from_millis(used.load(Ordering::SeqCst));
    assert!(used <= last, "used at {used}: {printed}");
    let rows = explain["nodes"].as_array().unwrap();
    let states: Vec<_> = rows
        .iter()
        .map(|row| row["state"].as_str().unwrap())
        .collect();
    let over = states
        .iter()
        .filter(|state| ["expired", "departed"].contains(state));
    assert!(
        states.contains(&"applied") && over.count() == 1,
        "{printed}"
    );
    for row in rows {
        assert!(time(&row["refuses_from"]) <= last, "{printed}");
        assert!(!row["name"].as_str().unwrap().is_empty(), "{printed}");
    }
    used > written
}

/// A single, paused node, so that no other node dismisses it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_lists_nodes_that_applied_it_and_expired_leases() {
    let postgres = Postgres::start();
    let nodes = Nodes::start(&[postgres.url()], &BOUNDED, &users());
    let http = client(PATIENCE);
    let node = &nodes.0[0];
    let explain = ["revoke", "all", "--explain"];
    ready(&http, &node.site()).await;
    let lines = node.ok(&explain, "");
    let has_it = |line: &str| line.contains("node-") && line.ends_with(": applied");
    assert!(lines.starts_with("revoked everything (seq "), "{lines}");
    assert!(lines.lines().any(has_it), "{lines}");
    assert!(
        lines.contains("accepted it: 20") && lines.contains("remote verifiers"),
        "{lines}"
    );

    node.pause();
    let lines = node.ok(&explain, "");
    let when = |words: &str| {
        let line = lines.lines().find(|line| line.contains(words));
        let line = line.unwrap_or_else(|| panic!("no {words:?} in {lines}"));
        let text = line.split(": ").nth(1).unwrap_or_default();
        let word = text.split(' ').find_map(Timestamp::parse_rfc3339);
        word.unwrap_or_else(|| panic!("no time in {line}"))
    };
    let over = when("pending; refuses every token from");
    assert_eq!(when("lease expired"), over);
    assert!(when("last instant") >= over, "{lines}");
    assert!(!lines.contains(": applied"), "{lines}");
    node.resume();
    ready(&http, &node.site()).await;

    node.pause();
    let printed = parsed(&node.ok(&[&explain[..], &["--json"]].concat(), ""));
    node.resume();
    let (explain, row) = (&printed["explain"], &printed["explain"]["nodes"][0]);
    assert_eq!(
        (&row["at_first"], &row["state"]),
        (&"pending".into(), &"expired".into())
    );
    // The bound, the margin of two clocks, and the millisecond by which the wall clock rounds up.
    let bound = Duration::from_millis(3000 + 150 + 50 + 1);
    assert_eq!(
        time(&row["refuses_from"]),
        time(&explain["written_at"]).plus(bound)
    );
    assert!(
        time(&explain["last_use"]) >= time(&row["refuses_from"]),
        "{printed}"
    );
    assert_eq!(explain["registered"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_says_that_a_node_on_sqlite_is_not_registered() {
    let nodes = Nodes::start(&["sqlite".to_owned()], &BOUNDED, &users());
    let (node, http) = (&nodes.0[0], client(PATIENCE));
    let token = login(&http, &node.url, "alice").await;
    let printed = parsed(&node.ok(&["revoke", "user", "alice", "--explain", "--json"], ""));
    let explain = &printed["explain"];
    assert_eq!(explain["registered"], false);
    assert_eq!(explain["nodes"], serde_json::json!([]));
    let last = time(&explain["last_use"]);
    assert!(
        last >= time(&explain["written_at"]).plus(Duration::from_secs(3)),
        "{printed}"
    );
    while SystemClock.now() <= last {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_ne!(verify(&http, &node.url, &token).await, 200);
    let text = node.ok(&["revoke", "user", "alice", "--explain"], "");
    assert!(
        text.contains("not entered anywhere") && text.contains("3 s"),
        "{text}"
    );

    // Also if the command's own settings say `fenced`.
    let mut wrong = node.command(&["revoke", "all", "--explain", "--json"]);
    let printed = wrong.env("WAXSEAL_LOGOUT", "fenced").output().unwrap();
    let printed = parsed(std::str::from_utf8(&printed.stdout).unwrap());
    assert_eq!(printed["explain"]["registered"], false);
    let mut wrong = node.command(&["revoke", "all"]);
    let printed = wrong.env("WAXSEAL_LOGOUT", "fenced").output().unwrap();
    let text = String::from_utf8(printed.stdout).unwrap();
    assert!(text.contains("not entered anywhere"), "{text}");

    // With fenced logouts a node is registered, with SQLite too.
    let fenced = [("WAXSEAL_LOGOUT", "fenced")];
    let nodes = Nodes::start(&["sqlite".to_owned()], &fenced, &users());
    let text = nodes.0[0].ok(&["revoke", "user", "alice", "--explain"], "");
    assert!(
        text.contains(": applied") && !text.contains("not entered"),
        "{text}"
    );
    let text = nodes.0[0].ok(&["revoke", "all"], "");
    assert!(!text.contains("not entered"), "{text}");
}
