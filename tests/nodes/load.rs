//! Clients that log in, use their sessions at all nodes and log out. A seed determines what they do.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::common::PASSWORD;
use super::history::{Call, Event, History, Mode};
use super::token_forge::TestRng;

/// The address of a node, whichever of its processes runs.
#[derive(Clone, Debug)]
pub struct Site {
    pub url: String,
    /// How often the node was started.
    pub life: Arc<AtomicUsize>,
}

/// What the clients do.
#[derive(Clone, Debug)]
pub struct Plan {
    pub mode: Mode,
    pub max_staleness: Duration,
    /// How many clients act at once.
    pub callers: usize,
    pub users: Vec<String>,
    /// How long a client waits for an answer.
    pub patience: Duration,
    /// The longest pause between two steps.
    pub think: Duration,
    /// The most steps that each client takes.
    pub steps: usize,
}

/// The most sessions that a client has at once.
const LIVE: usize = 4;
/// Concurrent requests at the end.
const AT_ONCE: usize = 8;

#[derive(Clone, Debug)]
struct Session {
    number: usize,
    token: String,
}

struct World {
    sites: Vec<Site>,
    plan: Plan,
    history: Arc<History>,
    sessions: Mutex<Vec<Session>>,
    stop: AtomicBool,
}

/// The clients, which run until they are stopped or have taken all their steps.
pub struct Load {
    world: Arc<World>,
    callers: JoinSet<()>,
}

