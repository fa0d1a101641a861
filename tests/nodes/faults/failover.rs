//! Another server replaces the database: with every commit, or without the last ones.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::super::common::PASSWORD;
use super::super::common::postgres::Postgres;
use super::super::common::wire::State;
use super::super::history::Event;
use super::super::load::client;
use super::super::nodes::Node;
use super::FENCED;
use super::fixture::Fixture;

/// The limit of a loop; only a failing test reaches it.
const TRIES: usize = 1500;

async fn blocking<T: Send + 'static>(
    database: &Arc<Postgres>,
    act: impl FnOnce(&Postgres) -> T + Send + 'static,
) -> T {
    let database = Arc::clone(database);
    spawn_blocking(move || act(&database)).await.unwrap()
}

/// Kills the database, promotes its standby, and points the address to it.
async fn fail_over(fixture: &Fixture, standby: &Arc<Postgres>) {
    blocking(&fixture.database, Postgres::kill).await;
    blocking(standby, Postgres::promote).await;
    for wire in fixture.wires.iter() {
        wire.lead_to_port(standby.port());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_with_every_commit_takes_over_and_no_promise_is_broken() {
    let fixture = Fixture::set(FENCED).await;
    let standby = Arc::new(blocking(&fixture.database, Postgres::standby).await);
    blocking(&fixture.database, |database| {
        database.wait_for_standby(true)
    })
    .await;
    let people = fixture.people();
    fixture.goes_on(fixture.history.now()).await;
    sleep(Duration::from_millis(fixture.rng().below(2000) as u64)).await;
    let from = fixture.history.now();
    fail_over(&fixture, &standby).await;
    fixture.ready().await;
    fixture.goes_on(fixture.history.now()).await;
    let (name, until) = ("failed over", fixture.history.now());
    fixture.history.record(Event::Fault { name, from, until });
    fixture.goes_on(until).await;
    let report = fixture.finish(people).await;
    report.assert_clean();
    let counts = report.by_fault[name];
    // These were written at the standby: the earlier database is gone.
    assert!(counts.logouts > 0, "{report}");
    for node in &fixture.nodes.0 {
        assert!(!node.log().contains("went back"), "{}", node.log());
    }
}

/// A client of one node.
struct Person<'a> {
    http: Client,
    url: &'a str,
}

impl Person<'_> {
    async fn login(&self, name: &str) -> String {
        let login = self.http.post(format!("{}/login", self.url));
        let answer = login.json(&json!({ "username": name, "password": PASSWORD }));
        let answer = answer.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let body: Value = answer.json().await.unwrap();
        body["access_token"].as_str().unwrap().to_owned()
    }

    async fn verify(&self, token: &str) -> u16 {
        let verify = self.http.get(format!("{}/verify", self.url));
        let answer = verify.bearer_auth(token).send().await;
        answer.unwrap().status().as_u16()
    }

    async fn logout(&self, token: &str) -> u16 {
        let logout = self.http.post(format!("{}/logout", self.url));
        let answer = logout.bearer_auth(token).send().await;
        answer.unwrap().status().as_u16()
    }
}

/// Outside the assumptions of the promises: nodes that know more than their database refuse every request, and say why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_without_the_last_commits_revives_no_session() {
    // The last node starts later.
    let fixture = Fixture::prepare(FENCED).await;
    let (old, new) = (&fixture.nodes.0[..2], &fixture.nodes.0[2]);
    for node in old {
        let node = Arc::clone(node);
        spawn_blocking(move || node.start()).await.unwrap();
    }
    let people: Vec<Person<'_>> = fixture
        .nodes
        .0
        .iter()
        .map(|node| Person {
            http: client(Duration::from_secs(20)),
            url: &node.url,
        })
        .collect();
    let (ended, live) = (people[0].login("alice").await, people[1].login("bob").await);
    let standby = Arc::new(blocking(&fixture.database, Postgres::standby).await);
    blocking(&standby, Postgres::stop_following).await;
    assert_eq!(people[0].logout(&ended).await, 204);
    for person in &people[..2] {
        assert_eq!(person.verify(&ended).await, 401);
        assert_eq!(person.verify(&live).await, 200);
    }

    // The nodes learn of it after a time without any database, as after most server failures.
    for wire in fixture.wires.iter() {
        wire.set(State::Cut);
    }
    fail_over(&fixture, &standby).await;
    for node in old {
        says(node, "the revocation log cannot be followed").await;
    }
    for wire in fixture.wires.iter() {
        wire.set(State::Whole);
    }
    let refuses = async || {
        for (person, node) in people[..2].iter().zip(old) {
            says(node, "went back or was altered").await;
            for _ in 0..TRIES {
                assert_eq!(person.verify(&ended).await, 401, "what was learned binds");
                let status = person.verify(&live).await;
                assert!(matches!(status, 200 | 503), "{status}");
                if status == 503 {
                    break;
                }
                sleep(Duration::from_millis(20)).await;
            }
            assert_eq!(person.verify(&live).await, 503);
            assert_eq!(person.logout(&live).await, 503, "its database is another");
            let ready = person.http.get(format!("{}/readyz", person.url)).send();
            assert_eq!(ready.await.unwrap().status(), 503);
        }
    };
    refuses().await;

    // A node that does not know of the loss writes until the log is longer than the lost one.
    let newcomer = Arc::clone(new);
    spawn_blocking(move || newcomer.start()).await.unwrap();
    for _ in 0..3 {
        let token = people[2].login("carol").await;
        assert_eq!(people[2].logout(&token).await, 204);
    }
    refuses().await;

    // A restart does not help either: the node's mark is at a position that was lost.
    let node = Arc::clone(&old[0]);
    let said = spawn_blocking(move || {
        node.terminate();
        refuses_to_start(&node)
    });
    let said = said.await.unwrap();
    assert!(said.contains("restored"), "{said}");
}

async fn says(node: &Arc<Node>, words: &'static str) {
    let node = Arc::clone(node);
    let said = spawn_blocking(move || (node.says(words), node.log()));
    let (said, log) = said.await.unwrap();
    assert!(said, "never {words:?}: {log}");
}

/// The output of the failed start.
fn refuses_to_start(node: &Node) -> String {
    let path = node.place.path().join("said");
    let said = || std::fs::read_to_string(&path).unwrap();
    let mut command = node.command(&["serve"]);
    command.stderr(std::fs::File::create(&path).unwrap());
    let mut child = command.spawn().unwrap();
    for _ in 0..TRIES {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(!status.success(), "{}", said());
            return said();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    panic!("it serves: {}", said());
}
