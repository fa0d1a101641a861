//! Promise 1 under a flood of connections: new connections may be refused, but a logout on an accepted one is written.
//!
//! `WAXSEAL_FLOOD_SECONDS` makes the flood longer, with more connections, and checks how soon new connections are
//! served afterwards.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Method, Request};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use waxseal::time::{Clock, SystemClock};

use super::common::{Place, Server};
use super::durable::place;
use super::mount_namespace::{on_folders, without_settings};
use super::token_forge::TokenForge;

const LOGOUTS: usize = 50;
/// systemd's soft limit on open files. Here it is the hard limit too.
const DESCRIPTORS: u64 = 1024;
const MIB: u64 = 1024 * 1024;
const SECOND: Duration = Duration::from_secs(1);
/// The addresses of the honest clients and of a newcomer.
const HOME: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

/// Starts a server that can open at most [`DESCRIPTORS`] files.
fn serve(place: &Place) -> Server {
    let mut command = Command::new("sh");
    command.args(["-c", r#"ulimit -n "$0" && exec "$@""#]);
    command.arg(DESCRIPTORS.to_string());
    command.arg(env!("CARGO_BIN_EXE_waxseal"));
    without_settings(&mut command);
    on_folders(&mut command, place.path(), &["serve"]);
    Server::start(command)
}

fn address(server: &Server) -> SocketAddr {
    server.url.strip_prefix("http://").unwrap().parse().unwrap()
}

fn sessions(place: &Place, count: usize) -> Vec<String> {
    let forge = TokenForge::new(&place.path().join("keys"), 18);
    let session = |_| forge.session(SystemClock.now()).text;
    (0..count).map(session).collect()
}

/// Raises this process's own limit, because it has both ends of the flood.
fn raise_own_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).unwrap();
}

async fn connect(server: SocketAddr, from: Ipv4Addr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    socket.connect(server).await
}

/// A persistent connection for many requests.
struct Kept(SendRequest<Empty<Bytes>>);

impl Kept {
    async fn open(server: SocketAddr, from: Ipv4Addr) -> Option<Self> {
        let stream = connect(server, from).await.ok()?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        Some(Self(sender))
    }

    async fn ask(&mut self, method: Method, path: &str, token: &str) -> hyper::Result<u16> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "waxseal")
            .header("authorization", format!("Bearer {token}"))
            .body(Empty::new())
            .unwrap();
        self.0.ready().await?;
        let answer = self.0.send_request(request).await?;
        let status = answer.status().as_u16();
        answer.into_body().collect().await?;
        Ok(status)
    }

    async fn verify(&mut self, token: &str) -> u16 {
        self.ask(Method::GET, "/verify", token).await.unwrap()
    }

    async fn log_out(&mut self, token: &str) -> u16 {
        self.ask(Method::POST, "/logout", token).await.unwrap()
    }
}

/// Whether a new connection is served.
async fn newcomer_is_served(server: SocketAddr) -> bool {
    let ask = async {
        let mut kept = Kept::open(server, ELSEWHERE).await?;
        kept.ask(Method::GET, "/livez", "").await.ok()
    };
    // A connection that is neither refused nor accepted would wait as long as the flood lasts.
    matches!(timeout(5 * SECOND, ask).await, Ok(Some(200)))
}

/// Opens silent connections from many addresses, and opens each again when it is closed.
fn flood(server: SocketAddr, count: usize) -> JoinSet<()> {
    let mut flood = JoinSet::new();
    for n in 0..count {
        let [_, _, high, low] = u32::try_from(n / 50).unwrap().to_be_bytes();
        let from = Ipv4Addr::new(127, 1, high, low + 1);
        flood.spawn(async move {
            loop {
                if let Ok(mut stream) = connect(server, from).await {
                    let _ = stream.read(&mut [0; 1]).await;
                }
                sleep(SECOND).await;
            }
        });
    }
    flood
}

