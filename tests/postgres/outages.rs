//! Database faults while a node serves. The node serves until its list is too old, then answers 503, never acknowledges
//! what is not done, and recovers without a restart.

use std::time::Duration;

use serde_json::Value;
use waxseal::time::{Clock, SystemClock};

use super::common::postgres::Postgres;
use super::common::postgres::disk::Part;
use super::common::wire::{Delay, State, Wire};
use super::fixture::{Answer, Caller, ask, is_secret, until};
use super::nodes::{Node, Nodes};
use super::token_forge::TokenForge;

const BOUND: Duration = Duration::from_secs(3);
const SETTINGS: [(&str, &str); 1] = [("WAXSEAL_MAX_STALENESS", "3s")];
/// More rows than fit into the free space of a table's pages.
const MANY: usize = 3000;

struct Fixture {
    wire: Wire,
    database: Postgres,
    nodes: Nodes,
    caller: Caller,
    forge: TokenForge,
    /// A client's ID, its secret and a token of its own.
    client: (String, String, String),
    live: String,
    ended: String,
    again: String,
}

impl Fixture {
    async fn new() -> Self {
        Self::on(Postgres::start()).await
    }

    async fn on(database: Postgres) -> Self {
        let wire = Wire::to_port(database.port()).await;
        let url = database.url_through(&wire);
        let nodes = Nodes::prepare(&[url], &SETTINGS, &["alice".to_owned()]);
        let node = &nodes.0[0];
        let added = node.ok(&["client", "add", "billing", "--json"], "");
        let added: Value = serde_json::from_str(&added).unwrap();
        let text = |name: &str| added[name].as_str().unwrap().to_owned();
        let (id, secret) = (text("client_id"), text("client_secret"));
        node.start();
        let caller = Caller::at(&node.url);
        let forge = TokenForge::new(&node.place.path().join("keys"), 7);
        let token = client_token(&caller, &id, &secret).await;
        let token: Value = serde_json::from_str(&token.body).unwrap();
        let token = token["access_token"].as_str().unwrap().to_owned();
        let (live, ended, again) = (
            caller.login("alice").await,
            caller.login("alice").await,
            caller.login("alice").await,
        );
        assert_eq!(caller.logout(&ended).await.status, 204);
        Self {
            wire,
            database,
            caller,
            forge,
            client: (id, secret, token),
            live,
            ended,
            again,
            nodes,
        }
    }

    fn node(&self) -> &Node {
        &self.nodes.0[0]
    }

    /// A token of a session that is due for renewal; its renewal writes.
    fn due(&self) -> String {
        let now = SystemClock.now();
        let mut due = self.forge.session(now).claims;
        due.renew_at = now.whole_second();
        self.forge.sign(due).text
    }

    /// Asserts that whatever needs the database answers 503, and that no request hangs.
    async fn nothing_is_done(&self) {
        let (id, secret, token) = &self.client;
        let due = self.due();
        let form = |path: &str| {
            let request = self.caller.post(path).basic_auth(id, Some(secret));
            let request = request.header("content-type", "application/x-www-form-urlencoded");
            ask(request.body(format!("token={token}")))
        };
        let sessions = self.caller.get("/sessions").bearer_auth(&self.live);
        let (login, logout, renewal, client, revocation, introspection, list) = tokio::join!(
            self.caller.try_login("alice"),
            self.caller.logout(&self.again),
            self.caller.renew(&due),
            client_token(&self.caller, id, secret),
            form("/oauth/revoke"),
            form("/oauth/introspect"),
            ask(sessions),
        );
        for answer in [
            &login,
            &logout,
            &renewal,
            &client,
            &revocation,
            &introspection,
            &list,
        ] {
            answer.is_unavailable();
        }
    }

