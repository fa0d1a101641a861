//! Tokens that are too large, and their cost to the service.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use waxseal::key::{Algorithm, Format};
use waxseal::time::{Clock, SystemClock};
use waxseal::token::{MAX_TOKEN_BYTES, Malformed};

use crate::common::{Place, Server};
use crate::fixture::Fixture;
use crate::forger::{PASETO, encode};

const HUGE: usize = 10 * 1024 * 1024;

/// Returns a valid token of exactly this length, padded by a claim that the service ignores.
fn of_length(fixture: &Fixture, length: usize) -> String {
    let empty = fixture.claims.with("unread", r#""""#).text().len();
    // Some lengths are impossible in base64: white space in the header compensates.
    for spaces in 0..4 {
        let header = fixture.header.text() + &" ".repeat(spaces);
        let rest = length - encode(&header).len();
        let claims = match fixture.format() {
            Format::Jwt => (rest - encode([0; 64]).len() - 2) * 3 / 4,
            // The signature shares the part with them.
            Format::Paseto => (rest - PASETO.len() - 1) * 3 / 4 - 64,
        };
        let pad = "x".repeat(claims - empty);
        let claims = fixture.claims.with("unread", &format!("\"{pad}\""));
        let token = fixture.forger.seal(header, claims.text());
        if token.len() == length {
            return token;
        }
    }
    panic!("no token of {length} bytes");
}

#[tokio::test]
async fn one_byte_over_8192() {
    for algorithm in Algorithm::ALL {
        let fixture = Fixture::with(algorithm).await;
        for length in [MAX_TOKEN_BYTES - 1, MAX_TOKEN_BYTES] {
            fixture
                .accepted(&length.to_string(), &of_length(&fixture, length))
                .await;
        }
        for length in [8193, 8194, 8196, 9000, 16_384] {
            fixture
                .refused_for(
                    &length.to_string(),
                    &of_length(&fixture, length),
                    Malformed::TooLong,
                )
                .await;
        }
    }
}

/// The length check comes before everything else.
#[tokio::test]
async fn ten_megabytes_of_token() {
    for fixture in Fixture::of_each_format().await {
        let huge = "x".repeat(HUGE);
        for (name, token) in [
            ("good but for its length", of_length(&fixture, HUGE)),
            ("no dots", huge.clone()),
            ("dots alone", ".".repeat(HUGE)),
            ("a good token and more", fixture.genuine.clone() + &huge),
            ("more and a good token", huge.clone() + &fixture.genuine),
            ("not base64", "!".repeat(HUGE)),
            ("not ASCII", "\u{e9}".repeat(HUGE / 2)),
        ] {
            fixture.refused_for(name, &token, Malformed::TooLong).await;
        }
    }
}

/// Reading each byte once would take a minute.
#[tokio::test]
async fn ten_megabytes_of_token_ten_thousand_times() {
    for fixture in Fixture::of_each_format().await {
        let token = of_length(&fixture, HUGE);
        let verifier = fixture.server.waxseal.verifier();
        let begun = SystemClock.uptime();
        for _ in 0..10_000 {
            assert_eq!(verifier.verify(&token), Err(Malformed::TooLong.into()));
        }
        assert!(SystemClock.uptime() - begun < Duration::from_secs(5));
    }
}

/// Sends a raw request, and returns the response: possibly none if the server closed before it had read everything.
fn raw(server: &Server, pieces: &[&[u8]]) -> String {
    let address = server.url.strip_prefix("http://").unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    for piece in pieces {
        for chunk in piece.chunks(64 * 1024) {
            if socket.write_all(chunk).is_err() {
                break;
            }
        }
    }
    let mut answer = Vec::new();
    // A server that closes with unread data resets the connection.
    let _ = socket.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// Returns a line of the process's status, in KiB.
fn memory(server: &Server, what: &str) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Resets the peak that the start caused.
fn reset_peak(server: &Server) {
    fs::write(format!("/proc/{}/clear_refs", server.child.id()), "5").unwrap();
}

#[tokio::test]
async fn forty_megabytes_of_header_to_the_server() {
    let place = Place::new();
    place.add_user("alice");
    let client = reqwest::Client::new();
    let token = place.serve().login(&client, "alice").await;
    // A second server: memory that a login's hash left free in the first could absorb ten megabytes unnoticed.
    let server = place.serve();
    assert_eq!(server.verify(&client, &token).await, 200);
    let huge = vec![b'x'; 4 * HUGE];
    let good = token.as_bytes();

    let attack = || {
        for path in ["/verify", "/session", "/livez"] {
            let start = format!("GET {path} HTTP/1.1\r\nHost: waxseal\r\n");
            let (start, end) = (start.as_bytes(), b"\r\n\r\n".as_slice());
            let bearer = b"Authorization: Bearer ".as_slice();
            let attacks: [&[&[u8]]; 4] = [
                &[start, bearer, &huge, end],
                &[start, bearer, good, b".", &huge, end],
                &[start, &huge, b": 1\r\n", bearer, good, end],
                &[start, bearer, good, b"\r\nX-Pad: ", &huge, end],
            ];
            for attack in attacks {
                let answer = raw(&server, attack);
                assert!(
                    answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
                    "{answer}"
                );
                assert!(!answer.contains(&token), "{answer}");
            }
        }
    };
    // The part of a head that the server accepts, 64 KiB, may leave some megabytes in its allocator: once, and far less
    // than one of these heads. After that, further heads leave nothing significant.
    for most in [20 * 1024, 8 * 1024] {
        let before = memory(&server, "VmRSS:");
        reset_peak(&server);
        attack();
        for what in ["VmRSS:", "VmHWM:"] {
            let after = memory(&server, what);
            assert!(after < before + most, "{what} {before} to {after} KiB");
        }
    }
    assert_eq!(server.verify(&client, &token).await, 200);
}

/// A token that fits into a request's header is refused by the verifier.
#[tokio::test]
async fn a_token_over_8192_to_the_server() {
    let place = Place::new();
    place.add_user("alice");
    let server = place.serve();
    let client = reqwest::Client::new();
    let token = server.login(&client, "alice").await;
    // A request head has at most 64 KiB (RFC 6585, section 5).
    for (length, status) in [(MAX_TOKEN_BYTES + 1, 401), (60_000, 401), (100_000, 431)] {
        let long = format!("{token}{}", "A".repeat(length - token.len()));
        assert_eq!(server.verify(&client, &long).await, status, "{length}");
    }
    assert_eq!(server.verify(&client, &token).await, 200);
}
