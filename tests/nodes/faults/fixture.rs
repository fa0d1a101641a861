//! The nodes, a wire from each of them to the database, and the clients.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::spawn_blocking;
use waxseal::random::{OsRandom, Random};

use super::super::checker::{Report, Terms, check};
use super::super::common::postgres::Postgres;
use super::super::common::wire::Wire;
use super::super::history::{Event, History, Mode};
use super::super::load::{Load, Plan, client};
use super::super::nodes::{Node, Nodes};
use super::super::token_forge::TestRng;

pub const NODES: usize = 3;
const CALLERS: usize = 24;
/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(4);
/// The limit for all nodes to become ready after a fault and for every kind of request to succeed. Only a failure takes
/// longer.
const AGAIN: Duration = Duration::from_secs(90);

/// What the nodes promise.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    pub mode: Mode,
    pub max_staleness: Duration,
    /// Used if logouts are fenced.
    pub lease: Duration,
    /// How long before its stop a node announces it.
    pub shutdown_delay: Duration,
}

/// A seed that is printed when the test fails.
pub struct Seed(pub u64);

impl Seed {
    /// The seed in `WAXSEAL_FAULTS_SEED`, or a new one.
    pub fn take() -> Self {
        let given = std::env::var("WAXSEAL_FAULTS_SEED").ok();
        let seed = given.map_or_else(
            || {
                let mut bytes = [0; 4];
                OsRandom::new().fill(&mut bytes);
                u32::from_be_bytes(bytes).into()
            },
            |text| text.parse().expect("WAXSEAL_FAULTS_SEED is a number"),
        );
        println!("WAXSEAL_FAULTS_SEED={seed}");
        Self(seed)
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("FAILED with WAXSEAL_FAULTS_SEED={}", self.0);
        }
    }
}

/// One test at a time: CI has only two cores.
static TURN: Mutex<()> = Mutex::const_new(());

pub struct Fixture {
    // The nodes are dropped first.
    pub nodes: Nodes,
    pub wires: Arc<Vec<Wire>>,
    pub database: Arc<Postgres>,
    pub history: Arc<History>,
    pub form: Form,
    pub seed: Seed,
    http: Client,
    _turn: MutexGuard<'static, ()>,
}

impl Fixture {
    /// Three nodes, started and ready.
    pub async fn set(form: Form) -> Self {
        let fixture = Self::prepare(form).await;
        fixture.start().await;
        fixture
    }

    /// The same nodes, not started.
    pub async fn prepare(form: Form) -> Self {
        let turn = TURN.lock().await;
        let seed = Seed::take();
        let database = Arc::new(spawn_blocking(Postgres::start).await.unwrap());
        let mut wires = Vec::new();
        for _ in 0..NODES {
            wires.push(Wire::to_port(database.port()).await);
        }
        let urls: Vec<String> = wires
            .iter()
            .map(|wire| database.url_through(wire))
            .collect();
        let nodes = spawn_blocking(move || {
            let settings = settings(form);
            let settings: Vec<_> = settings
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            Nodes::prepare(&urls, &settings, &users())
        });
        Self {
            nodes: nodes.await.unwrap(),
            wires: Arc::new(wires),
            database,
            history: Arc::new(History::new()),
            form,
            seed,
            http: client(Duration::from_secs(1)),
            _turn: turn,
        }
    }

    pub async fn start(&self) {
        for node in &self.nodes.0 {
            let node = Arc::clone(node);
            spawn_blocking(move || node.start()).await.unwrap();
        }
        self.ready().await;
    }

    pub fn node(&self, number: usize) -> Arc<Node> {
        Arc::clone(&self.nodes.0[number])
    }

    pub fn people(&self) -> Load {
        let plan = Plan {
            mode: self.form.mode,
            max_staleness: self.form.max_staleness,
            callers: CALLERS,
            users: users(),
            patience: PATIENCE,
            think: Duration::from_secs(1),
            steps: usize::MAX,
        };
        Load::start(self.nodes.sites(), plan, &self.history, self.seed.0)
    }

