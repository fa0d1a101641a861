//! Nodes whose wall clocks differ from the others.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tower::ServiceExt;
use waxseal::embedded::{Database, OpenError};
use waxseal::policy::Timeouts;
use waxseal::random::OsRandom;
use waxseal::report::report;
use waxseal::time::{Clock, SystemClock, Timestamp};
use waxseal::{Settings, Waxseal};

use super::common::postgres::Postgres;
use super::common::{CHEAP, ISSUER, PASSWORD, unlimited};
use super::fixture::{nodes, until};
use super::nodes::Nodes;

const HOUR: i64 = 3_600_000;

/// The system's clock with a shifted wall time.
#[derive(Debug, Default)]
struct Shifted(AtomicI64);

impl Shifted {
    fn by(&self, millis: i64) {
        self.0.store(millis, Ordering::SeqCst);
    }
}

impl Clock for Shifted {
    fn now(&self) -> Timestamp {
        let millis = SystemClock.now().millis();
        Timestamp::from_millis(millis + self.0.load(Ordering::SeqCst))
    }

    fn uptime(&self) -> Duration {
        SystemClock.uptime()
    }
}

/// A node in this process.
struct Inner {
    waxseal: Waxseal,
    router: Router,
    clock: Arc<Shifted>,
    maintained: JoinHandle<()>,
    _mark: TempDir,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.maintained.abort();
    }
}

pub fn settings(database: &Postgres, keys: &Path, mark: &Path) -> Settings {
    let mut settings = Settings::for_issuer(ISSUER);
    settings.keys_dir = keys.to_owned();
    settings.mark_dir = mark.to_owned();
    settings.login_rates = unlimited();
    settings.database = Database::Postgres(database.url().parse().unwrap());
    // A clock that is an hour ahead expires none of these sessions.
    settings.timeouts = Timeouts {
        idle: Duration::from_secs(4 * 3600),
        absolute: Duration::from_secs(8 * 3600),
        renewal: Duration::from_secs(2 * 3600),
        ..Timeouts::default()
    };
    settings.max_staleness = Duration::from_secs(2);
    settings
}

impl Inner {
    async fn try_open(database: &Postgres, nodes: &Nodes, shift: i64) -> Result<Self, OpenError> {
        let mark = TempDir::new().unwrap();
        let keys = nodes.0[0].place.path().join("keys");
        let clock = Arc::<Shifted>::default();
        clock.by(shift);
        let settings = settings(database, &keys, &mark.path().join("mark"));
        let (hands, random) = (Arc::clone(&clock) as _, Arc::new(OsRandom::new()));
        let waxseal = Waxseal::open_with(&settings, hands, random, CHEAP).await?;
        Ok(Self {
            router: waxseal.router(),
            maintained: tokio::spawn(waxseal.clone().maintain()),
            waxseal,
            clock,
            _mark: mark,
        })
    }

    async fn open(database: &Postgres, nodes: &Nodes) -> Self {
        let opened = Self::try_open(database, nodes, 0).await.unwrap();
        super::fixture::is_secret(&format!("{:?}", opened.waxseal));
        super::fixture::is_secret(&format!("{:#?}", opened.waxseal));
        opened
    }

    async fn send(&self, request: Request<Body>) -> (u16, HeaderMap, Vec<u8>) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        (parts.status.as_u16(), parts.headers, body)
    }

    async fn with_token(&self, method: &str, path: &str, token: &str) -> u16 {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("authorization", format!("Bearer {token}"));
        let (status, headers, _) = self.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(status == 503, headers.contains_key("retry-after"));
        status
    }

    async fn verify(&self, token: &str) -> u16 {
        self.with_token("GET", "/verify", token).await
    }

    async fn logout(&self, token: &str) -> u16 {
        self.with_token("POST", "/logout", token).await
    }

    async fn is_ready(&self) -> bool {
        let request = Request::get("/readyz").body(Body::empty()).unwrap();
        self.send(request).await.0 == 200
    }

    async fn try_login(&self) -> Result<String, u16> {
        let who = json!({ "username": "alice", "password": PASSWORD }).to_string();
        let request = Request::post("/login").header("content-type", "application/json");
        let (status, _, body) = self.send(request.body(Body::from(who)).unwrap()).await;
        if status != 200 {
            return Err(status);
        }
        let body: Value = serde_json::from_slice(&body).unwrap();
        Ok(body["access_token"].as_str().unwrap().to_owned())
    }

    async fn login(&self) -> String {
        self.try_login().await.unwrap()
    }
}

fn horizon(database: &Postgres) -> Timestamp {
    let millis = database.sql("SELECT horizon FROM head");
    Timestamp::from_millis(millis.parse().unwrap())
}

/// Asserts that the other node serves as if the faulty node did not exist.
async fn is_undisturbed(node: &Inner, tokens: &[&String]) {
    assert!(node.is_ready().await);
    for token in tokens {
        assert_eq!(node.verify(token).await, 200);
    }
    let token = node.login().await;
    assert_eq!(node.verify(&token).await, 200);
    assert_eq!(node.logout(&token).await, 204);
    assert_eq!(node.verify(&token).await, 401);
}