/// The resident memory, in bytes.
fn resident(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.unwrap().trim().strip_suffix(" kB").unwrap();
    kibibytes.parse::<u64>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accepted_logouts_succeed_during_a_flood_of_idle_connections() {
    let long = std::env::var("WAXSEAL_FLOOD_SECONDS").ok();
    let hold = SECOND * long.as_ref().map_or(2, |text| text.parse().unwrap());
    let count = if long.is_some() { 5000 } else { 1200 };
    raise_own_limit();
    let place = place();
    let server = serve(&place);
    let (at, tokens) = (address(&server), sessions(&place, LOGOUTS));
    let mut kept = Vec::new();
    for token in &tokens {
        let mut connection = Kept::open(at, HOME).await.unwrap();
        assert_eq!(connection.verify(token).await, 200);
        kept.push(connection);
    }
    // The lowest value seen: the memory that the start took is released some time later.
    let (mut least, mut most) = (resident(&server), 0);

    let flood = flood(at, count);
    while newcomer_is_served(at).await {
        sleep(SECOND / 20).await;
    }
    let mut asked = SystemClock.uptime();
    for (n, token) in tokens.iter().enumerate() {
        sleep(hold / LOGOUTS as u32).await;
        let status = kept[n].log_out(token).await;
        assert_eq!(status, 204, "logout {n}: {}", server.log());
        assert_eq!(kept[n].verify(token).await, 401, "logout {n}");
        let now = resident(&server);
        (least, most) = (least.min(now), most.max(now));
        // The service closes a connection that is idle for 12 s.
        if SystemClock.uptime() - asked > 3 * SECOND {
            asked = SystemClock.uptime();
            for (connection, token) in kept.iter_mut().zip(&tokens).skip(n + 1) {
                assert_eq!(connection.verify(token).await, 200);
            }
        }
    }
    assert!(!newcomer_is_served(at).await, "the flood goes on");
    let grown = most - least;
    assert!(grown < 40 * MIB, "{grown} bytes more are resident: {most}");

    drop(flood);
    let ended = SystemClock.uptime();
    while !newcomer_is_served(at).await {
        sleep(SECOND / 100).await;
        assert!(SystemClock.uptime() - ended < 30 * SECOND);
    }
    let waited = SystemClock.uptime() - ended;
    println!(
        "{count} connections for {hold:?}: {LOGOUTS} logouts, {least} to {most} bytes resident, then served after {waited:?}"
    );
    assert!(long.is_none() || waited < 2 * SECOND, "{waited:?}");
    let log = server.log();
    let told = log.matches("connections are refused").count();
    assert!(
        (1..=3).contains(&told),
        "once, or where the flood paused: {log}"
    );
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
}

/// Simulates an exhausted reserve of descriptors: a commit opens no file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logout_is_written_while_no_descriptor_is_left() {
    let place = place();
    let server = serve(&place);
    let (at, tokens) = (address(&server), sessions(&place, 3));
    let mut kept = Kept::open(at, HOME).await.unwrap();
    assert_eq!(kept.verify(&tokens[0]).await, 200);
    let limit = |descriptors| {
        let limits = Rlimit {
            current: Some(descriptors),
            maximum: Some(DESCRIPTORS),
        };
        let pid = Some(Pid::from_child(&server.child));
        prlimit(pid, Resource::Nofile, limits).unwrap();
    };
    limit(0);
    // This connection waits to be accepted.
    let mut waiting = Kept::open(at, ELSEWHERE).await.unwrap();
    assert!(server.says("connections cannot be accepted"));
    assert!(server.says("the key folder cannot be read for now"));
    for token in &tokens {
        assert_eq!(kept.log_out(token).await, 204, "{}", server.log());
        assert_eq!(kept.verify(token).await, 401);
    }
    limit(DESCRIPTORS);
    assert_eq!(waiting.verify(&tokens[0]).await, 401);
    let log = server.log();
    assert!(!log.contains("is broken"), "{log}");
    for once in ["cannot be accepted", "cannot be read for now"] {
        assert_eq!(log.matches(once).count(), 1, "{log}");
    }
}

