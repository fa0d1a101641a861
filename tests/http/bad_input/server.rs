//! What only the real program shows: streamed bodies, and the log.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use waxseal::time::{Clock, SystemClock};

use super::{JSON, MAX_BODY};
use crate::common::{ISSUER, PASSWORD, Place, Server, program};

/// The body never ends, so only its size so far can be the reason for the refusal.
#[test]
fn a_body_that_grows_too_large_on_its_way() {
    let place = Place::new();
    let server = place.serve();
    let much = vec![b' '; MAX_BODY + 1];
    let start = format!("POST /login HTTP/1.1\r\nHost: waxseal\r\nContent-Type: {JSON}\r\n");
    let chunked = format!(
        "{start}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n",
        much.len()
    );
    let announced = format!("{start}Content-Length: 1000000\r\n\r\n");
    for head in [chunked, announced] {
        let mut socket = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        socket.write_all(head.as_bytes()).unwrap();
        // The server may already have answered and closed.
        let _ = socket.write_all(&much);
        let mut answer = [0; 12];
        socket.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 413", "{head}");
    }
}

/// At the most verbose log level.
#[tokio::test]
async fn the_log_repeats_no_password_and_no_token() {
    let place = Place::new();
    place.add_user("alice");
    let mut command = program();
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--issuer", ISSUER])
        .env("RUST_LOG", "trace")
        .current_dir(place.path());
    let mut server = Server::start(command);
    let client = reqwest::Client::new();
    let token = server.login(&client, "alice").await;
    assert_eq!(server.verify(&client, &token).await, 200);
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    let bad = format!("{signed}.{other}{}", &signature[1..]);
    assert_eq!(server.verify(&client, &bad).await, 401);
    let query = format!("{}/verify?access_token={token}", server.url);
    assert_eq!(client.get(query).send().await.unwrap().status(), 401);
    let wrong = "wr0ng-s3cret";
    for body in [
        json!({ "username": "alice", "password": wrong }),
        json!({ "username": "alice", "password": wrong.repeat(100) }),
        json!({ "username": "alice", "password": { "is": wrong } }),
        json!({ "username": "alice", wrong: PASSWORD }),
        json!([wrong, PASSWORD]),
    ] {
        let request = client.post(format!("{}/login", server.url)).json(&body);
        let response = request.send().await.unwrap();
        assert!(response.status().is_client_error(), "{body}");
        let said = response.json::<Value>().await.unwrap().to_string();
        assert!(!said.contains(wrong) && !said.contains(PASSWORD), "{said}");
    }
    assert_eq!(server.logout(&client, &token).await.unwrap(), 204);

    assert!(server.terminate().success());
    let end = SystemClock.uptime() + Duration::from_secs(30);
    let log = loop {
        let log = server.log();
        if log.contains("stopping: ") {
            break log;
        }
        assert!(SystemClock.uptime() < end, "the log has no end");
        std::thread::yield_now();
    };
    assert!(log.contains("a token was refused"), "the log is not loud");
    for secret in [
        PASSWORD,
        wrong,
        token.as_str(),
        signature,
        &bad,
        &token[..80],
    ] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }
}

/// One connection sends nothing, one stops within its first request head, one within its second.
#[test]
fn a_connection_without_a_complete_request_times_out() {
    let place = Place::new();
    let server = place.serve();
    let address = server.url.strip_prefix("http://").unwrap();
    let whole = "GET /livez HTTP/1.1\r\nHost: waxseal\r\n\r\n";
    std::thread::scope(|scope| {
        for sent in [
            "".to_owned(),
            whole[..20].to_owned(),
            whole.to_owned() + &whole[..20],
        ] {
            scope.spawn(move || {
                let mut socket = TcpStream::connect(address).unwrap();
                let limit = Duration::from_secs(120);
                socket.set_read_timeout(Some(limit)).unwrap();
                socket.write_all(sent.as_bytes()).unwrap();
                let mut answers = String::new();
                socket.read_to_string(&mut answers).unwrap();
                let answered = sent.len() > whole.len();
                assert_eq!(answers.contains(" 200 OK"), answered, "{sent}: {answers}");
            });
        }
    });
}