    /// Asserts the answers to a good token: 200, then 503 once the list is too old. `lost` is a time after which the
    /// node learned nothing of the log.
    async fn goes_stale(&self, lost: Duration) {
        let mut good = 0;
        loop {
            let asked = SystemClock.uptime();
            let answer = self.caller.verify(&self.live).await;
            if answer.status != 200 {
                answer.is_unavailable();
                break;
            }
            assert!(asked < lost + BOUND, "it was believed for too long");
            good += 1;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        println!("{good} times good while the list could be believed");
        self.is_stale().await;
    }

    async fn is_stale(&self) {
        self.caller.verify(&self.live).await.is_unavailable();
        let ready = ask(self.caller.get("/readyz")).await;
        ready.is_unavailable();
        assert!(ready.body.contains("not provably fresh"), "{ready:?}");
        assert_eq!(ask(self.caller.get("/livez")).await.status, 200);
        let learned = self.caller.verify(&self.ended).await;
        assert_eq!(learned.status, 401, "what was learned binds");
        self.nothing_is_done().await;
    }

    /// Asserts that the node recovers without a restart and keeps everything that it acknowledged.
    async fn recovers(&self) {
        self.caller.becomes(&self.live, 200).await;
        assert_eq!(self.caller.verify(&self.ended).await.status, 401);
        // The logout may have been written, and only its answer lost.
        let again = self.tried_again().await;
        assert!(matches!(again.status, 204 | 401), "{again:?}");
        assert_eq!(self.caller.verify(&self.again).await.status, 401);
        let (new, newest) = (
            self.caller.login("alice").await,
            self.caller.login("alice").await,
        );
        assert_eq!(self.caller.logout(&newest).await.status, 204);
        assert_eq!(self.caller.verify(&new).await.status, 200);
        is_secret(&self.node().log());
        self.node().kill();
        self.node().start();
        for (token, status) in [
            (&self.live, 200),
            (&new, 200),
            (&self.ended, 401),
            (&self.again, 401),
            (&newest, 401),
        ] {
            assert_eq!(self.caller.verify(token).await.status, status);
        }
    }

    /// Retries a logout that may fail for a moment longer.
    async fn tried_again(&self) -> Answer {
        for _ in 0..20 {
            let answer = self.caller.logout(&self.again).await;
            if answer.status != 503 {
                return answer;
            }
        }
        panic!("it cannot be tried again: {}", self.node().log());
    }

    fn says(&self, words: &[&str]) {
        for words in words {
            assert!(self.node().says(words), "{words}: {}", self.node().log());
        }
    }
}

async fn client_token(caller: &Caller, id: &str, secret: &str) -> Answer {
    let request = caller.post("/oauth/token").basic_auth(id, Some(secret));
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    ask(request.body("grant_type=client_credentials")).await
}

/// Runs a whole outage: `fault` takes the database away, and `heal` restores it.
async fn survives<T>(
    fault: impl FnOnce(&Fixture) -> T,
    heal: impl AsyncFnOnce(&Fixture, T),
    words: &[&str],
) {
    let fixture = Fixture::new().await;
    let held = fault(&fixture);
    let lost = SystemClock.uptime();
    // Some of these requests are sent while the list is still fresh.
    tokio::join!(fixture.goes_stale(lost), fixture.nothing_is_done());
    fixture.says(&["the revocation log cannot be followed"]);
    fixture.says(words);
    heal(&fixture, held).await;
    fixture.recovers().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_down_for_ten_seconds() {
    let down = async |fixture: &Fixture, began: Duration| {
        let passed = SystemClock.uptime() - began;
        tokio::time::sleep(Duration::from_secs(10).saturating_sub(passed)).await;
        fixture.is_stale().await;
        fixture.database.start_again();
    };
    let stop = |fixture: &Fixture| {
        fixture.database.stop();
        SystemClock.uptime()
    };
    survives(stop, down, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_was_killed() {
    let start = async |fixture: &Fixture, ()| fixture.database.start_again();
    survives(|fixture| fixture.database.kill(), start, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_hangs() {
    let resume = async |fixture: &Fixture, ()| fixture.database.resume();
    survives(
        |fixture| fixture.database.pause(),
        resume,
        &["no answer within 5 s"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_is_cut() {
    let whole = async |fixture: &Fixture, ()| fixture.wire.set(State::Whole);
    survives(|fixture| fixture.wire.set(State::Cut), whole, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_swallows_everything() {
    let whole = async |fixture: &Fixture, ()| fixture.wire.set(State::Whole);
    survives(
        |fixture| fixture.wire.set(State::Held),
        whole,
        &["no answer within 5 s"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_swallows_every_answer() {
    let whole = async |fixture: &Fixture, ()| fixture.wire.set(State::Whole);
    survives(
        |fixture| fixture.wire.set(State::AnswersHeld),
        whole,
        &["no answer within 5 s"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_without_room_for_connections() {
    let room = async |_: &Fixture, crowd| drop(crowd);
    survives(
        |fixture| fixture.database.take_all_connections(),
        room,
        &["raise its max_connections"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_read_only() {
    let writable = async |fixture: &Fixture, ()| fixture.database.read_only(false);
    // Only reads work: no node may take this for the writable primary.
    let fixture = Fixture::new().await;
    fixture.database.read_only(true);
    let lost = SystemClock.uptime();
    fixture.goes_stale_and_reads(lost).await;
    fixture.says(&["read-only: give the address of the writable primary"]);
    writable(&fixture, ()).await;
    fixture.recovers().await;
}

impl Fixture {
    /// Requests that only read may succeed.
    async fn goes_stale_and_reads(&self, lost: Duration) {
        let due = self.due();
        let (login, logout, renewal) = tokio::join!(
            self.caller.try_login("alice"),
            self.caller.logout(&self.again),
            self.caller.renew(&due),
        );
        for answer in [login, logout, renewal] {
            answer.is_unavailable();
        }
        loop {
            let asked = SystemClock.uptime();
            let answer = self.caller.verify(&self.live).await;
            if answer.status != 200 {
                answer.is_unavailable();
                break;
            }
            assert!(asked < lost + BOUND, "it was believed for too long");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(!self.caller.is_ready().await);
        assert_eq!(self.caller.verify(&self.ended).await.status, 401);
        self.caller.try_login("alice").await.is_unavailable();
        self.caller.logout(&self.again).await.is_unavailable();
    }
}

/// A restart is not an outage: one request may fail because of it, and the next one succeeds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_restarted_again_and_again() {
    let fixture = Fixture::new().await;
    let mut ended = vec![fixture.ended.clone()];
    for _ in 0..5 {
        let token = fixture.caller.login("alice").await;
        fixture.database.stop();
        fixture.database.start_again();
        until("a logout after a restart", async || {
            let answer = fixture.caller.logout(&token).await;
            if answer.status == 503 {
                answer.is_unavailable();
            }
            // A logout whose answer was lost may have been written.
            matches!(answer.status, 204 | 401)
        })
        .await;
        ended.push(token);
        fixture.caller.becomes(&fixture.live, 200).await;
        for token in &ended {
            assert_eq!(fixture.caller.verify(token).await.status, 401);
        }
    }
    fixture.recovers().await;
}

/// Each answer is late by 600 ms. What takes longer than its limit is refused, and nothing is acknowledged that is not
/// done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_far_away() {
    let fixture = Fixture::new().await;
    let delay = Delay::of(Duration::from_millis(300));
    fixture.wire.set(State::Slow {
        questions: delay,
        answers: delay,
    });
    let (mut ended, mut unsure) = (Vec::new(), Vec::new());
    for round in 0..3 {
        let token = fixture.forge.session(SystemClock.now()).text;
        let answer = fixture.caller.logout(&token).await;
        match answer.status {
            204 => ended.push(token),
            _ => {
                answer.is_unavailable();
                unsure.push(token);
            }
        }
        let live = fixture.caller.verify(&fixture.live).await.status;
        let login = fixture.caller.try_login("alice").await.status;
        println!(
            "{round}: logout {}, login {login}, verification {live}",
            answer.status
        );
        assert!(matches!(login, 200 | 503) && matches!(live, 200 | 503));
        for token in ended.iter().chain([&fixture.ended]) {
            assert_eq!(fixture.caller.verify(token).await.status, 401);
        }
    }
    fixture.wire.set(State::Whole);
    fixture.caller.becomes(&fixture.live, 200).await;
    for token in &unsure {
        until("it is logged out", async || {
            matches!(fixture.caller.logout(token).await.status, 204 | 401)
        })
        .await;
    }
    for token in ended.iter().chain(&unsure) {
        assert_eq!(fixture.caller.verify(token).await.status, 401);
    }
    fixture.recovers().await;
}

/// Logs out new sessions until one attempt fails. Returns the tokens that were logged out, and the failed one.
async fn until_full(fixture: &Fixture) -> (Vec<String>, String) {
    let mut ended = Vec::new();
    for _ in 0..MANY {
        let token = fixture.forge.session(SystemClock.now()).text;
        let answer = fixture.caller.logout(&token).await;
        if answer.status != 204 {
            answer.is_unavailable();
            return (ended, token);
        }
        ended.push(token);
    }
    panic!("the disk is never full");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_whose_disk_is_full() {
    let Some(database) = Postgres::start_on_small_disks() else {
        return;
    };
    let fixture = Fixture::on(database).await;
    fixture.database.fill(Part::Tables);
    let (ended, refused) = until_full(&fixture).await;
    fixture.says(&["its disk is full"]);
    assert!(fixture.database.is_running());
    let still = fixture.caller.verify(&refused).await.status;
    assert!(matches!(still, 200 | 503), "{still}: it was not logged out");
    for token in ended.iter().chain([&fixture.ended]) {
        assert_eq!(fixture.caller.verify(token).await.status, 401);
    }
    fixture.database.make_room(Part::Tables);
    until("there is room again", async || {
        matches!(fixture.caller.logout(&refused).await.status, 204 | 401)
    })
    .await;
    assert_eq!(fixture.caller.verify(&refused).await.status, 401);
    println!("{} logouts fitted", ended.len());
    fixture.recovers().await;
    for token in &ended {
        assert_eq!(fixture.caller.verify(token).await.status, 401);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_ends_because_its_log_is_full() {
    let Some(database) = Postgres::start_on_small_disks() else {
        return;
    };
    let fixture = Fixture::on(database).await;
    let table = "CREATE TABLE other (x bigint)";
    fixture.database.sql_as_owner(table).unwrap();
    fixture.database.fill(Part::Log);
    let (mut ended, mut unsure) = (Vec::new(), Vec::new());
    until("the server ends", async || {
        let token = fixture.forge.session(SystemClock.now()).text;
        let logout = fixture.caller.logout(&token).await;
        if logout.status == 204 {
            ended.push(token);
        } else {
            logout.is_unavailable();
            unsure.push(token);
        }
        // Writes of another client, so that the disk is full sooner.
        let many = "INSERT INTO other SELECT generate_series(1, 10000)";
        let _ = fixture.database.sql_as_owner(many);
        !fixture.database.is_running()
    })
    .await;
    fixture.goes_stale(SystemClock.uptime()).await;
    fixture.database.make_room(Part::Log);
    fixture.database.stop();
    fixture.database.start_again();
    fixture.caller.becomes(&fixture.live, 200).await;
    for token in &ended {
        assert_eq!(fixture.caller.verify(token).await.status, 401);
    }
    // The answer to each of these was lost, and perhaps the write too.
    for token in &unsure {
        let again = fixture.caller.logout(token).await.status;
        assert!(matches!(again, 204 | 401), "{again}");
        assert_eq!(fixture.caller.verify(token).await.status, 401);
    }
    println!("{} logouts fitted, {} did not", ended.len(), unsure.len());
    fixture.recovers().await;
}
