//! A database that is restored while nodes serve.

use super::common::postgres::Postgres;
use super::fixture::{Caller, Process, nodes};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_whose_database_went_back_keep_what_they_know_and_refuse_the_rest() {
    let database = Postgres::start();
    let nodes = nodes(&database, 2, &[("WAXSEAL_LOGOUT", "fenced")]);
    let callers: Vec<_> = nodes.0.iter().map(|node| Caller::at(&node.url)).collect();
    for node in &nodes.0 {
        node.start();
    }
    let (before, after, live) = (
        callers[0].login("alice").await,
        callers[0].login("alice").await,
        callers[1].login("alice").await,
    );
    callers[0].ends(&before).await;
    let copy = database.dump();
    callers[0].ends(&after).await;
    for caller in &callers {
        caller.becomes(&live, 200).await;
    }

    database.restore(&copy);
    for (node, caller) in nodes.0.iter().zip(&callers) {
        caller.becomes_ready(false).await;
        assert!(node.says("the revocation log went back or was altered"));
        caller.verify(&live).await.is_unavailable();
        for token in [&before, &after] {
            assert_eq!(caller.verify(token).await.status, 401);
        }
        caller.logout(&live).await.is_unavailable();
        caller.try_login("alice").await.is_unavailable();
    }
    // The nodes have left the register: no logout and no command waits for nodes that serve nothing.
    assert_eq!(database.sql("SELECT count(*) FROM node"), "0");

    // Also once the log has grown past what they know, by a writer with another mark.
    for _ in 0..4 {
        let other = nodes.0[0].command(&["revoke", "user", "alice", "--mark-dir", "another"]);
        let mut other = Process::start(other);
        assert_eq!(other.ends().code(), Some(0), "{}", other.log());
    }
    for caller in &callers {
        assert!(!caller.is_ready().await);
        caller.verify(&live).await.is_unavailable();
        caller.logout(&live).await.is_unavailable();
        assert_eq!(caller.verify(&after).await.status, 401);
    }

    for node in &nodes.0 {
        node.terminate();
    }
    nodes.0[0].ok(&["restored"], "");
    for (node, caller) in nodes.0.iter().zip(&callers) {
        node.start();
        for token in [&before, &after, &live] {
            assert_eq!(caller.verify(token).await.status, 401);
        }
        caller.login("alice").await;
    }
}
