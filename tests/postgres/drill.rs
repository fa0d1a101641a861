//! The disaster drill: a backup of the database is restored, and no session that was logged out is accepted again.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use waxseal::Waxseal;
use waxseal::embedded::OpenError;
use waxseal::id::TokenId;
use waxseal::random::OsRandom;
use waxseal::revocation::Reason;
use waxseal::revocation::log::Revoke;
use waxseal::store::mark::MarkFile;
use waxseal::time::{Clock, SystemClock, Timestamp};

use super::clocks::settings;
use super::common::PASSWORD;
use super::common::postgres::Postgres;
use super::fixture::{Caller, Process, nodes, until};
use super::nodes::{Node, Nodes};

const FENCED: [(&str, &str); 1] = [("WAXSEAL_LOGOUT", "fenced")];

/// How the copy is made and restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Backup {
    /// With `pg_dump`, while everything runs.
    Dump,
    /// The server's files, copied while it is stopped.
    Files,
}

/// The `seq` of the mark in that folder.
fn mark_seq(folder: &Path) -> i64 {
    let file = MarkFile::new(folder, Arc::new(SystemClock), Arc::new(OsRandom::new()));
    file.read().unwrap().cursor.seq
}

struct Drill {
    database: Postgres,
    nodes: Nodes,
    callers: Vec<Caller>,
    /// Tokens that were logged out before the backup, after it, and not at all. The last session began after the
    /// backup.
    tokens: Vec<String>,
    copy: PathBuf,
}

impl Drill {
    /// Runs everything up to the restore of the copy. Every node is stopped at the end.
    async fn before(backup: Backup) -> Self {
        let database = Postgres::start();
        let nodes = nodes(&database, 3, &FENCED);
        let callers: Vec<_> = nodes.0.iter().map(|node| Caller::at(&node.url)).collect();
        let start = || nodes.0.iter().for_each(|node| node.start());
        let stop = || nodes.0.iter().for_each(|node| node.terminate());
        start();
        let mut tokens = Vec::new();
        for number in 0..5 {
            tokens.push(callers[number % 3].login("alice").await);
        }
        callers[0].ends(&tokens[0]).await;
        let copy = match backup {
            Backup::Dump => database.dump(),
            Backup::Files => {
                stop();
                database.stop();
                let copy = database.keep_files();
                database.start_again();
                start();
                copy
            }
        };
        for (number, token) in tokens[1..4].iter().enumerate() {
            assert_eq!(callers[number].logout(token).await.status, 204);
        }
        tokens.push(callers[1].login("alice").await);
        stop();
        Self {
            database,
            nodes,
            callers,
            tokens,
            copy,
        }
    }

    fn put_back(&self, backup: Backup) {
        match backup {
            Backup::Dump => self.database.restore(&self.copy),
            Backup::Files => {
                self.database.stop();
                self.database.put_files_back(&self.copy);
                self.database.start_again();
            }
        }
    }

    fn node(&self, number: usize) -> &Arc<Node> {
        &self.nodes.0[number]
    }

    /// Asserts that nothing that writes runs at that node, and that its mark does not move.
    fn is_refused(&self, node: &Node) {
        let mark = node.place.path().join("mark/mark");
        let before = fs::read(&mark).unwrap();
        for arguments in [
            &["serve"][..],
            &["revoke", "all"],
            &["user", "add", "bob"],
            &["client", "add", "stock"],
        ] {
            let said = Process::start(node.command(arguments)).is_refused();
            for words in [
                "an older copy of the database was put back",
                "the mark mark/mark of ",
                "waxseal restored",
            ] {
                assert!(said.contains(words), "{arguments:?}, {words}: {said}");
            }
        }
        node.ok(&["user", "list"], "");
        assert_eq!(fs::read(&mark).unwrap(), before);
    }