    pub fn rng(&self) -> TestRng {
        TestRng::of(self.seed.0)
    }

    async fn is_ready(&self, node: &Node) -> bool {
        let answer = self.http.get(format!("{}/readyz", node.url)).send().await;
        answer.is_ok_and(|answer| answer.status() == 200)
    }

    /// Waits until every node can verify tokens.
    pub async fn ready(&self) {
        self.until("every node is ready", async || {
            for node in &self.nodes.0 {
                if !self.is_ready(node).await {
                    return false;
                }
            }
            true
        })
        .await;
    }

    /// Waits until an acceptance, a refusal and an acknowledged logout have answered requests that were sent after
    /// `from`.
    pub async fn goes_on(&self, from: u64) {
        let status = |status| move |event: &Event| is_verification(event, status);
        self.until("people are let in, refused and logged out", async || {
            let of = |is_it: &dyn Fn(&Event) -> bool| self.history.count_since(from, is_it) > 0;
            of(&status(200)) && of(&status(401)) && of(&is_logout)
        })
        .await;
    }

    async fn until(&self, what: &str, done: impl AsyncFn() -> bool) {
        let began = self.history.now();
        while !done().await {
            let passed = Duration::from_nanos(self.history.now() - began);
            assert!(
                passed < AGAIN,
                "never: {what}\n{}\n{}",
                self.logs(),
                self.database.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The last log lines of the nodes.
    fn logs(&self) -> String {
        let logs = self.nodes.0.iter().enumerate();
        let last = |log: String| log.lines().rev().take(15).collect::<Vec<_>>().join("\n");
        let logs = logs
            .map(|(number, node)| format!("node {number}, newest first:\n{}", last(node.log())));
        logs.collect::<Vec<_>>().join("\n")
    }

    /// Checks the history so far.
    pub fn read(&self) -> Report {
        let terms = Terms {
            nodes: NODES,
            max_staleness: self.form.max_staleness,
        };
        check(&self.history.events(), terms)
    }

    /// Stops the clients, and checks the history.
    pub async fn finish(&self, people: Load) -> Report {
        people.finish().await;
        let report = self.read();
        println!("{:?}, seed {}: {report}", self.form, self.seed.0);
        let events = self.history.events();
        let logouts = events.iter().filter(|event| is_logout(event));
        let slowest = logouts
            .filter_map(|event| event.call())
            .map(|call| Duration::from_nanos(call.answered - call.asked));
        println!("the slowest logout with a 2xx: {:?}", slowest.max());
        report
    }
}

fn is_logout(event: &Event) -> bool {
    matches!(event, Event::Logout { call, .. } if call.succeeded())
}

fn is_verification(event: &Event, status: u16) -> bool {
    matches!(event, Event::Verification { call, .. } if call.status == Some(status))
}

fn users() -> Vec<String> {
    ["alice", "bob", "carol", "dave", "erin", "frank"]
        .map(str::to_owned)
        .to_vec()
}

fn settings(form: Form) -> Vec<(&'static str, String)> {
    let mode = match form.mode {
        Mode::Fenced => "fenced",
        Mode::Bounded => "bounded",
    };
    let seconds = |time: Duration| format!("{}s", time.as_secs());
    // No session expires during the run, however long it is.
    let long = || "12h".to_owned();
    vec![
        ("WAXSEAL_LOGOUT", mode.to_owned()),
        ("WAXSEAL_MAX_STALENESS", seconds(form.max_staleness)),
        ("WAXSEAL_LEASE", seconds(form.lease)),
        ("WAXSEAL_SHUTDOWN_DELAY", seconds(form.shutdown_delay)),
        ("WAXSEAL_IDLE_TIMEOUT", long()),
        ("WAXSEAL_ABSOLUTE_TIMEOUT", long()),
    ]
}
