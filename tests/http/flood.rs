//! A flood of logins that stays below every limit, while the account's owner logs in.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use reqwest::Client;
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tower::ServiceExt;
use waxseal::account::password::{Cost, Hasher, Password};
use waxseal::account::{User, Username};
use waxseal::id::UserId;
use waxseal::random::OsRandom;
use waxseal::time::{Clock, ManualClock, SystemClock};
use waxseal::{Settings, Waxseal};

use super::browser::{NOTHING, request};
use super::common::{PASSWORD, Place, START, Server, program};

/// The number of owner logins that must all succeed.
const TRIES: usize = 20;

/// A cost high enough for a queue to build up.
const COST: Cost = Cost {
    memory_kib: 2048,
    passes: 1,
};

async fn log_in(router: &Router, peer: [u8; 4], name: &str, password: &str) -> u16 {
    let body = json!({ "username": name, "password": password });
    let mut login = request("POST", "/login", NOTHING, &body);
    let peer = SocketAddr::from((peer, 50_000));
    login.extensions_mut().insert(ConnectInfo(peer));
    let answer = router.clone().oneshot(login).await.unwrap();
    answer.status().as_u16()
}

async fn add_alice(waxseal: &Waxseal, clock: &dyn Clock) {
    let random = Arc::new(OsRandom::new());
    let hasher = Hasher::new(COST, 1, random.clone()).unwrap();
    let password = Password::chosen(PASSWORD.into(), "alice").unwrap();
    let (now, name) = (clock.now(), Username::typed("alice").unwrap());
    let user = User::new(UserId::new(now, &*random), name, now);
    let hash = hasher.hash(password).await.unwrap();
    waxseal.accounts().add_user(&user, &hash).await.unwrap();
}

/// More waiting clients than queue places, each from its own address, with usernames that do not exist.
#[tokio::test]
async fn an_owner_at_a_known_network_is_let_in_while_strangers_fill_the_queue() {
    const STRANGERS: u8 = 200;
    let folder = TempDir::new().unwrap();
    let settings = Settings::default().in_folder(folder.path());
    let clock = Arc::new(ManualClock::at(START));
    let home = [198, 51, 100, 1];
    for restarted in [false, true] {
        let random = Arc::new(OsRandom::new());
        let waxseal = Waxseal::open_with(&settings, clock.clone(), random, COST);
        let waxseal = waxseal.await.unwrap();
        let router = waxseal.router();
        if !restarted {
            add_alice(&waxseal, &*clock).await;
            assert_eq!(log_in(&router, home, "alice", PASSWORD).await, 200);
        }
        let over = Arc::new(AtomicBool::new(false));
        let refused = Arc::new(AtomicUsize::new(0));
        let mut strangers = JoinSet::new();
        for n in 0..STRANGERS {
            let (router, over, refused) = (router.clone(), Arc::clone(&over), refused.clone());
            strangers.spawn(async move {
                let mut all = 0;
                while !over.load(Ordering::Relaxed) {
                    let name = format!("nobody{n}.{all}");
                    let status = log_in(&router, [203, 0, 113, n], &name, "a guess").await;
                    all += 1;
                    match status {
                        503 => {
                            refused.fetch_add(1, Ordering::Relaxed);
                            tokio::time::sleep(Duration::from_millis(2)).await;
                        }
                        // The clock does not advance: this address has used up its limit.
                        429 => return,
                        other => assert_eq!(other, 401),
                    }
                }
            });
        }
        while refused.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        for n in 0..TRIES {
            let owner = log_in(&router, home, "alice", PASSWORD).await;
            assert_eq!(owner, 200, "{n}, restarted: {restarted}");
        }
        // The flood lasted until the end.
        let mut more = JoinSet::new();
        for n in 0..100 {
            let (router, name) = (router.clone(), format!("somebody{n}"));
            more.spawn(async move { log_in(&router, [192, 0, 2, n], &name, "a guess").await });
        }
        let more = more.join_all().await;
        assert!(more.contains(&503), "{more:?}");
        over.store(true, Ordering::Relaxed);
        strangers.join_all().await;
    }
}

