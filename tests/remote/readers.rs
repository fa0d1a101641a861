//! Two hundred readers of the feed, one of them stuck: it delays no other reader, and the server buffers nothing for
//! it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
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

const READERS: usize = 199;
/// How many readers share a client: as many as may have a stream at a time, less one for the stuck reader.
const OF_A_CLIENT: usize = 15;
const LOGOUTS: usize = 30;

/// A reader that requests everything and reads nothing.
async fn stuck(url: &str, token: &str, accept: &str, path: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(1024).unwrap();
    let address = url.strip_prefix("http://").unwrap().parse().unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    // As many requests as the connection takes; no answer is read.
    for _ in 0..1500 {
        let sent = tokio::time::timeout(
            Duration::from_millis(5),
            stream.write_all(request.as_bytes()),
        );
        if sent.await.is_err() {
            break;
        }
    }
    stream
}

/// Resident memory, in KiB.
fn memory(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Logs out repeatedly, and returns how long each reader took to learn of it.
#[expect(
    clippy::disallowed_methods,
    reason = "real processes are measured on the real clock"
)]
async fn delays(
    server: &Server,
    http: &reqwest::Client,
    readers: &[Arc<Verifier>],
) -> Vec<Duration> {
    let mut all = Vec::with_capacity(LOGOUTS * readers.len());
    for _ in 0..LOGOUTS {
        let token = server.login(http, "alice").await;
        let mut waiting = JoinSet::new();
        for reader in readers {
            let (mut news, reader, token) = (reader.news(), Arc::clone(reader), token.clone());
            waiting.spawn(async move {
                while reader.verify(&token).is_ok() {
                    news.changed().await.unwrap();
                }
                Instant::now()
            });
        }
        assert_eq!(server.logout(http, &token).await.unwrap(), 204);
        let answered = Instant::now();
        let learned = waiting.join_all();
        let learned = tokio::time::timeout(Duration::from_secs(60), learned).await;
        let learned = learned.expect("every reader learns of it");
        all.extend(
            learned
                .into_iter()
                .map(|at| at.saturating_duration_since(answered)),
        );
    }
    all.sort();
    all
}

fn shown(delays: &[Duration]) -> String {
    let at = |share: usize| delays[(delays.len() * share / 100).min(delays.len() - 1)];
    format!(
        "median {:?}, p99 {:?}, maximum {:?}",
        at(50),
        at(99),
        at(100)
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_is_stuck_holds_back_neither_the_others_nor_memory() {
    let place = Place::new();
    place.add_user("alice");
    let clients = READERS.div_ceil(OF_A_CLIENT);
    let clients: Vec<_> = (0..clients)
        .map(|n| Client::reader(&place, &format!("reader{n}")))
        .collect();
    let server = place.serve();
    let http = http();
    // A page of the feed for the stuck reader is 90 KB.
    let mark = MarkFile::new(
        &place.path().join("mark"),
        Arc::new(SystemClock),
        Arc::new(OsRandom::new()),
    );
    let store = SqlStore::open(&place.path().join("data/waxseal.db"), Some(mark))
        .await
        .unwrap();
    let (random, at) = (OsRandom::new(), SystemClock.now());
    let writes = (0..500).map(|_| {
        let token = TokenId::new(at, &random);
        let end = at.plus(Duration::from_secs(3600));
        store.revoke(Revoke::Token(token, end), Reason::Client, at)
    });
    for written in join_all(writes).await {
        written.unwrap();
    }
    let readers: Vec<_> = (0..READERS)
        .map(|n| {
            let client = &clients[n / OF_A_CLIENT];
            Verifier::remote(ISSUER, &client.id, client.secret.clone())
                .at(&server.url)
                .start()
                .unwrap()
        })
        .collect();
    for reader in &readers {
        until("every reader is ready", async || reader.is_fresh()).await;
    }
    let alone = delays(&server, &http, &readers).await;
    let before = memory(&server);

    let token = clients[0].token(&http, &server.url).await;
    let _stream = stuck(&server.url, &token, "text/event-stream", "/revocations").await;
    let _pages = stuck(&server.url, &token, "application/json", "/revocations").await;
    let beside = delays(&server, &http, &readers).await;
    // Memory that is used only for a moment does not count.
    let mut after = memory(&server);
    for _ in 0..40 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        after = after.min(memory(&server));
    }
    println!(
        "{READERS} readers, {LOGOUTS} logouts: {}; with a stuck one beside them: {}; memory of the server {before} KiB, then {after} KiB",
        shown(&alone),
        shown(&beside)
    );
    // The pending answers would take 100 MB if they were made and kept. A login takes 19 MB for a moment.
    assert!(after < before + 64 * 1024, "{before} KiB, then {after} KiB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_server_ends_its_streams_in_order() {
    let place = Place::new();
    let reader = Client::reader(&place, "reader");
    let mut server = place.serve();
    let token = reader.token(&http(), &server.url).await;
    let stream = reqwest::Client::builder().no_proxy().build().unwrap();
    let stream = stream.get(format!("{}/revocations", server.url));
    let stream = stream
        .bearer_auth(&token)
        .header("accept", "text/event-stream");
    let mut stream = stream.send().await.unwrap();
    let first = stream.chunk().await.unwrap().unwrap();
    assert_eq!(first, "event: head\ndata: {\"seq\":0}\n\n");
    let stopped = tokio::task::spawn_blocking(move || server.terminate());
    // A stream that is cut off when the server's patience ends is an error, not an end.
    while stream.chunk().await.unwrap().is_some() {}
    assert!(stopped.await.unwrap().success());
}
