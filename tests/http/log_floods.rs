//! What strangers can write to the log: little, however much they send, and nothing that alerts an operator.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use waxseal::time::{Clock, SystemClock};

use super::common::Place;

/// Concurrent connections of each kind.
const AT_A_TIME: usize = 3;

/// One request of a stranger: its source address, and its number in the sequence.
#[derive(Clone, Copy)]
struct Turn {
    host: u8,
    number: u64,
}

fn request(method: &str, path: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    )
    .into_bytes()
}

fn form(path: &str, headers: &str, body: &str) -> Vec<u8> {
    let headers = format!("Content-Type: application/x-www-form-urlencoded\r\n{headers}");
    request("POST", path, &headers, body)
}

fn json(path: &str, headers: &str, body: &str) -> Vec<u8> {
    let headers = format!("Content-Type: application/json\r\n{headers}");
    request("POST", path, &headers, body)
}

/// Basic credentials of a client that does not exist.
fn nobody(turn: Turn) -> String {
    use base64::Engine;
    let id = format!("client-01a20636-65df-7d0c-a454-{:012x}", turn.number);
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{id}:wxs_x"));
    format!("Authorization: Basic {pair}\r\n")
}

/// A kind of request: its name, whether the server answers it, and its bytes.
type Kind = (&'static str, bool, fn(Turn) -> Vec<u8>);

/// Everything that a stranger can send. An unanswered kind abandons its connection.
const KINDS: [Kind; 19] = [
    ("unknown clients", true, |turn| {
        form(
            "/oauth/token",
            &nobody(turn),
            "grant_type=client_credentials",
        )
    }),
    ("malformed clients", true, |_| {
        form("/oauth/introspect", "Authorization: Basic !\r\n", "token=x")
    }),
    ("assertions", true, |turn| {
        let body = format!(
            "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=eyJ.{}.x&token=x",
            turn.number
        );
        form("/oauth/revoke", "", &body)
    }),
    ("wrong passwords", true, |turn| {
        let body = format!(r#"{{"username":"user{}","password":"wrong"}}"#, turn.number);
        json("/login", "", &body)
    }),
    ("long passwords", true, |turn| {
        let long = "x".repeat(2000);
        let body = format!(
            r#"{{"username":"user{}","password":"{long}"}}"#,
            turn.number
        );
        json("/login", "", &body)
    }),
    ("malformed JSON", true, |turn| {
        json("/login", "", &format!("{{\"username\": {}", turn.number))
    }),
    ("unknown paths", true, |turn| {
        request(
            "GET",
            &format!("/made/up/{}/{}", turn.number, "a".repeat(4000)),
            "",
            "",
        )
    }),
    ("unknown methods", true, |turn| {
        request(
            &format!("BREW{}{}", turn.number, "X".repeat(500)),
            "/verify",
            "",
            "",
        )
    }),
    ("broken tokens", true, |turn| {
        let headers = format!("Authorization: Bearer eyJ0eXAi.e30.{}\r\n", turn.number);
        request("GET", "/verify", &headers, "")
    }),
    ("broken cookies", true, |turn| {
        let headers = format!("Cookie: __Host-Http-waxseal={}\r\n", turn.number);
        request("GET", "/session", &headers, "")
    }),
    ("the feed without a token", true, |_| {
        request("GET", "/revocations", "", "")
    }),
    ("passwords without a session", true, |_| {
        json("/password", "", r#"{"current":"x","new":"y"}"#)
    }),
    ("other sites", true, |turn| {
        let headers = format!(
            "Origin: https://evil{}.example\r\nSec-Fetch-Site: cross-site\r\nCookie: __Host-Http-waxseal=x\r\n",
            turn.number
        );
        json("/login", &headers, r#"{"username":"x","password":"y"}"#)
    }),
    ("addresses and names that are made up", true, |turn| {
        let number = turn.number;
        let headers = format!(
            "X-Forwarded-For: 192.0.2.{}\r\nX-Request-ID: {number}\r\nTraceparent: 00-{number:032x}-00f067aa0ba902b7-01\r\n",
            number % 250
        );
        json("/login", &headers, "{}")
    }),
    ("huge heads", false, |_| {
        request(
            "GET",
            "/",
            &format!("X-Much: {}\r\n", "y".repeat(500_000)),
            "",
        )
    }),
    ("heads that end early", false, |_| {
        b"GET /verify HTTP/1.1\r\nHo".to_vec()
    }),
    ("bodies that end early", false, |_| {
        b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{".to_vec()
    }),
    ("HTTP/2 that is none", false, |turn| {
        let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        let mut number = turn.number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        for _ in 0..500 {
            number = number
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            sent.push((number >> 56) as u8);
        }
        sent
    }),
    ("acknowledgements of pings that nobody sent", false, |_| {
        let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        // An empty SETTINGS frame, then PING frames with ACK (RFC 9113, sections 6.5 and 6.7).
        sent.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
        for _ in 0..500 {
            sent.extend([0, 0, 8, 6, 1, 0, 0, 0, 0]);
            sent.extend([7; 8]);
        }
        sent
    }),
];

async fn connect(address: SocketAddr, turn: Turn) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    let from = Ipv4Addr::new(127, 9, (turn.number % 3) as u8, turn.host);
    socket.bind(SocketAddr::new(from.into(), 0)).unwrap();
    let stream = timeout(Duration::from_secs(2), socket.connect(address)).await;
    stream.ok()?.ok()
}

/// Sends one kind repeatedly, as fast as the server answers.
async fn flood(
    address: SocketAddr,
    kind: (bool, fn(Turn) -> Vec<u8>),
    host: u8,
    end: Duration,
    sent: Arc<AtomicU64>,
) {
    let (answered, make) = kind;
    let mut number = u64::from(host) << 32;
    let mut kept = None;
    let mut answer = vec![0; 16 * 1024];
    while SystemClock.uptime() < end {
        number += 1;
        let turn = Turn { host, number };
        let stream = match kept.take() {
            Some(stream) => Some(stream),
            None => connect(address, turn).await,
        };
        let Some(mut stream) = stream else {
            continue;
        };
        // A server that refuses a request does not read the rest.
        let written = timeout(Duration::from_secs(2), stream.write_all(&make(turn))).await;
        sent.fetch_add(1, Ordering::Relaxed);
        if answered && matches!(written, Ok(Ok(()))) {
            let read = timeout(Duration::from_secs(20), stream.read(&mut answer)).await;
            kept = matches!(read, Ok(Ok(1..))).then_some(stream);
        }
    }
}

/// Runs for 60 s with `WAXSEAL_FLOOD_SECONDS=60`, as every night does; for 2 s otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_without_credentials_write_few_log_lines() {
    let seconds = std::env::var("WAXSEAL_FLOOD_SECONDS").ok();
    let seconds = seconds.map_or(2, |seconds| seconds.parse().unwrap());
    let place = Place::new();
    place.add_user("alice");
    let mut server = place.serve();
    let address: SocketAddr = server.url.strip_prefix("http://").unwrap().parse().unwrap();
    let sent: Vec<_> = KINDS.iter().map(|_| Arc::new(AtomicU64::new(0))).collect();
    let end = SystemClock.uptime() + Duration::from_secs(seconds);
    let mut floods = JoinSet::new();
    for (at, (_, answered, make)) in KINDS.into_iter().enumerate() {
        for connection in 0..AT_A_TIME {
            let host = (at * AT_A_TIME + connection + 1) as u8;
            let sent = Arc::clone(&sent[at]);
            floods.spawn(flood(address, (answered, make), host, end, sent));
        }
    }
    floods.join_all().await;
    assert!(server.terminate().success());
    assert!(server.says("stopping: "), "the log has no end");
    assert!(
        server.says(" more times in "),
        "what was repeated is told with a count"
    );
    let log = server.log();
    let mut all = 0;
    for ((name, ..), sent) in KINDS.iter().zip(&sent) {
        let sent = sent.load(Ordering::Relaxed);
        assert!(sent > 0, "{name}");
        all += sent;
    }
    println!(
        "{all} requests in {seconds} s wrote {} bytes, {} lines",
        log.len(),
        log.lines().count()
    );
    let limit = if seconds < 60 { 20_000 } else { 100_000 };
    assert!(log.len() < limit, "{} bytes: {log}", log.len());
    let loud = log
        .lines()
        .find(|line| line.contains(" WARN ") || line.contains(" ERROR "));
    assert_eq!(loud, None);
    let longest = log.lines().map(str::len).max();
    assert!(longest < Some(1000), "{log}");
}
