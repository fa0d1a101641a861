//! Limits keep one reader of the feed from affecting another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, JoinSet};
use waxseal::Verifier;
use waxseal::id::TokenId;
use waxseal::random::OsRandom;
use waxseal::revocation::Reason;
use waxseal::revocation::log::{RevocationLog, Revoke};
use waxseal::store::mark::MarkFile;
use waxseal::store::sql::SqlStore;
use waxseal::time::{Clock, SystemClock};

use super::common::{ISSUER, Place, Server};
use super::service::{Client, http, until};

/// The log of a busy service: a page and a half.
const ENTRIES: usize = 6000;

/// Raises the limit on open files of this process and of the server to the system's maximum, and returns it.
fn raise(pid: Option<Pid>) -> u64 {
    let most = rustix::process::getrlimit(Resource::Nofile).maximum;
    let limits = Rlimit {
        current: most,
        maximum: most,
    };
    prlimit(pid, Resource::Nofile, limits).unwrap();
    most.unwrap_or(u64::MAX)
}

/// Writes to the log, as an operator's command does.
async fn fill(place: &Place, entries: usize) {
    let mark = MarkFile::new(
        &place.path().join("mark"),
        Arc::new(SystemClock),
        Arc::new(OsRandom::new()),
    );
    let store = SqlStore::open(&place.path().join("data/waxseal.db"), Some(mark))
        .await
        .unwrap();
    let (random, at) = (OsRandom::new(), SystemClock.now());
    let writes = (0..entries).map(|_| {
        let token = TokenId::new(at, &random);
        let end = at.plus(Duration::from_secs(3600));
        store.revoke(Revoke::Token(token, end), Reason::Client, at)
    });
    for written in join_all(writes).await {
        written.unwrap();
    }
}

/// Requests pages on one connection as fast as possible, and counts the statuses.
async fn greedy(
    url: String,
    token: String,
    connection: u64,
    stop: Arc<AtomicBool>,
    counts: Arc<[AtomicU64; 3]>,
) {
    let address = url.strip_prefix("http://").unwrap();
    let question = if connection.is_multiple_of(2) {
        "snapshot=0"
    } else {
        "after=0"
    };
    let request = format!(
        "GET /revocations?{question}&nonce=n HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    let mut answer = vec![0; 64 * 1024];
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut stream) = TcpStream::connect(address).await else {
            continue;
        };
        let mut have = 0;
        while !stop.load(Ordering::Relaxed) {
            if stream.write_all(request.as_bytes()).await.is_err() {
                break;
            }
            // Reads the head, and then as much as it announces.
            let (status, left) = loop {
                let head = answer[..have].windows(4).position(|end| end == b"\r\n\r\n");
                if let Some(end) = head {
                    let text = std::str::from_utf8(&answer[..end])
                        .unwrap()
                        .to_ascii_lowercase();
                    let length = text.split("content-length: ").nth(1).unwrap();
                    let length: usize = length.lines().next().unwrap().parse().unwrap();
                    break (
                        text[9..12].to_owned(),
                        (length + end + 4).saturating_sub(have),
                    );
                }
                match stream.read(&mut answer[have..]).await {
                    Ok(read @ 1..) => have += read,
                    _ => break ("000".to_owned(), 0),
                }
            };
            have = 0;
            let which = match &*status {
                "200" => 0,
                "429" => 1,
                _ => 2,
            };
            counts[which].fetch_add(1, Ordering::Relaxed);
            let mut left = left;
            while left > 0 {
                let room = left.min(answer.len());
                match stream.read(&mut answer[..room]).await {
                    Ok(read @ 1..) => left -= read,
                    _ => break,
                }
            }
            if which == 2 || left > 0 {
                break;
            }
        }
    }
}

/// Measures what another reader gets and how long it takes: for `time`, or `times` times. It has its own thread, so
/// that it does not wait for the crowd in this process.
#[expect(
    clippy::disallowed_methods,
    reason = "real processes are measured on the real clock"
)]
async fn asked(url: String, token: String, time: Duration, times: usize) -> Vec<(u16, Duration)> {
    let http = http();
    let (start, mut all) = (Instant::now(), Vec::new());
    while start.elapsed() < time && all.len() < times {
        let n = all.len();
        let question = if n.is_multiple_of(10) {
            "snapshot=0"
        } else {
            "after=6000"
        };
        let began = Instant::now();
        let answer = http.get(format!("{url}/revocations?{question}&nonce=n{n}"));
        let answer = answer.bearer_auth(&token).header("accept-encoding", "gzip");
        let answer = answer.send().await.unwrap();
        let status = answer.status().as_u16();
        answer.bytes().await.unwrap();
        all.push((status, began.elapsed()));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    all
}

fn on_a_thread<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::task::spawn_blocking(|| {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().build().unwrap().block_on(task)
    })
}

