//! Nodes that are paused and later resumed.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use waxseal::random::{OsRandom, Random};
use waxseal::time::{Clock, SystemClock};

use super::common::postgres::Postgres;
use super::fixture::{Caller, nodes, until};
use super::nodes::{Node, Nodes};
use super::token_forge::TokenForge;

const FENCED: [(&str, &str); 1] = [("WAXSEAL_LOGOUT", "fenced")];

struct Fixture {
    database: Postgres,
    nodes: Nodes,
    first: Caller,
    second: Caller,
    /// The second node's ID in the register.
    second_id: String,
}

impl Fixture {
    fn new() -> Self {
        let database = Postgres::start();
        let nodes = nodes(&database, 2, &FENCED);
        nodes.0[0].start();
        let known = database.sql("SELECT id FROM node");
        nodes.0[1].start();
        let others = format!("SELECT id FROM node WHERE id <> '{known}'");
        let second_id = database.sql(&others);
        assert!(!second_id.is_empty() && !second_id.contains('\n'));
        Self {
            first: Caller::at(&nodes.0[0].url),
            second: Caller::at(&nodes.0[1].url),
            database,
            nodes,
            second_id,
        }
    }

    fn node(&self) -> &Arc<Node> {
        &self.nodes.0[1]
    }
}

/// Parses `fence;dur=…;desc="…"`: the milliseconds, and the nodes.
fn fence(text: Option<&String>) -> (u64, String) {
    let text = text.unwrap().strip_prefix("fence;dur=").unwrap();
    let (millis, rest) = text.split_once(";desc=\"").unwrap();
    let nodes = rest.strip_suffix('"').unwrap();
    (millis.parse().unwrap(), nodes.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_paused_for_longer_than_its_lease_accepts_nothing_that_was_revoked() {
    let fixture = Fixture::new();
    let (first, second) = (&fixture.first, &fixture.second);
    let mut tokens = Vec::new();
    for _ in 0..3 {
        tokens.push(first.login("alice").await);
    }
    let live = first.login("alice").await;
    for token in tokens.iter().chain([&live]) {
        second.becomes(token, 200).await;
    }

    fixture.node().pause();
    let answer = first.logout(&tokens[0]).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    let (millis, waited_for) = fence(answer.server_timing.as_ref());
    assert_eq!(waited_for, fixture.second_id);
    println!("one logout waited {millis} ms for the paused node");
    // The lease of 2 s, a twentieth of it, 50 ms, and the polling interval.
    assert!(millis < 5000, "{millis}");

    until("the paused node is taken out", async || {
        let entered = format!(
            "SELECT count(*) FROM node WHERE id = '{}'",
            fixture.second_id
        );
        fixture.database.sql(&entered) == "0"
    })
    .await;
    assert!(fixture.nodes.0[0].says("a node was removed from the register"));
    for token in &tokens[1..] {
        let answer = first.logout(token).await;
        assert_eq!(answer.status, 204);
        let (millis, waited_for) = fence(answer.server_timing.as_ref());
        println!("and then {millis} ms for {waited_for:?}");
        assert_eq!(waited_for, "");
    }

    // These requests wait in the node's socket, and are the first that it sees.
    let mut asked = JoinSet::new();
    for _ in 0..8 {
        for (number, token) in tokens.iter().chain([&live]).enumerate() {
            let (second, token) = (second.clone(), token.clone());
            asked.spawn(async move { (number, second.verify(&token).await) });
        }
    }
    until("they are on their way", async || {
        waiting_at(fixture.node()) >= 32
    })
    .await;
    fixture.node().resume();
    let mut refused = 0;
    while let Some(answer) = asked.join_next().await {
        let (number, answer) = answer.unwrap();
        if number == tokens.len() {
            assert!(matches!(answer.status, 200 | 503), "{answer:?}");
            refused += usize::from(answer.status == 503);
        } else {
            assert!(matches!(answer.status, 401 | 503), "{answer:?}");
        }
        if answer.status == 503 {
            answer.is_unavailable();
        }
    }
    println!("{refused} of 8 were refused for a token that is good");
    second.becomes(&live, 200).await;
    for token in &tokens {
        assert_eq!(second.verify(token).await.status, 401);
    }
    // The node registers again, and fences wait for it again.
    until("both are there", async || {
        fixture.database.sql("SELECT count(*) FROM node") == "2"
    })
    .await;
    assert_eq!(first.logout(&live).await.status, 204);
    assert_eq!(second.verify(&live).await.status, 401);
}

/// Counts the connections to a node with unread data.
fn waiting_at(node: &Node) -> usize {
    let port = node.url.rsplit_once(':').unwrap().1.parse::<u16>().unwrap();
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let local = format!(":{port:04X}");
    let lines = table.lines().filter(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let unread = |queues: &str| {
            queues
                .split_once(':')
                .is_some_and(|(_, read)| read != "00000000")
        };
        fields[1].ends_with(&local) && fields[3] == "01" && unread(fields[4])
    });
    lines.count()
}

/// The process of a node is stopped while its transaction holds the head row, which every other writer waits for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_paused_inside_a_transaction_blocks_others_only_briefly() {
    let fixture = Fixture::new();
    let forge = TokenForge::new(&fixture.node().place.path().join("keys"), 11);
    let token = || forge.session(SystemClock.now()).text;
    let (mut held, mut tries) = (0, 0);
    while held < 2 {
        tries += 1;
        assert!(tries < 200, "never inside of a transaction");
        fixture.second.becomes_ready(true).await;
        let mut writers = JoinSet::new();
        for _ in 0..12 {
            let (second, token) = (fixture.second.clone(), token());
            writers.spawn(async move { (second.logout(&token).await, token) });
        }
        a_moment().await;
        fixture.node().pause();
        if is_inside(&fixture.database) {
            held += 1;
            let began = SystemClock.uptime();
            let mine = token();
            let answer = fixture.first.logout(&mine).await;
            assert_eq!(answer.status, 204, "{answer:?}");
            println!("{:?} for a logout beside it", SystemClock.uptime() - began);
            assert_eq!(fixture.first.verify(&mine).await.status, 401);
        }
        fixture.node().resume();
        while let Some(written) = writers.join_next().await {
            let (answer, token) = written.unwrap();
            if answer.status != 204 {
                answer.is_unavailable();
                continue;
            }
            for caller in [&fixture.first, &fixture.second] {
                assert_ne!(caller.verify(&token).await.status, 200);
            }
        }
    }
    println!("{held} of {tries} pauses were inside of a transaction");
    let words = "terminating connection due to idle-in-transaction timeout";
    assert!(fixture.database.log().contains(words));
    fixture.second.becomes_ready(true).await;
    let last = fixture.second.login("alice").await;
    assert_eq!(fixture.first.verify(&last).await.status, 200);
}

/// Whether an open transaction holds the head row while its client is silent.
fn is_inside(database: &Postgres) -> bool {
    // A statement that was already sent may finish first.
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'waxseal' AND state = 'active'";
    for _ in 0..200 {
        if database.sql(waits) == "0" {
            break;
        }
    }
    let inside = "SELECT count(*) FROM pg_stat_activity JOIN pg_locks USING (pid) WHERE state = 'idle in transaction' AND relation = 'head'::regclass AND mode = 'RowShareLock'";
    database.sql(inside) != "0"
}

/// Sleeps for a random moment.
async fn a_moment() {
    let mut bytes = [0; 2];
    OsRandom::new().fill(&mut bytes);
    let micros = u16::from_be_bytes(bytes);
    tokio::time::sleep(Duration::from_micros(micros.into())).await;
}
