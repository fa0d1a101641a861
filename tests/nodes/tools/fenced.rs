//! With fenced logouts, a command ends only when no node accepts what it revoked.

use serde_json::Value;
use waxseal::store::key_folder;

use super::super::common::PASSWORD;
use super::super::common::postgres::Postgres;
use super::super::common::wire::{State, Wire};
use super::super::load::{client, ready};
use super::super::nodes::Nodes;
use super::{PATIENCE, accepts, login, parsed, refused, users, verify};

const FENCED: [(&str, &str); 2] = [("WAXSEAL_LOGOUT", "fenced"), ("WAXSEAL_LEASE", "1s")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_is_done_when_no_node_accepts_the_token() {
    let postgres = Postgres::start();
    let databases = [postgres.url(), postgres.url()];
    let nodes = Nodes::start(&databases, &FENCED, &users());
    let http = client(PATIENCE);
    let [first, second] = [0, 1].map(|node| &nodes.0[node]);
    for _ in 0..10 {
        let token = login(&http, &first.url, "alice").await;
        accepts(&http, second, &token).await;
        let done = parsed(&first.ok(&["revoke", "user", "alice", "--json"], ""));
        for node in [second, first] {
            assert_eq!(verify(&http, &node.url, &token).await, 401, "{done}");
        }
        assert!(done["fence"]["ms"].is_u64(), "{done}");
    }
    // A node is paused for longer than it may serve: the command waits for it, and it accepts nothing when it resumes.
    let token = login(&http, &first.url, "alice").await;
    accepts(&http, second, &token).await;
    second.pause();
    first.ok(&["revoke", "user", "alice"], "");
    second.resume();
    assert_ne!(verify(&http, &second.url, &token).await, 200);
}

/// Each command runs against one paused node, so that no other node dismisses it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_revoking_command_waits_and_names_the_nodes() {
    let postgres = Postgres::start();
    let nodes = Nodes::start(&[postgres.url()], &FENCED, &users());
    let http = client(PATIENCE);
    let node = &nodes.0[0];
    node.ok(&["client", "add", "billing", "--json"], "");
    let keys = key_folder::load(&node.place.path().join("keys")).unwrap();
    let successor = keys.iter().find(|file| file.times.signs_from.is_none());
    let kid = successor.unwrap().key.public().kid().to_string();
    let session = "01a20636-65df-7d0c-a454-25cc62cdf196.0";
    let commands: [&[&str]; 9] = [
        &["revoke", "session", session],
        &["revoke", "user", "alice"],
        &["revoke", "client", "billing"],
        &["revoke", "all"],
        &["user", "passwd", "alice", "--password-stdin"],
        &["user", "disable", "alice"],
        &["user", "delete", "alice"],
        &["client", "disable", "billing"],
        &["client", "delete", "billing"],
    ];
    let key = ["keys", "revoke", &kid];
    for command in commands.into_iter().chain([&key[..]]) {
        ready(&http, &node.site()).await;
        node.pause();
        let done = parsed(&node.ok(&[command, &["--json"]].concat(), PASSWORD));
        node.resume();
        let waited = &done["fence"]["waited_for"];
        assert_eq!(
            waited.as_array().map(Vec::len),
            Some(1),
            "{command:?}: {done}"
        );
        assert_eq!(waited[0]["acknowledged"], false, "{command:?}: {done}");
        assert!(waited[0]["id"].as_str().unwrap().len() > 36, "{done}");
        assert!(
            done["fence"]["ms"].as_u64() >= Some(1000),
            "{command:?}: {done}"
        );
    }
    // A command that ends nothing waits for no node. Without `--json` the result is in words.
    ready(&http, &node.site()).await;
    node.pause();
    let done = parsed(&node.ok(&["user", "enable", "bob", "--json"], ""));
    assert_eq!(done["fence"], Value::Null);
    let text = node.ok(&["user", "disable", "bob"], "");
    node.resume();
    assert!(
        text.starts_with("bob disabled, all sessions ended\nwaited "),
        "{text}"
    );
    assert!(
        text.contains(" ms for ") && text.contains("did not answer"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bounded_command_does_not_wait() {
    let postgres = Postgres::start();
    let bounded = [("WAXSEAL_MAX_STALENESS", "30s")];
    let nodes = Nodes::start(&[postgres.url()], &bounded, &users());
    let node = &nodes.0[0];
    node.pause();
    let done = parsed(&node.ok(&["revoke", "user", "alice", "--json"], ""));
    node.resume();
    assert_eq!(done["fence"], Value::Null);
}

/// The log can be written, but the register cannot be read: the command reports that the revocation is written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_register_is_a_failure_that_names_the_written_entry() {
    let postgres = Postgres::start();
    let nodes = Nodes::prepare(&[postgres.url()], &FENCED, &users());
    let node = &nodes.0[0];
    postgres.sql("ALTER TABLE node RENAME TO elsewhere");
    let before = postgres.sql("SELECT seq FROM head");
    let run = |arguments: &[&str]| node.command(arguments).output().unwrap();
    let failed = run(&["user", "disable", "alice"]);
    let seq = before.parse::<i64>().unwrap() + 1;
    refused(
        &failed,
        1,
        &["it IS written", &format!("seq {seq},"), "node"],
    );
    assert_eq!(failed.stdout, b"");
    assert_eq!(postgres.sql("SELECT seq FROM head"), seq.to_string());
    let explained = run(&["revoke", "user", "alice", "--explain", "--json"]);
    refused(&explained, 1, &["it IS written"]);
    assert_eq!(explained.stdout, b"");
    // The generated password is shown nowhere else.
    let made = run(&["user", "passwd", "bob"]);
    refused(&made, 1, &["it IS written"]);
    let text = String::from_utf8(made.stdout).unwrap();
    assert!(text.contains("password: "), "{text}");
}

/// Another request may still be waiting for that node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_revocation_waits_for_all_nodes_too() {
    let postgres = Postgres::start();
    let wire = Wire::to_port(postgres.port()).await;
    let databases = [postgres.url(), postgres.url_through(&wire)];
    let nodes = Nodes::start(&databases, &FENCED, &users());
    let http = client(PATIENCE);
    let [first, second] = [0, 1].map(|node| &nodes.0[node]);
    let added = parsed(&first.ok(&["client", "add", "billing", "--json"], ""));
    let named = |name: &str| added[name].as_str().unwrap().to_owned();
    let (id, secret) = (named("client_id"), named("client_secret"));
    for _ in 0..5 {
        let token = login(&http, &first.url, "alice").await;
        accepts(&http, second, &token).await;
        wire.set(State::Held);
        let logout = http
            .post(format!("{}/logout", first.url))
            .bearer_auth(&token);
        let logout = tokio::spawn(logout.send());
        while verify(&http, &first.url, &token).await == 200 {}
        let again = http.post(format!("{}/oauth/revoke", first.url));
        let again = again
            .basic_auth(&id, Some(&secret))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("token={token}"));
        let again = again.send().await.unwrap().status();
        assert_ne!(
            verify(&http, &second.url, &token).await,
            200,
            "after {again}"
        );
        assert_eq!(again, 200);
        assert_eq!(logout.await.unwrap().unwrap().status(), 204);
        wire.set(State::Whole);
        ready(&http, &second.site()).await;
    }
}
