//! A rolling restart of the nodes, which no client notices.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::sleep;

use super::super::common::PASSWORD;
use super::super::history::{History, Mode};
use super::super::load::client;
use super::super::token_forge::TestRng;
use super::fixture::{Fixture, Form, NODES};

/// The node's knowledge stays valid however slow the machine is: a balancer learns late that it expired.
const FORM: Form = Form {
    mode: Mode::Fenced,
    max_staleness: Duration::from_secs(60),
    lease: Duration::from_secs(60),
    // The notice ends at a second signal.
    shutdown_delay: Duration::from_secs(600),
};
/// Few clients: refusals due to overload are not the subject of this test.
const PEOPLE: usize = 6;
const TRIES: usize = 3000;
const PATIENCE: Duration = Duration::from_secs(30);

/// A load balancer. It sends a request to a node that was ready at the last check, and to another one if no connection
/// opens.
struct Balancer {
    urls: Vec<String>,
    /// For each node: whether it is ready, and the number of requests without an answer yet.
    nodes: Mutex<Vec<(bool, usize)>>,
    stop: AtomicBool,
    requests: AtomicUsize,
    moved: AtomicUsize,
    logins: AtomicUsize,
    longest: Mutex<Duration>,
}

impl Balancer {
    async fn watch(self: Arc<Self>) {
        let http = client(Duration::from_secs(2));
        while !self.stop.load(Ordering::SeqCst) {
            for (node, url) in self.urls.iter().enumerate() {
                let answer = http.get(format!("{url}/readyz")).send().await;
                let ready = answer.is_ok_and(|answer| answer.status() == 200);
                self.nodes.lock().unwrap()[node].0 = ready;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Chooses a ready node, and counts a request to it.
    fn choose(&self, rng: &TestRng) -> Option<usize> {
        let mut nodes = self.nodes.lock().unwrap();
        let up: Vec<usize> = (0..NODES).filter(|node| nodes[*node].0).collect();
        let node = *up.get(rng.below(up.len().max(1)))?;
        nodes[node].1 += 1;
        Some(node)
    }

    async fn sends_nothing_to(&self, node: usize) {
        for _ in 0..TRIES {
            if self.nodes.lock().unwrap()[node] == (false, 0) {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
        panic!("node {node} is not left alone");
    }

    async fn send(&self, rng: &TestRng, request: impl Fn(&str) -> RequestBuilder) -> (u16, Value) {
        for _ in 0..TRIES {
            let Some(node) = self.choose(rng) else {
                sleep(Duration::from_millis(20)).await;
                continue;
            };
            let answer = request(&self.urls[node]).send().await;
            self.nodes.lock().unwrap()[node].1 -= 1;
            match answer {
                Ok(answer) => {
                    self.requests.fetch_add(1, Ordering::SeqCst);
                    let status = answer.status().as_u16();
                    return (status, answer.json().await.unwrap_or_default());
                }
                // No node has received the request, so it goes to another one.
                Err(cause) if cause.is_connect() => {
                    self.moved.fetch_add(1, Ordering::SeqCst);
                    self.nodes.lock().unwrap()[node].0 = false;
                }
                Err(cause) => panic!("node {node} did not answer: {cause:?}"),
            }
        }
        panic!("no node is ready");
    }

    async fn timed(
        &self,
        history: &History,
        rng: &TestRng,
        request: impl Fn(&str) -> RequestBuilder,
    ) -> (u16, Value) {
        let began = history.now();
        let answer = self.send(rng, request).await;
        let took = Duration::from_nanos(history.now() - began);
        let mut longest = self.longest.lock().unwrap();
        *longest = took.max(*longest);
        answer
    }
}

/// Logs in, verifies many times and logs out, in a loop.
async fn live(balancer: Arc<Balancer>, history: Arc<History>, rng: TestRng, http: Client) {
    while !balancer.stop.load(Ordering::SeqCst) {
        let login = |url: &str| {
            let body = json!({ "username": "alice", "password": PASSWORD });
            http.post(format!("{url}/login")).json(&body)
        };
        let (status, body) = balancer.timed(&history, &rng, login).await;
        assert_eq!(status, 200, "a login: {body}");
        balancer.logins.fetch_add(1, Ordering::SeqCst);
        let token = body["access_token"].as_str().unwrap();
        let verify = |url: &str| http.get(format!("{url}/verify")).bearer_auth(token);
        for _ in 0..rng.below(20) {
            let (status, body) = balancer.timed(&history, &rng, verify).await;
            assert_eq!(status, 200, "a live token: {body}");
            sleep(Duration::from_millis(100 + rng.below(300) as u64)).await;
        }
        let logout = |url: &str| http.post(format!("{url}/logout")).bearer_auth(token);
        let (status, body) = balancer.timed(&history, &rng, logout).await;
        assert_eq!(status, 204, "a logout: {body}");
        let (status, body) = balancer.timed(&history, &rng, verify).await;
        assert_eq!(status, 401, "a token that is over: {body}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_fails_no_request() {
    let fixture = Fixture::set(FORM).await;
    let balancer = Arc::new(Balancer {
        urls: fixture
            .nodes
            .0
            .iter()
            .map(|node| node.url.clone())
            .collect(),
        nodes: Mutex::new(vec![(false, 0); NODES]),
        stop: AtomicBool::new(false),
        requests: AtomicUsize::new(0),
        moved: AtomicUsize::new(0),
        logins: AtomicUsize::new(0),
        longest: Mutex::default(),
    });
    let watch = tokio::spawn(Arc::clone(&balancer).watch());
    let mut people = JoinSet::new();
    for person in 0..PEOPLE {
        // Each request has its own connection: the server may close a kept one just as the next request is sent.
        let http = Client::builder().no_proxy().timeout(PATIENCE);
        let http = http.pool_max_idle_per_host(0).build().unwrap();
        let rng = TestRng::of(fixture.seed.0 + person as u64);
        let history = Arc::clone(&fixture.history);
        people.spawn(live(Arc::clone(&balancer), history, rng, http));
    }
    let requests = || balancer.requests.load(Ordering::SeqCst);
    let goes_on = async |people: &mut JoinSet<()>| {
        let before = requests();
        for _ in 0..TRIES {
            if let Some(ended) = people.try_join_next() {
                ended.unwrap();
                panic!("somebody has given up");
            }
            if requests() >= before + 50 {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
        panic!("nobody does anything");
    };
    goes_on(&mut people).await;
    for (number, node) in fixture.nodes.0.iter().enumerate() {
        node.give_notice();
        balancer.sends_nothing_to(number).await;
        let node = Arc::clone(node);
        let restart = move || {
            node.interrupt();
            node.start();
        };
        spawn_blocking(restart).await.unwrap();
        fixture.ready().await;
        goes_on(&mut people).await;
    }
    balancer.stop.store(true, Ordering::SeqCst);
    while let Some(ended) = people.join_next().await {
        ended.unwrap();
    }
    watch.await.unwrap();
    let count = |count: &AtomicUsize| count.load(Ordering::SeqCst);
    println!(
        "{} requests, {} logins, {} sent elsewhere, none failed; the longest took {:?}",
        count(&balancer.requests),
        count(&balancer.logins),
        count(&balancer.moved),
        balancer.longest.lock().unwrap(),
    );
}
