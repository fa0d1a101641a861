//! Measures how long after a logout's answer another node still accepts the session while many revocations are live,
//! and how long a node takes to start with them. The test prints the figures, and fails only if a promise is broken.

use std::fmt::Write;
use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};
use waxseal::id::Lineage;
use waxseal::random::SeededRandom;
use waxseal::revocation::{ALL, Reason, Revocation, Target, session_revocation_expiry};
use waxseal::time::{Clock, SystemClock};

use super::common::PASSWORD;
use super::common::postgres::Postgres;
use super::load::{client, ready};
use super::nodes::{Node, Nodes};

const LOGOUTS: usize = 40;

/// How many revocations are live: `WAXSEAL_LIVE`.
fn live() -> usize {
    let wanted = std::env::var("WAXSEAL_LIVE").ok();
    wanted.map_or(5_000, |text| text.parse().unwrap())
}

/// Writes `count` logouts of an hour ago, as one node would have written them.
fn fill(postgres: &Postgres, count: usize) {
    let head = postgres.sql("SELECT seq, encode(hash, 'hex') FROM head");
    let (seq, hash) = head.split_once('|').unwrap();
    let (mut seq, mut hash): (i64, _) = (seq.parse().unwrap(), unhex(hash));
    let at = SystemClock.now().minus(Duration::from_secs(3600));
    let random = SeededRandom::new(1);
    let mut sql = "COPY revocation FROM STDIN CSV;\n".to_owned();
    for _ in 0..count {
        seq += 1;
        let lineage = Lineage::new(at, &random);
        let revocation = Revocation {
            seq,
            target: Target::Session(lineage),
            from: ALL,
            grace_until: None,
            spared: None,
            expires_at: session_revocation_expiry(at.plus(Duration::from_secs(7200))),
            reason: Reason::Logout,
            at,
        };
        hash = revocation.chain(&hash);
        let (ends, at) = (revocation.expires_at.millis(), at.millis());
        writeln!(
            sql,
            "{seq},session,{lineage},{ALL},,{ends},logout,{at},\\x{},",
            hex(&hash)
        )
        .unwrap();
    }
    writeln!(
        sql,
        "\\.\nUPDATE head SET seq = {seq}, hash = '\\x{}';",
        hex(&hash)
    )
    .unwrap();
    sql.push_str("ANALYZE;");
    postgres.sql(&sql);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> [u8; 32] {
    let byte = |at: usize| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap();
    std::array::from_fn(byte)
}

async fn login(http: &Client, node: &Node) -> String {
    let body = json!({"username": "alice", "password": PASSWORD});
    let answer = http.post(format!("{}/login", node.url)).json(&body).send();
    let answer: Value = answer.await.unwrap().json().await.unwrap();
    answer["access_token"].as_str().unwrap().to_owned()
}

async fn verify(http: &Client, node: &Node, token: &str) -> u16 {
    let asked = http.get(format!("{}/session", node.url)).bearer_auth(token);
    asked.send().await.unwrap().status().as_u16()
}

struct Delays(Vec<Duration>);

impl Delays {
    fn of(&mut self, share: f64) -> f64 {
        self.0.sort_unstable();
        let last = self.0.len() - 1;
        self.0[(share * last as f64).round() as usize].as_secs_f64() * 1e3
    }

    fn print(mut self, what: &str) {
        println!(
            "{what}: median {:.1} ms, p99 {:.1} ms, maximum {:.1} ms",
            self.of(0.5),
            self.of(0.99),
            self.of(1.0)
        );
    }
}

async fn measure(postgres: &Postgres, logout: &'static str, bound: Duration) {
    let urls = vec![postgres.url(); 3];
    let settings = [
        ("WAXSEAL_LOGOUT", logout),
        ("WAXSEAL_LOGIN_LIMIT_ADDRESS", "100000/1s"),
        ("WAXSEAL_LOGIN_LIMIT_ACCOUNT", "100000/1s"),
    ];
    let users = if logout == "bounded" {
        vec!["alice".to_owned()]
    } else {
        vec![]
    };
    let nodes = Nodes::prepare(&urls, &settings, &users);
    if logout == "bounded" {
        fill(postgres, live());
    }
    let http = client(Duration::from_secs(30));
    let mut starts = Delays(Vec::new());
    for node in &nodes.0 {
        let started = SystemClock.uptime();
        node.start();
        ready(&http, &node.site()).await;
        starts.0.push(SystemClock.uptime() - started);
    }
    println!("{} live revocations, logouts {logout}", live());
    starts.print("  start to ready, one after the other");
    let (mut answers, mut refusals) = (Delays(Vec::new()), Delays(Vec::new()));
    for _ in 0..LOGOUTS {
        let (here, there) = (&nodes.0[0], &nodes.0[1]);
        let token = login(&http, here).await;
        assert_eq!(verify(&http, there, &token).await, 200);
        let asked = SystemClock.uptime();
        let ended = http
            .post(format!("{}/logout", here.url))
            .bearer_auth(&token);
        assert_eq!(ended.send().await.unwrap().status(), 204);
        let answered = SystemClock.uptime();
        let mut last_let_in = Duration::ZERO;
        loop {
            let sent = SystemClock.uptime() - answered;
            match verify(&http, there, &token).await {
                200 => last_let_in = sent,
                401 => break,
                other => panic!("{other}"),
            }
            assert!(sent <= bound, "let in {sent:?} after the answer");
        }
        if logout == "fenced" {
            assert_eq!(last_let_in, Duration::ZERO, "let in after a fenced answer");
        }
        answers.0.push(answered - asked);
        refusals.0.push(SystemClock.uptime() - answered);
    }
    answers.print("  logout on A until its answer");
    refusals.print("  from that answer until B has refused");
    for node in &nodes.0 {
        node.terminate();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_refuses_within_the_bound_and_with_a_fence_at_once() {
    let postgres = Postgres::start();
    measure(&postgres, "bounded", Duration::from_secs(5)).await;
    measure(&postgres, "fenced", Duration::ZERO).await;
}
