//! Promise 1: when logout answers 2xx, the revocation survives whatever happens to the process.

use std::collections::VecDeque;
use std::fs;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::Client;
use tokio::task::JoinSet;
use waxseal::revocation::log::Revoke;
use waxseal::revocation::{Reason, session_revocation_expiry};
use waxseal::time::{Clock, SystemClock};

use super::common::{ISSUER, Place, Server, TestServer, program};
use super::token_forge::{TestRng, TokenForge};

/// How often the service is killed: often enough to hit pending logouts, or `WAXSEAL_KILLS` times.
fn kills_wanted() -> usize {
    let given = std::env::var("WAXSEAL_KILLS").ok();
    given.map_or(30, |text| text.parse().expect("WAXSEAL_KILLS is a number"))
}
const CALLERS: usize = 12;
/// More than a round can log out.
const POOL: usize = 600;

pub type Pool = Arc<Mutex<VecDeque<String>>>;

/// A place with a user, a key, and one entry in its log: a server that finds a key and an untouched log would take the
/// log for lost.
pub fn place() -> Place {
    let place = Place::new();
    place.add_user("alice");
    assert!(place.serve().terminate().success());
    place.ok(&["revoke", "all"], "");
    place
}

/// The results of one caller's logouts until the server was gone.
#[derive(Default)]
pub struct Called {
    pub acknowledged: Vec<String>,
    pub unanswered: Vec<String>,
}

pub async fn log_out_until_it_breaks(client: Client, url: String, pool: Pool) -> Called {
    let mut called = Called::default();
    loop {
        let next = pool.lock().unwrap().pop_front();
        let Some(token) = next else { return called };
        let request = client.post(format!("{url}/logout")).bearer_auth(&token);
        match request.send().await.map(|answer| answer.status().as_u16()) {
            Ok(204) => called.acknowledged.push(token),
            // An earlier round wrote the logout, and the kill prevented the answer.
            Ok(401) => {}
            Ok(other) => panic!("logout answered {other}"),
            Err(_) => {
                called.unanswered.push(token);
                return called;
            }
        }
    }
}

/// Waits until `begun` logouts from a pool of `full` were started, however fast the machine is.
pub async fn under_way(pool: &Pool, full: usize, begun: usize) {
    for _ in 0..10_000 {
        if full - pool.lock().unwrap().len() >= begun {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("the logouts stand still");
}

/// Asserts that every token is refused.
pub async fn all_refused(client: &Client, server: &Server, tokens: Vec<String>) {
    let left = Arc::new(Mutex::new(tokens));
    let mut checks = JoinSet::new();
    for _ in 0..CALLERS {
        let (client, left, url) = (client.clone(), Arc::clone(&left), server.url.clone());
        checks.spawn(async move {
            loop {
                let next = left.lock().unwrap().pop();
                let Some(token) = next else { return };
                let request = client.get(format!("{url}/verify")).bearer_auth(&token);
                let status = request.send().await.unwrap().status();
                assert_eq!(status, 401, "an acknowledged logout was lost: {token}");
            }
        });
    }
    while let Some(check) = checks.join_next().await {
        check.unwrap();
    }
}

/// Starts the program and kills it during its start.
fn kill_while_it_starts(place: &Place, after: Duration) {
    let mut child = program()
        .args(["serve", "--listen", "127.0.0.1:0", "--issuer", ISSUER])
        .current_dir(place.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeated_kills_lose_no_acknowledged_logout() {
    let (rng, seed) = TestRng::new();
    let place = place();
    let forge = TokenForge::new(&place.path().join("keys"), seed);
    let pool: Pool = Arc::default();
    let mut acknowledged: Vec<String> = Vec::new();
    let mut newest: Vec<String> = Vec::new();
    let (mut kills, mut busy, mut unanswered) = (0, 0, 0);
    for round in 0..kills_wanted() {
        if round % 10 == 9 {
            kill_while_it_starts(&place, Duration::from_millis(rng.below(40) as u64));
        }
        {
            let mut pool = pool.lock().unwrap();
            while pool.len() < POOL {
                pool.push_back(forge.session(SystemClock.now()).text);
            }
        }
        let mut server = place.serve();
        let mut again = std::mem::take(&mut newest);
        if !acknowledged.is_empty() {
            again.extend((0..20).map(|_| acknowledged[rng.below(acknowledged.len())].clone()));
        }
        // A new client each time: a later server may get the same port.
        let client = Client::new();
        all_refused(&client, &server, again).await;

        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            callers.spawn(log_out_until_it_breaks(
                client.clone(),
                server.url.clone(),
                Arc::clone(&pool),
            ));
        }
        under_way(&pool, POOL, rng.below(6 * CALLERS)).await;
        tokio::time::sleep(Duration::from_micros(rng.below(2000) as u64)).await;
        server.kill();
        kills += 1;
        let mut in_flight = 0;
        while let Some(called) = callers.join_next().await {
            let called = called.unwrap();
            newest.extend(called.acknowledged);
            in_flight += called.unanswered.len();
            // These are tried again: they may be logged out or not.
            pool.lock().unwrap().extend(called.unanswered);
        }
        busy += usize::from(in_flight > 0 && !newest.is_empty());
        unanswered += in_flight;
        acknowledged.extend(newest.iter().cloned());
    }
    println!(
        "{kills} kills, {} logouts acknowledged, {unanswered} cut short, {busy} rounds with both",
        acknowledged.len()
    );
    assert!(
        busy >= kills / 2,
        "only {busy} kills hit logouts in flight after others were answered: the test proves too little"
    );
    assert!(acknowledged.len() >= 5 * kills);

    let (client, server) = (Client::new(), place.serve());
    all_refused(&client, &server, acknowledged).await;
    let live = forge.session(SystemClock.now()).text;
    assert_eq!(server.verify(&client, &live).await, 200);
}

/// Counts the transactions in a write-ahead log: a frame that carries a database size ends one (SQLite's file format,
/// section 4.1).
fn transactions(wal: &[u8]) -> usize {
    let page = u32::from_be_bytes(wal[8..12].try_into().unwrap()) as usize;
    let salt = &wal[16..24];
    wal[32..]
        .chunks_exact(24 + page)
        .filter(|frame| frame[8..16] == *salt && frame[4..8] != [0; 4])
        .count()
}

// On one thread, so that all logouts are requested before the first is written.
#[tokio::test]
async fn logouts_at_once_share_their_transactions() {
    const LOGOUTS: usize = 512;
    let server = TestServer::new().await;
    let forge = TokenForge::new(&server.settings.keys_dir, 1);
    let wal = server.settings.data_dir.join("waxseal.db-wal");
    let before = transactions(&fs::read(&wal).unwrap());
    let mut writes = JoinSet::new();
    for _ in 0..LOGOUTS {
        let (log, claims) = (
            server.waxseal.log(),
            forge.session(server.clock.now()).claims,
        );
        let what = Revoke::Session(
            claims.session_id.lineage,
            session_revocation_expiry(claims.session_expiry),
        );
        let at = server.clock.now();
        writes.spawn(async move { log.revoke(what, Reason::Logout, at).await.unwrap() });
    }
    let mut seqs = writes.join_all().await;
    seqs.sort_unstable();
    assert_eq!(
        seqs,
        (1..=i64::try_from(LOGOUTS).unwrap()).collect::<Vec<_>>(),
        "each has its own place"
    );
    let shared = transactions(&fs::read(&wal).unwrap()) - before;
    println!("{LOGOUTS} logouts in {shared} transactions");
    assert!((1..=LOGOUTS / 64).contains(&shared), "{shared}");
}