    /// Asserts that every node refuses the old tokens and that the service works.
    async fn all_is_over(&self) {
        let token = self.callers[0].login("alice").await;
        let ended = self.callers[1].login("alice").await;
        self.callers[2].ends(&ended).await;
        for caller in &self.callers {
            for dead in self.tokens.iter().chain([&ended]) {
                assert_eq!(caller.verify(dead).await.status, 401);
            }
            caller.becomes(&token, 200).await;
        }
    }
}

async fn drill(backup: Backup) {
    let drill = Drill::before(backup).await;
    drill.put_back(backup);
    for node in &drill.nodes.0 {
        drill.is_refused(node);
    }
    let said = drill.node(1).ok(&["restored", "--json"], "");
    let said: Value = serde_json::from_str(&said).unwrap();
    let lists = |list: &str, words: &str| said[list].as_array().unwrap().contains(&json!(words));
    assert!(lists("as_in_the_copy", "passwords") && lists("check", "waxseal user list"));
    // The log has: the first start, which found keys beside a new log; one logout; and three logouts that are lost.
    assert_eq!((&said["seq"], &said["marked_seq"]), (&json!(2), &json!(5)));
    let again = Process::start(drill.node(1).command(&["restored"])).is_refused();
    assert!(again.contains("nothing was changed"), "{again}");

    for node in &drill.nodes.0 {
        node.start();
    }
    for number in [0, 2] {
        assert!(
            drill
                .node(number)
                .says("an older copy was accepted at another node")
        );
    }
    drill.all_is_over().await;
    // From now on each node has a mark of this log.
    for node in &drill.nodes.0 {
        node.terminate();
        node.start();
        assert!(!node.log().contains("older copy"), "{}", node.log());
    }
    drill.all_is_over().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_that_is_put_back() {
    drill(Backup::Dump).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_are_put_back() {
    drill(Backup::Files).await;
}

/// A revocation of everything that is older than the backup did not end what came after the backup.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_end_of_everything_does_not_pass_for_a_newer_one() {
    let database = Postgres::start();
    let nodes = nodes(&database, 1, &[]);
    let node = &nodes.0[0];
    node.ok(&["revoke", "all"], "");
    let copy = database.dump();
    node.ok(&["revoke", "user", "alice"], "");
    database.restore(&copy);
    let said = Process::serve(node).is_refused();
    assert!(said.contains("waxseal restored"), "{said}");
}

/// A node that has read what the copy lacks does not start with it, even if it never wrote and was killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_only_read_is_not_deceived() {
    let database = Postgres::start();
    let nodes = nodes(&database, 2, &[]);
    let callers: Vec<_> = nodes.0.iter().map(|node| Caller::at(&node.url)).collect();
    nodes.0.iter().for_each(|node| node.start());
    let token = callers[0].login("alice").await;
    let copy = database.dump();
    callers[0].ends(&token).await;
    callers[1].becomes(&token, 401).await;
    let seq: i64 = database.sql("SELECT seq FROM head").parse().unwrap();
    let mark = nodes.0[1].place.path().join("mark");
    // The mark follows within a second. Compaction, once a minute, would move it too.
    let follows = (0..1000).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        mark_seq(&mark) == seq
    });
    assert!(follows, "its mark stays behind");
    nodes.0.iter().for_each(|node| node.kill());
    database.restore(&copy);
    for node in &nodes.0 {
        let said = Process::serve(node).is_refused();
        assert!(said.contains("waxseal restored"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_database_in_the_place_of_a_lost_one_ends_everything() {
    let database = Postgres::start();
    let nodes = nodes(&database, 2, &[]);
    let callers: Vec<_> = nodes.0.iter().map(|node| Caller::at(&node.url)).collect();
    nodes.0.iter().for_each(|node| node.start());
    let (live, ended) = (
        callers[0].login("alice").await,
        callers[1].login("alice").await,
    );
    callers[0].ends(&ended).await;
    nodes.0.iter().for_each(|node| node.terminate());
    database.empty();
    for node in &nodes.0 {
        node.start();
    }
    nodes.0[0].ok(&["user", "add", "bob", "--password-stdin"], PASSWORD);
    let new = callers[0].login("bob").await;
    for caller in &callers {
        for token in [&live, &ended] {
            assert_eq!(caller.verify(token).await.status, 401);
        }
        caller.becomes(&new, 200).await;
    }
}

/// The operator may accept the restore at one node twice, or at two nodes at once: everything is ended either way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_may_be_told_that_it_was_restored() {
    let drill = Drill::before(Backup::Dump).await;
    drill.put_back(Backup::Dump);
    std::thread::scope(|scope| {
        for node in &drill.nodes.0 {
            scope.spawn(|| node.ok(&["restored"], ""));
        }
    });
    for node in &drill.nodes.0 {
        node.start();
    }
    drill.all_is_over().await;
}

/// The limit of a mark: a node that has not served since before the backup has a mark that fits the restored log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_database_goes_unnoticed_at_a_node_with_an_older_mark() {
    let database = Postgres::start();
    let nodes = nodes(&database, 2, &[]);
    let callers: Vec<_> = nodes.0.iter().map(|node| Caller::at(&node.url)).collect();
    nodes.0[1].start();
    let token = callers[1].login("alice").await;
    nodes.0[1].terminate();
    let copy = database.dump();
    nodes.0[0].start();
    callers[0].ends(&token).await;
    nodes.0[0].terminate();
    database.restore(&copy);
    // The node with the newer mark is not deceived, and reports it to the operator.
    let said = Process::serve(&nodes.0[0]).is_refused();
    assert!(said.contains("waxseal restored"), "{said}");
    nodes.0[1].start();
    assert_eq!(callers[1].verify(&token).await.status, 200);
    nodes.0[1].terminate();
    nodes.0[0].ok(&["restored"], "");
    for (node, caller) in nodes.0.iter().zip(&callers) {
        node.start();
        assert_eq!(caller.verify(&token).await.status, 401);
    }
}

/// A node that was stopped for long must not look as if its database went back: other nodes have dropped the entries
/// that would prove that the log continues from its mark.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_starts_after_others_compacted_the_log() {
    let database = Postgres::start();
    let nodes = nodes(&database, 1, &[]);
    let keys = nodes.0[0].place.path().join("keys");
    let folder = TempDir::new().unwrap();
    let open = async |name: &str| {
        let settings = settings(&database, &keys, &folder.path().join(name));
        Waxseal::open_with(
            &settings,
            Arc::new(SystemClock),
            Arc::new(OsRandom::new()),
            super::common::CHEAP,
        )
        .await
    };
    let (serving, stopped) = (open("one").await.unwrap(), open("other").await.unwrap());
    let revoke = async |node: &Waxseal| {
        let token = TokenId::new(SystemClock.now(), &OsRandom::new());
        let long_ago = Timestamp::from_secs(1_700_000_000);
        let what = Revoke::Token(token, long_ago);
        let at = SystemClock.now();
        node.log().revoke(what, Reason::Operator, at).await.unwrap()
    };
    // The node's mark is at its last write.
    revoke(&stopped).await;
    stopped.leave().await;
    drop(stopped);
    for _ in 0..5 {
        revoke(&serving).await;
    }
    assert_eq!(serving.compact().await.unwrap(), 6);
    revoke(&serving).await;
    let opened = open("other").await.unwrap();
    opened.catch_up().await.unwrap();
    revoke(&opened).await;
    drop(opened);

    // The note of the node's mark in the database is what proves it.
    for _ in 0..3 {
        revoke(&serving).await;
    }
    serving.compact().await.unwrap();
    let notes = database.sql("SELECT count(*) FROM mark");
    assert_eq!(notes, "3", "of two in this process and the program's");
    database.sql("DELETE FROM mark");
    let refused = open("other").await.map(drop).unwrap_err();
    assert!(matches!(refused, OpenError::Behind { .. }), "{refused}");
    until("the other one goes on", async || {
        serving.catch_up().await.is_ok()
    })
    .await;
}
