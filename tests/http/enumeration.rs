//! What a refused login reveals about whether the user exists: nothing readable. How much timing reveals is printed
//! here.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use http_body_util::BodyExt;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;
use waxseal::account::password::{Cost, Hasher, Password};
use waxseal::account::{INITIAL_PASSWORD_LIFETIME, User, UserChange};
use waxseal::id::UserId;
use waxseal::random::OsRandom;
use waxseal::time::{Clock, SystemClock};
use waxseal::{Settings, Waxseal};

use super::browser::{NOTHING, OWN_PAGE, request};
use super::common::{Answer, CHEAP, PASSWORD, TestServer, is_nightly, unlimited};

const LOGINS: usize = 300;

/// The answer without the headers that differ for every request.
fn told(answer: &Answer) -> (u16, HeaderMap, &[u8]) {
    let mut headers = answer.headers.clone();
    assert!(headers.remove("x-request-id").is_some());
    headers.remove("date");
    (answer.status.as_u16(), headers, &answer.body)
}

fn body(name: &str, password: &str, delivery: Option<&str>) -> Value {
    let mut body = json!({ "username": name, "password": password });
    if let Some(delivery) = delivery {
        body["delivery"] = json!(delivery);
    }
    body
}

#[tokio::test]
async fn a_refused_login_has_the_same_answer_for_every_cause() {
    let server = TestServer::new().await;
    server.add_user("alice").await;
    let dora = server.add_user("dora").await;
    server.change_user(dora, UserChange::Disable).await;
    let gone = server.add_user("gone").await;
    server.change_user(gone, UserChange::Delete).await;
    let refused = [
        ("alice", "wrong"),
        ("ALICE", "wrong"),
        ("alice", ""),
        ("alice", "correct horse batter"),
        ("dora", PASSWORD),
        ("dora", "wrong"),
        ("gone", PASSWORD),
        ("nobody", PASSWORD),
        ("nobody", "wrong"),
        // Text that cannot be a username belongs to nobody.
        ("", PASSWORD),
        ("al ice", PASSWORD),
        ("alice\0", PASSWORD),
        // A Unicode form other than the one that is hashed.
        ("alice", "cafe\u{301} tisch lampe"),
        ("dora", "cafe\u{301} tisch lampe"),
        ("nobody", "cafe\u{301} tisch lampe"),
        ("' OR 1=1 --", PASSWORD),
        ("аlice", PASSWORD),
        (&*"x".repeat(65), PASSWORD),
        (&*"x".repeat(10_000), PASSWORD),
    ];
    for delivery in [None, Some("bearer"), Some("cookie")] {
        for headers in [vec![], vec![OWN_PAGE]] {
            let mut answers = Vec::new();
            for (name, password) in refused {
                let login = body(name, password, delivery);
                let login = request("POST", "/login", headers.clone(), &login);
                answers.push(server.send(login).await);
            }
            for (answer, who) in answers.iter().zip(refused) {
                assert_eq!(answer.status, 401, "{who:?}");
                assert_eq!(answer.code(), "invalid_credentials", "{who:?}");
                assert_eq!(told(answer), told(&answers[0]), "{who:?}");
            }
        }
    }
    // A password that is too long is refused before any lookup of the user.
    let long = "x".repeat(1025);
    let mut answers = Vec::new();
    for name in ["alice", "dora", "nobody", ""] {
        let login = body(name, &long, None);
        answers.push(
            server
                .send(request("POST", "/login", NOTHING, &login))
                .await,
        );
    }
    for answer in &answers {
        assert_eq!(answer.status, 400);
        assert_eq!(told(answer), told(&answers[0]));
    }
}