fn serve(place: &Place) -> Server {
    let mut command = program();
    command
        .args(["serve", "--listen", "127.0.0.1:0"])
        .env("WAXSEAL_ISSUER", "http://localhost")
        .env("WAXSEAL_TRUSTED_PROXIES", "127.0.0.1")
        .env("WAXSEAL_LOGIN_LIMIT_ADDRESS", "20/1m")
        .env("WAXSEAL_LOGIN_LIMIT_ACCOUNT", "10/1m")
        .current_dir(place.path());
    Server::start(command)
}

async fn try_at(http: &Client, url: &str, address: &str, name: &str, password: &str) -> u16 {
    let body = json!({ "username": name, "password": password });
    let login = http.post(format!("{url}/login")).json(&body);
    let login = login.header("x-forwarded-for", address);
    let answer = login.send().await;
    answer.map_or(0, |answer| answer.status().as_u16())
}

/// Returns how many passwords this machine hashes per second at the default cost on half of its cores.
async fn hashed_per_second() -> usize {
    const ROUNDS: u32 = 20;
    let hasher = Hasher::new(Cost::default(), 1, Arc::new(OsRandom::new())).unwrap();
    let began = SystemClock.uptime();
    for _ in 0..ROUNDS {
        let password = Password::presented(PASSWORD.into()).unwrap();
        hasher.check(password, None).await.unwrap();
    }
    let each = (SystemClock.uptime() - began) / ROUNDS;
    let threads = std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1));
    threads * usize::try_from(Duration::from_secs(1).as_micros() / each.as_micros()).unwrap()
}

/// Runs the whole campaign against the real program: ten times the machine's hashing rate, from enough addresses that
/// each stays below its limit. It takes a minute and runs only if `WAXSEAL_FLOOD` is set.
#[tokio::test(flavor = "multi_thread")]
async fn the_owner_is_let_in_within_two_seconds_under_ten_times_what_the_machine_hashes() {
    if std::env::var_os("WAXSEAL_FLOOD").is_none() {
        return;
    }
    let rate = 10 * hashed_per_second().await;
    let place = Place::new();
    place.add_user("alice");
    let http = Client::new();
    let home = "198.51.100.1";
    // Each address sends 15 requests a minute.
    let addresses = rate * 4;
    for restarted in [false, true] {
        let mut server = serve(&place);
        if !restarted {
            let known = try_at(&http, &server.url, home, "alice", PASSWORD).await;
            assert_eq!(known, 200);
        }
        let over = Arc::new(AtomicBool::new(false));
        let flood = tokio::spawn({
            let (http, url, over) = (http.clone(), server.url.clone(), Arc::clone(&over));
            async move {
                let mut sent = JoinSet::new();
                let mut due = tokio::time::interval(Duration::from_secs(1) / rate as u32);
                for n in 0.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    due.tick().await;
                    let (http, url) = (http.clone(), url.clone());
                    let at = n % addresses;
                    let address = format!("203.{}.{}.{}", at >> 16, (at >> 8) & 255, at & 255);
                    sent.spawn(async move {
                        try_at(&http, &url, &address, &format!("nobody{n}"), "a guess").await
                    });
                }
                let mut answers: BTreeMap<u16, usize> = BTreeMap::new();
                for status in sent.join_all().await {
                    *answers.entry(status).or_default() += 1;
                }
                answers
            }
        });
        tokio::time::sleep(Duration::from_secs(8)).await;
        let mut took = Vec::new();
        for n in 0..TRIES {
            let before = SystemClock.uptime();
            let owner = try_at(&http, &server.url, home, "alice", PASSWORD).await;
            took.push(SystemClock.uptime() - before);
            assert_eq!(owner, 200, "{n}, restarted: {restarted}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        over.store(true, Ordering::Relaxed);
        let answers = flood.await.unwrap();
        took.sort();
        println!(
            "{rate} a second from {addresses} addresses, restarted: {restarted}: {answers:?}; the owner: {:?} in the middle, {:?} at most",
            took[TRIES / 2],
            took[TRIES - 1]
        );
        assert!(
            answers.get(&503).is_some_and(|busy| *busy > answers[&401]),
            "no flood"
        );
        assert!(took[TRIES - 1] < Duration::from_secs(2));
        server.terminate();
    }
}