async fn an_hour_off(shift: i64, direction: &str) {
    let database = Postgres::start();
    let nodes = nodes(&database, 1, &[]);
    let (good, off) = (
        Inner::open(&database, &nodes).await,
        Inner::open(&database, &nodes).await,
    );
    let (live, kept, ended) = (good.login().await, off.login().await, off.login().await);
    assert_eq!(off.logout(&ended).await, 204);
    for token in [&live, &kept] {
        assert_eq!(off.verify(token).await, 200);
    }

    off.clock.by(shift);
    // From this moment on, the node writes nothing and proves no freshness.
    let head = || database.sql("SELECT seq, compacted, horizon, newest_lineage, leeway FROM head");
    let before = head();
    assert_eq!(off.try_login().await, Err(503));
    let refused = off.waxseal.catch_up().await.unwrap_err();
    let refused = report(&refused).to_string();
    let (_, said) = refused.split_once("this node's clock is ").expect(&refused);
    let (millis, _) = said.split_once(" ms ").unwrap();
    assert!(
        said.contains(&format!(" ms {direction} of the database's")),
        "{said}"
    );
    let millis: i64 = millis.parse().unwrap();
    assert!((HOUR - 60_000..=HOUR + 60_000).contains(&millis), "{said}");
    off.waxseal.compact().await.unwrap_err();
    until("it is not ready", async || !off.is_ready().await).await;
    let logout = off.logout(&kept).await;
    assert!(matches!(logout, 503 | 401), "{logout}");
    if shift > 0 {
        assert_eq!(logout, 503);
        assert_eq!(off.verify(&live).await, 503);
    }
    assert_ne!(off.verify(&live).await, 200);
    assert_eq!(off.verify(&ended).await, 401);
    off.waxseal.compact().await.unwrap_err();
    assert_eq!(head(), before);
    is_undisturbed(&good, &[&live, &kept]).await;

    // After the correction the node serves as before, and its wrong time has reached no other node.
    off.clock.by(0);
    until("it is ready", async || off.is_ready().await).await;
    for token in [&live, &kept] {
        assert_eq!(off.verify(token).await, 200);
    }
    assert_eq!(off.verify(&ended).await, 401);
    off.waxseal.compact().await.unwrap();
    good.waxseal.catch_up().await.unwrap();
    assert!(horizon(&database) <= SystemClock.now());
    is_undisturbed(&good, &[&live, &kept]).await;
    is_undisturbed(&off, &[&live, &kept]).await;
    // The node's next login does not create a session in the future.
    off.login().await;
    let newest = database.sql("SELECT newest_lineage FROM head");
    let newest = Timestamp::from_millis(newest.parse().unwrap());
    let soon = SystemClock.now().plus(Duration::from_secs(60));
    assert!(newest < soon, "{newest}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_an_hour_ahead() {
    an_hour_off(HOUR, "ahead").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_an_hour_behind() {
    an_hour_off(-HOUR, "behind").await;
}

/// The store never lets the horizon follow a wrong clock, whatever the caller asks for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_horizon_is_in_the_future_and_nothing_of_the_future_is_dropped() {
    let database = Postgres::start();
    let nodes = nodes(&database, 1, &[]);
    let node = Inner::open(&database, &nodes).await;
    let (live, ended) = (node.login().await, node.login().await);
    assert_eq!(node.logout(&ended).await, 204);
    let later = SystemClock.now().plus(Duration::from_secs(90 * 24 * 3600));
    let rows = || database.sql("SELECT count(*) FROM revocation");
    let before = rows();
    node.waxseal.log().raise_horizon(later).await.unwrap();
    assert_eq!(node.waxseal.log().compact(later).await.unwrap(), 0);
    assert_eq!(rows(), before);
    assert!(horizon(&database) <= SystemClock.now().plus(Duration::from_secs(1)));
    node.waxseal.catch_up().await.unwrap();
    assert_eq!(node.verify(&live).await, 200);
    assert_eq!(node.verify(&ended).await, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_off_by_less_than_the_leeway_works() {
    let database = Postgres::start();
    let nodes = nodes(&database, 1, &[]);
    let good = Inner::open(&database, &nodes).await;
    for shift in [3000, -3000] {
        let off = Inner::try_open(&database, &nodes, shift).await.unwrap();
        let (here, there) = (off.login().await, good.login().await);
        for (node, token) in [(&off, &there), (&good, &here), (&off, &here)] {
            until("it is good at the other node too", async || {
                node.verify(token).await == 200
            })
            .await;
        }
        assert_eq!(off.logout(&there).await, 204);
        assert_eq!(good.logout(&here).await, 204);
        for token in [&here, &there] {
            for node in [&off, &good] {
                until("it is ended at both", async || {
                    node.verify(token).await == 401
                })
                .await;
            }
        }
        off.waxseal.compact().await.unwrap();
        good.waxseal.catch_up().await.unwrap();
        is_undisturbed(&good, &[]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_clock_is_off_does_not_start() {
    let database = Postgres::start();
    let nodes = nodes(&database, 1, &[]);
    let head = || database.sql("SELECT * FROM head");
    let before = head();
    for (shift, direction) in [(HOUR, "ahead"), (-HOUR, "behind")] {
        let opened = Inner::try_open(&database, &nodes, shift).await;
        let said = report(&opened.map(drop).unwrap_err()).to_string();
        assert!(said.contains(direction) && said.contains("NTP"), "{said}");
    }
    assert_eq!(head(), before);
}
