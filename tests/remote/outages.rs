//! The issuer is stopped, killed, cut off, or was never there. Live tokens are good until the bound, then the verifier
//! refuses to judge, and what it has learned binds throughout.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::bounded::BOUND;
use super::common::{Place, Server};
use super::service::{Client, get, http, ready, start, status, until};
use super::wire::{State, Wire};

/// What happens to the issuer, or to the connection to it.
#[derive(Clone, Copy, Debug)]
enum Outage {
    Stopped,
    Killed,
    Cut,
    Held,
}

struct Fixture {
    place: Place,
    issuer: Option<Server>,
    address: String,
    wire: Wire,
    service: Server,
    http: reqwest::Client,
}

/// Starts the issuer on a port that it gets again after a restart.
fn serve(place: &Place, address: &str) -> Server {
    let mut command = super::common::program();
    command
        .args([
            "serve",
            "--listen",
            address,
            "--issuer",
            super::common::ISSUER,
        ])
        .current_dir(place.path());
    Server::start(command)
}

impl Fixture {
    async fn new() -> Self {
        let place = Place::new();
        place.add_user("alice");
        let reader = Client::reader(&place, "orders");
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let issuer = serve(&place, &address);
        let wire = Wire::to(&issuer.url).await;
        let service = start(&wire.url, &reader);
        let http = http();
        ready(&http, &service).await;
        Self {
            place,
            issuer: Some(issuer),
            address,
            wire,
            service,
            http,
        }
    }

    fn signal(&self, signal: Signal) {
        let child = &self.issuer.as_ref().unwrap().child;
        kill_process(Pid::from_child(child), signal).unwrap();
    }

    fn begin(&mut self, outage: Outage) {
        match outage {
            Outage::Stopped => self.signal(Signal::STOP),
            Outage::Killed => drop(self.issuer.take()),
            Outage::Cut => self.wire.set(State::Cut),
            Outage::Held => self.wire.set(State::Held),
        }
    }

    fn end(&mut self, outage: Outage) {
        match outage {
            Outage::Stopped => self.signal(Signal::CONT),
            Outage::Killed => self.issuer = Some(serve(&self.place, &self.address)),
            Outage::Cut | Outage::Held => self.wire.set(State::Whole),
        }
    }

    async fn login(&self) -> String {
        self.issuer
            .as_ref()
            .unwrap()
            .login(&self.http, "alice")
            .await
    }

    async fn status(&self, token: &str) -> u16 {
        status(&self.http, &self.service, token).await
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "real processes are measured on the real clock"
)]
async fn live_tokens_are_good_until_the_bound(outage: Outage) {
    let mut fixture = Fixture::new().await;
    let live = fixture.login().await;
    let dead = fixture.login().await;
    let issuer = fixture.issuer.as_ref().unwrap();
    assert_eq!(issuer.logout(&fixture.http, &dead).await.unwrap(), 204);
    until("it is learned of", async || {
        fixture.status(&dead).await == 401
    })
    .await;
    assert_eq!(fixture.status(&live).await, 200);

    fixture.begin(outage);
    let began = Instant::now();
    let (mut accepted, mut last_accepted) = (0, Duration::ZERO);
    loop {
        let asked = began.elapsed();
        match fixture.status(&live).await {
            200 => {
                accepted += 1;
                last_accepted = asked;
            }
            503 => break,
            other => panic!("{outage:?}: {other}"),
        }
        assert_eq!(fixture.status(&dead).await, 401, "{outage:?}");
        assert!(
            asked < BOUND,
            "{outage:?}: accepted {asked:?} after it began"
        );
    }
    println!(
        "{outage:?}: accepted {accepted} times, at last {last_accepted:?} after it began; bound {BOUND:?}"
    );
    assert!(
        accepted > 0,
        "{outage:?}: an outage shorter than the bound is not noticed"
    );
    for _ in 0..20 {
        assert_eq!(fixture.status(&live).await, 503, "{outage:?}");
        assert_eq!(
            fixture.status(&dead).await,
            401,
            "{outage:?}: what was learned binds"
        );
    }
    let unready = get(&fixture.http, &fixture.service, "/readyz", "").await;
    assert_eq!(unready, 503, "{outage:?}");

    fixture.end(outage);
    until("it recovers by itself", async || {
        fixture.status(&live).await == 200
    })
    .await;
    assert_eq!(fixture.status(&dead).await, 401, "{outage:?}");
    let after = fixture.login().await;
    assert_eq!(fixture.status(&after).await, 200, "{outage:?}");
    let issuer = fixture.issuer.as_ref().unwrap();
    assert_eq!(issuer.logout(&fixture.http, &after).await.unwrap(), 204);
    until("it follows again", async || {
        fixture.status(&after).await == 401
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_that_is_stopped() {
    live_tokens_are_good_until_the_bound(Outage::Stopped).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_that_is_killed() {
    live_tokens_are_good_until_the_bound(Outage::Killed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_that_is_cut_off() {
    live_tokens_are_good_until_the_bound(Outage::Cut).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_that_hangs_without_closing() {
    live_tokens_are_good_until_the_bound(Outage::Held).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_that_is_down_at_the_start() {
    let mut fixture = Fixture::new().await;
    let token = fixture.login().await;
    fixture.begin(Outage::Killed);
    let reader = Client::reader(&fixture.place, "second");
    let late = start(&fixture.wire.url, &reader);
    assert_eq!(status(&fixture.http, &late, &token).await, 503);
    assert_eq!(status(&fixture.http, &late, "garbage").await, 401);
    fixture.end(Outage::Killed);
    until("it is ready in the end", async || {
        status(&fixture.http, &late, &token).await == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logout_during_an_outage_is_refused_as_soon_as_it_ends() {
    let fixture = Fixture::new().await;
    let token = fixture.login().await;
    assert_eq!(fixture.status(&token).await, 200);
    fixture.wire.set(State::Cut);
    let issuer = fixture.issuer.as_ref().unwrap();
    assert_eq!(issuer.logout(&fixture.http, &token).await.unwrap(), 204);
    until("nobody can tell", async || {
        fixture.status(&token).await == 503
    })
    .await;
    fixture.wire.set(State::Whole);
    // The token is never good again: the status goes from 503 to 401 directly.
    loop {
        match fixture.status(&token).await {
            503 => tokio::time::sleep(Duration::from_millis(1)).await,
            401 => break,
            other => panic!("{other}"),
        }
    }
}