/// The number of Argon2 runs determines how long a refused login takes.
#[tokio::test]
async fn a_refused_login_costs_the_same_work_for_every_cause() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    // A single thread, so that only this test's recorder receives the metrics.
    let _guard = metrics::set_default_local_recorder(&recorder);
    let server = TestServer::new().await;
    let decomposed = "cafe\u{301} tisch lampe";
    server.add_user("alice").await;
    for name in ["dora", "gone"] {
        let user = server.add_user(name).await;
        let hasher = Hasher::new(CHEAP, 1, Arc::new(OsRandom::new())).unwrap();
        let chosen = Password::chosen(decomposed.into(), name).unwrap();
        let hash = hasher.hash(chosen).await.unwrap();
        server.change_user(user, UserChange::Password(hash)).await;
        let over = match name {
            "dora" => UserChange::Disable,
            _ => UserChange::Delete,
        };
        server.change_user(user, over).await;
    }
    // Erin's initial password has expired by then.
    let erin = server.waxseal.add_with_initial_password("erin", PASSWORD);
    erin.await.unwrap();
    server.pass(INITIAL_PASSWORD_LIFETIME).await;
    let runs = async |name: &str, password: &str, status: u16| {
        // A snapshot removes the samples.
        snapshotter.snapshot();
        let login = body(name, password, None);
        let answer = server
            .send(request("POST", "/login", NOTHING, &login))
            .await;
        assert_eq!(answer.status, status, "{name} {password:?}");
        let metrics = snapshotter.snapshot().into_vec();
        let runs = metrics.into_iter().map(|(key, .., value)| match value {
            DebugValue::Histogram(runs)
                if key.key().name() == "waxseal_hashing_duration_seconds" =>
            {
                runs.len()
            }
            _ => 0,
        });
        runs.sum::<usize>()
    };
    for (password, expected) in [
        (PASSWORD, 1),
        ("wrong", 1),
        ("", 1),
        ("caf\u{e9} tisch lampe", 1),
        (decomposed, 2),
        ("two\u{3000}wrong horses", 2),
    ] {
        for name in [
            "alice", " ALICE ", "dora", "gone", "erin", "nobody", "", "no name",
        ] {
            if name.trim().eq_ignore_ascii_case("alice") && password == PASSWORD {
                continue;
            }
            let refused = runs(name, password, 401).await;
            assert_eq!(refused, expected, "{name:?} {password:?}");
        }
    }
    assert_eq!(runs("alice", PASSWORD, 200).await, 1);
}

async fn add(waxseal: &Waxseal, hasher: &Hasher, name: &str) -> UserId {
    let random = OsRandom::new();
    let id = UserId::new(SystemClock.now(), &random);
    let password = Password::chosen(PASSWORD.into(), name).unwrap();
    let user = User::new(id, name.parse().unwrap(), SystemClock.now());
    let hash = hasher.hash(password).await.unwrap();
    waxseal.accounts().add_user(&user, &hash).await.unwrap();
    id
}

async fn timed(router: &Router, login: Request<Body>) -> Duration {
    let (router, before) = (router.clone(), SystemClock.uptime());
    let response = router.oneshot(login).await.unwrap();
    assert_eq!(response.status(), 401);
    response.into_body().collect().await.unwrap();
    SystemClock.uptime() - before
}

/// Returns the median and half of the interquartile range, in milliseconds.
fn middle(mut times: Vec<Duration>) -> (f64, f64) {
    times.sort();
    let at = |part: usize| times[times.len() * part / 4].as_secs_f64() * 1000.0;
    (at(2), (at(3) - at(1)) / 2.0)
}

/// Prints the timings without asserting a bound: a time limit would fail by chance on a busy machine. The same work for
/// every cause is asserted above.
#[tokio::test]
async fn how_long_a_refused_login_takes() {
    if !is_nightly() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let mut settings = Settings::default().in_folder(folder.path());
    settings.login_rates = unlimited();
    let random = Arc::new(OsRandom::new());
    let (clock, cost) = (Arc::new(SystemClock), Cost::default());
    let waxseal = Waxseal::open_with(&settings, clock, random.clone(), cost)
        .await
        .unwrap();
    let hasher = Hasher::new(cost, 1, random).unwrap();
    add(&waxseal, &hasher, "alice").await;
    let dora = add(&waxseal, &hasher, "dora").await;
    let (accounts, now) = (waxseal.accounts(), SystemClock.now());
    let disabled = accounts.change_user(dora, UserChange::Disable, now).await;
    disabled.unwrap().unwrap();
    let router = waxseal.router();
    let kinds = [
        ("unknown", "nobody", PASSWORD),
        ("disabled", "dora", PASSWORD),
        ("wrong", "alice", "wrong horse battery"),
    ];
    let mut times: [Vec<Duration>; 3] = Default::default();
    for round in 0..LOGINS {
        // In a different order each round, so that none always follows a pause.
        for step in 0..kinds.len() {
            let kind = (round + step) % kinds.len();
            let (_, name, password) = kinds[kind];
            let login = body(name, password, None);
            let login = request("POST", "/login", NOTHING, &login);
            times[kind].push(timed(&router, login).await);
        }
    }
    let middles = times.map(middle);
    let medians: Vec<_> = kinds
        .iter()
        .zip(&middles)
        .map(|((kind, ..), (median, _))| format!("{kind} {median:.2} ms"))
        .collect();
    let noise = middles.iter().map(|(_, noise)| *noise).fold(0.0, f64::max);
    println!(
        "enumeration: {} (quartiles ±{noise:.2} ms, {LOGINS} logins each)",
        medians.join(", ")
    );
}