impl Load {
    pub fn start(sites: Vec<Site>, plan: Plan, history: &Arc<History>, seed: u64) -> Self {
        let world = Arc::new(World {
            sites,
            plan,
            history: Arc::clone(history),
            sessions: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        let mut callers = JoinSet::new();
        for number in 0..world.plan.callers {
            let rng = TestRng::of(seed.wrapping_mul(1009).wrapping_add(number as u64));
            let caller = Caller::new(Arc::clone(&world), rng);
            callers.spawn(caller.act());
        }
        Self { world, callers }
    }

    /// Waits until the clients have taken all their steps.
    pub async fn run_out(&mut self) {
        while let Some(caller) = self.callers.join_next().await {
            caller.unwrap();
        }
    }

    /// Stops the clients, waits until all nodes are ready, and verifies every session of the run at each node.
    pub async fn finish(mut self) {
        self.world.stop.store(true, Ordering::SeqCst);
        self.run_out().await;
        // Until then, a bounded logout may not have reached every node.
        tokio::time::sleep(self.world.plan.max_staleness).await;
        let http = client(self.world.plan.patience);
        for site in &self.world.sites {
            ready(&http, site).await;
        }
        let left = self.world.sessions.lock().unwrap().clone();
        let left = Arc::new(Mutex::new(left));
        let mut tasks = JoinSet::new();
        for _ in 0..AT_ONCE {
            let (world, http, left) = (Arc::clone(&self.world), http.clone(), Arc::clone(&left));
            tasks.spawn(async move {
                loop {
                    let next = left.lock().unwrap().pop();
                    let Some(session) = next else { return };
                    for node in 0..world.sites.len() {
                        world.verify_at_last(&http, &session, node).await;
                    }
                }
            });
        }
        while let Some(task) = tasks.join_next().await {
            task.unwrap();
        }
    }
}

pub fn client(patience: Duration) -> Client {
    let client = Client::builder().no_proxy().timeout(patience);
    client.build().unwrap()
}

/// Waits until a node can verify tokens.
pub async fn ready(http: &Client, site: &Site) {
    for _ in 0..3000 {
        let answer = http.get(format!("{}/readyz", site.url)).send().await;
        if answer.is_ok_and(|answer| answer.status() == 200) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never ready: {}", site.url);
}

impl World {
    async fn call(
        &self,
        session: usize,
        node: usize,
        request: RequestBuilder,
    ) -> (Call, Option<Response>) {
        let life = &self.sites[node].life;
        let before = life.load(Ordering::SeqCst);
        let asked = self.history.now();
        let response = request.send().await.ok();
        let answered = self.history.now();
        let after = life.load(Ordering::SeqCst);
        let call = Call {
            session,
            node,
            life: (before == after).then_some(after),
            asked,
            answered,
            status: response.as_ref().map(|response| response.status().as_u16()),
        };
        (call, response)
    }

    fn url(&self, node: usize, path: &str) -> String {
        format!("{}{path}", self.sites[node].url)
    }

    async fn login(&self, http: &Client, node: usize, user: &str) -> Option<Session> {
        let number = self.history.new_session();
        let request = http
            .post(self.url(node, "/login"))
            .json(&json!({ "username": user, "password": PASSWORD }));
        let (mut call, response) = self.call(number, node, request).await;
        let body = match response {
            Some(response) => response.json::<Value>().await.ok(),
            None => None,
        };
        let token = body.and_then(|body| Some(body["access_token"].as_str()?.to_owned()));
        if call.succeeded() && token.is_none() {
            // The answer was cut short.
            call.status = None;
        }
        self.history.record(Event::Login(call));
        let session = Session {
            number,
            token: token?,
        };
        self.sessions.lock().unwrap().push(session.clone());
        Some(session)
    }

    async fn verification(&self, http: &Client, session: &Session, node: usize) -> Call {
        let request = http.get(self.url(node, "/verify"));
        let request = request.bearer_auth(&session.token);
        self.call(session.number, node, request).await.0
    }

    async fn verify(&self, http: &Client, session: &Session, node: usize) -> Option<u16> {
        let call = self.verification(http, session, node).await;
        let last = false;
        self.history.record(Event::Verification { call, last });
        call.status
    }

    /// Repeats a verification until the node gives a verdict.
    async fn verify_at_last(&self, http: &Client, session: &Session, node: usize) {
        for _ in 0..1000 {
            let call = self.verification(http, session, node).await;
            let last = !matches!(call.status, None | Some(503));
            self.history.record(Event::Verification { call, last });
            if last {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn logout(&self, http: &Client, session: &Session, node: usize) -> Call {
        let request = http.post(self.url(node, "/logout"));
        let request = request.bearer_auth(&session.token);
        let (call, _) = self.call(session.number, node, request).await;
        let mode = self.plan.mode;
        self.history.record(Event::Logout { call, mode });
        call
    }
}

struct Caller {
    world: Arc<World>,
    http: Client,
    rng: TestRng,
    live: Vec<Session>,
    ended: Vec<Session>,
    /// When to verify a session again after its logout.
    due: Vec<(u64, Session)>,
}

impl Caller {
    fn new(world: Arc<World>, rng: TestRng) -> Self {
        Self {
            http: client(world.plan.patience),
            world,
            rng,
            live: Vec::new(),
            ended: Vec::new(),
            due: Vec::new(),
        }
    }

    async fn act(mut self) {
        for _ in 0..self.world.plan.steps {
            if self.world.stop.load(Ordering::SeqCst) {
                return;
            }
            self.step().await;
            self.think().await;
        }
    }

    async fn think(&self) {
        let most = usize::try_from(self.world.plan.think.as_micros()).unwrap();
        let time = self.rng.below(most + 1);
        tokio::time::sleep(Duration::from_micros(time as u64)).await;
    }

    fn node(&self) -> usize {
        self.rng.below(self.world.sites.len())
    }

    async fn step(&mut self) {
        let now = self.world.history.now();
        if let Some(at) = self.due.iter().position(|(due, _)| *due <= now) {
            let (_, session) = self.due.swap_remove(at);
            self.world.verify(&self.http, &session, self.node()).await;
            return;
        }
        let kind = self.rng.below(100);
        if self.live.is_empty() || (kind < 25 && self.live.len() < LIVE) {
            let user = self.rng.below(self.world.plan.users.len());
            let user = &self.world.plan.users[user];
            let session = self.world.login(&self.http, self.node(), user).await;
            self.live.extend(session);
        } else if kind < 45 {
            let session = self.rng.below(self.live.len());
            self.log_out(session).await;
        } else if kind < 65 && !self.ended.is_empty() {
            let session = &self.ended[self.rng.below(self.ended.len())];
            self.world.verify(&self.http, session, self.node()).await;
        } else {
            let session = self.rng.below(self.live.len());
            let status = self
                .world
                .verify(&self.http, &self.live[session], self.node())
                .await;
            // A logout that was not acknowledged may have been written.
            if status == Some(401) {
                let session = self.live.swap_remove(session);
                self.ended.push(session);
            }
        }
    }

    async fn log_out(&mut self, session: usize) {
        let call = self
            .world
            .logout(&self.http, &self.live[session], self.node())
            .await;
        if !call.succeeded() && call.status != Some(401) {
            // A later step tries again.
            return;
        }
        let session = self.live.swap_remove(session);
        if call.succeeded() {
            let asked = (0..self.world.sites.len()).map(|node| {
                let (world, http) = (Arc::clone(&self.world), self.http.clone());
                let session = session.clone();
                async move { world.verify(&http, &session, node).await }
            });
            let mut at_once: JoinSet<_> = asked.collect();
            while let Some(answer) = at_once.join_next().await {
                answer.unwrap();
            }
            // At a random time within the bound, and right after it.
            let bound = self.world.plan.max_staleness.as_nanos();
            let bound = u64::try_from(bound).unwrap();
            let part = self.rng.below(1000) as u64;
            for after in [bound / 1000 * part, bound + part * 100_000] {
                self.due.push((call.answered + after, session.clone()));
            }
        }
        self.ended.push(session);
    }
}