/// With `WAXSEAL_CROWD_SECONDS=60`, as every night, one reader has 900 connections for 60 s, and the other reader's p99
/// is below 250 ms. Otherwise one reader has 200 connections, and the other one gets its pages.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_on_many_connections_keeps_no_other_reader_waiting() {
    let seconds = std::env::var("WAXSEAL_CROWD_SECONDS").ok();
    let seconds = seconds.map(|seconds| seconds.parse::<u64>().unwrap());
    let place = Place::new();
    let readers = [
        Client::reader(&place, "greedy"),
        Client::reader(&place, "other"),
    ];
    let server = place.serve();
    let descriptors = raise(None).min(raise(Some(Pid::from_child(&server.child))));
    let wanted: u64 = if seconds.is_some() { 900 } else { 200 };
    let connections = wanted.min(descriptors.saturating_sub(100));
    fill(&place, ENTRIES).await;
    let http = http();
    let mut tokens = Vec::new();
    for reader in &readers {
        tokens.push(reader.token(&http, &server.url).await);
    }
    let (stop, counts) = (
        Arc::new(AtomicBool::new(false)),
        Arc::<[AtomicU64; 3]>::default(),
    );
    let mut crowd = JoinSet::new();
    for connection in 0..connections {
        let (stop, counts) = (Arc::clone(&stop), Arc::clone(&counts));
        crowd.spawn(greedy(
            server.url.clone(),
            tokens[0].clone(),
            connection,
            stop,
            counts,
        ));
    }
    let answered = || {
        counts
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .sum::<u64>()
    };
    until("the crowd is there", async || answered() > connections).await;
    let (time, times) = match seconds {
        None => (Duration::MAX, 30),
        Some(seconds) => (Duration::from_secs(seconds), usize::MAX),
    };
    let other = asked(server.url.clone(), tokens[1].clone(), time, times);
    let mut other = on_a_thread(other).await.unwrap();
    let times = other.len();
    stop.store(true, Ordering::Relaxed);
    crowd.shutdown().await;
    let refused: Vec<_> = other.iter().filter(|(status, _)| *status != 200).collect();
    assert!(refused.is_empty(), "{refused:?}");
    other.sort_by_key(|(_, took)| *took);
    let p99 = other[(times * 99 / 100).min(times - 1)].1;
    let [pages, limited, failed] = [0, 1, 2].map(|at| counts[at].load(Ordering::Relaxed));
    println!(
        "{connections} connections: {pages} pages, {limited} times 429, {failed} failed; the other reader: {times} answers, median {:?}, p99 {p99:?}, maximum {:?}",
        other[times / 2].1,
        other[times - 1].1
    );
    // One page is made at a time, and this many requests wait.
    assert!(connections <= 257 || limited > 0);
    assert!(
        seconds.is_none() || p99 < Duration::from_millis(250),
        "{p99:?}"
    );
}

async fn stream(http: &reqwest::Client, server: &Server, token: &str) -> reqwest::Response {
    let stream = http.get(format!("{}/revocations", server.url));
    let stream = stream
        .bearer_auth(token)
        .header("accept", "text/event-stream");
    stream.send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_has_a_limit_of_streams_and_its_verifiers_continue_without() {
    let place = Place::new();
    place.add_user("alice");
    let [greedy, other] = ["greedy", "other"].map(|name| Client::reader(&place, name));
    let server = place.serve();
    let http = http();
    let token = greedy.token(&http, &server.url).await;
    let mut streams = Vec::new();
    for _ in 0..16 {
        let stream = stream(&http, &server, &token).await;
        assert_eq!(stream.status(), 200);
        streams.push(stream);
    }
    let refused = stream(&http, &server, &token).await;
    assert_eq!(refused.status(), 429);
    assert_eq!(
        refused.headers()["content-type"],
        "application/problem+json"
    );
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(
        refused.headers()["ratelimit-policy"],
        "\"streams\";q=16;w=1"
    );
    let problem: Value = refused.json().await.unwrap();
    assert_eq!(problem["code"], "too_many_requests");
    // Another client has its own limit, and a verifier of the first client still gets its pages.
    let others = other.token(&http, &server.url).await;
    assert_eq!(stream(&http, &server, &others).await.status(), 200);
    let verifier = Verifier::remote(ISSUER, &greedy.id, greedy.secret.clone())
        .at(&server.url)
        .start()
        .unwrap();
    until("it is ready", async || verifier.is_fresh()).await;
    let session = server.login(&http, "alice").await;
    assert!(verifier.verify(&session).is_ok());
    assert_eq!(server.logout(&http, &session).await.unwrap(), 204);
    until("it knows", async || verifier.verify(&session).is_err()).await;
    // A client that disconnects frees a place. The verifier may take one of the two.
    streams.truncate(14);
    until("there is a place", async || {
        stream(&http, &server, &token).await.status() == 200
    })
    .await;
}

/// The entries are cached, but the statement about them is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_was_made_before_is_never_older_than_the_question() {
    let place = Place::new();
    let reader = Client::reader(&place, "reader");
    let server = place.serve();
    let http = http();
    let token = reader.token(&http, &server.url).await;
    let ask = async |place: &str, nonce: &str| -> (Value, Vec<Value>) {
        let url = format!("{}/revocations?{place}&nonce={nonce}", server.url);
        let page = http.get(url).bearer_auth(&token).send().await.unwrap();
        assert_eq!(page.status(), 200);
        let page: Value = page.json().await.unwrap();
        let statement = page["page"].as_str().unwrap().split('.').nth(1).unwrap();
        let said = super::forger::decode(statement);
        let said: Value = serde_json::from_slice(&said).unwrap();
        assert_eq!(said["nonce"], nonce);
        (said, page["entries"].as_array().unwrap().clone())
    };
    fill(&place, 100).await;
    for place in ["snapshot=0", "after=0", "after=1"] {
        let (first, entries) = ask(place, "one").await;
        let (second, again) = ask(place, "two").await;
        assert_eq!((&first["seq"], &entries), (&second["seq"], &again));
        assert!(first["now"].as_i64() <= second["now"].as_i64());
        assert_ne!(first["aud"], "");
    }
    // Another process writes just before the question.
    for n in 101..=110 {
        fill(&place, 1).await;
        let (said, entries) = ask("snapshot=0", "three").await;
        assert_eq!((said["seq"].as_i64(), entries.len()), (Some(n), n as usize));
        let (said, entries) = ask("after=1", "four").await;
        assert_eq!(
            (said["seq"].as_i64(), entries.len()),
            (Some(n), n as usize - 1)
        );
    }
}