/// A request head of about that many bytes, without its end.
fn head(bytes: usize) -> String {
    format!(
        "GET /livez HTTP/1.1\r\nHost: waxseal\r\nX-Long: {}",
        "x".repeat(bytes)
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_has_64_kib_and_requests_that_are_not_ended_take_no_more() {
    let place = place();
    let server = serve(&place);
    let at = address(&server);
    let status = async |bytes: usize| {
        let mut stream = connect(at, HOME).await.unwrap();
        // The server may already have answered and closed.
        let _ = stream
            .write_all((head(bytes) + "\r\n\r\n").as_bytes())
            .await;
        let mut start = [0; 12];
        stream.read_exact(&mut start).await.unwrap();
        String::from_utf8_lossy(&start[9..]).into_owned()
    };
    assert_eq!(status(60 * 1024).await, "200");
    for bytes in [66 * 1024, 360 * 1024] {
        assert_eq!(status(bytes).await, "431", "{bytes}");
    }
    let before = resident(&server);
    let mut open = Vec::new();
    let body = "POST /login HTTP/1.1\r\nHost: waxseal\r\nContent-Type: application/json\r\nContent-Length: 16000\r\n\r\n{";
    let requests = [
        (head(60 * 1024), HOME),
        (head(360 * 1024), ELSEWHERE),
        (body.to_owned(), Ipv4Addr::new(127, 0, 0, 4)),
    ];
    for (request, from) in requests.iter().cycle().take(300) {
        let mut stream = connect(at, *from).await.unwrap();
        let _ = stream.write_all(request.as_bytes()).await;
        open.push(stream);
    }
    assert_eq!(status(60 * 1024).await, "200");
    let grown = resident(&server).saturating_sub(before);
    assert!(grown < 20 * MIB, "{grown} bytes for 300 requests");
}

/// An HTTP/2 frame (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// Returns the type, the stream and the payload of the next frame.
async fn next_frame(stream: &mut TcpStream) -> (u8, u32, Vec<u8>) {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.unwrap();
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload).await.unwrap();
    let of = u32::from_be_bytes(head[5..].try_into().unwrap());
    (head[3], of, payload)
}

/// The header block of a login whose body follows, in HPACK (RFC 7541, section 6).
const LOGIN: &[u8] = b"\x83\x86\x04\x06/login\x01\x07waxseal\x0f\x10\x10application/json";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_of_http_2_has_100_requests_at_once_and_small_windows() {
    const REFUSED_STREAM: [u8; 4] = [0, 0, 0, 7];
    let place = place();
    let server = serve(&place);
    let mut stream = connect(address(&server), HOME).await.unwrap();
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    sent.extend(frame(4, 0, 0, &[]));
    for n in 0..150 {
        sent.extend(frame(1, 4, 2 * n + 1, LOGIN));
    }
    stream.write_all(&sent).await.unwrap();
    let (kind, _, settings) = next_frame(&mut stream).await;
    let pairs: Vec<_> = settings.chunks(6).collect();
    let has = |id: u8, value: u32| {
        let wanted = [&[0, id][..], &value.to_be_bytes()].concat();
        pairs.contains(&&*wanted)
    };
    let (streams, window, heads) = (has(3, 100), has(4, 16_384), has(6, 16_384));
    assert!(kind == 4 && streams && window && heads, "{settings:?}");
    let mut refused = 0;
    let mut pinged = false;
    loop {
        if refused == 50 && !pinged {
            pinged = true;
            stream
                .write_all(&frame(6, 0, 0, b"8 bytes!"))
                .await
                .unwrap();
        }
        match next_frame(&mut stream).await {
            (3, of, why) => {
                assert_eq!(why, REFUSED_STREAM, "{of}");
                assert!(of > 200, "{of} is among the first hundred");
                refused += 1;
            }
            (6, _, _) if pinged => break,
            _ => {}
        }
    }
    assert_eq!(refused, 50);

    let long = format!("x-long: {}", "x".repeat(20 * 1024));
    for (header, status) in [("x-long: x", "200"), (&long, "431")] {
        let asked = Command::new("curl")
            .args([
                "--http2-prior-knowledge",
                "--silent",
                "--output",
                "/dev/null",
            ])
            .args([
                "--write-out",
                "%{http_version} %{http_code}",
                "--header",
                header,
            ])
            .arg(format!("{}/livez", server.url))
            .output()
            .unwrap();
        let said = String::from_utf8(asked.stdout).unwrap();
        assert_eq!(said, format!("2 {status}"));
    }
}
