//! `serve` with an unwritable standard error: the first user's password, and the log.

use std::process::{Child, Stdio};
use std::time::Duration;

use super::super::commands::json;
use super::super::common::{Place, Server, ports, program};
use super::{SINKS, Sink};

/// Starts the server on `port` with standard error connected to the unwritable sink.
fn serve(sink: Sink, place: &Place, port: u16) -> Child {
    let listen = format!("127.0.0.1:{port}");
    let mut command = sink.command(2, &["serve", "--listen", &listen]);
    command.current_dir(place.path()).stdin(Stdio::null());
    command.stdout(Stdio::null()).spawn().unwrap()
}

async fn is_ready(url: &str) -> bool {
    let client = reqwest::Client::new();
    for _ in 0..1000 {
        let answer = client.get(format!("{url}/readyz")).send().await;
        if answer.is_ok_and(|answer| answer.status() == 200) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

#[tokio::test]
async fn the_first_user_is_not_made_without_its_password_being_shown() {
    for sink in SINKS {
        let place = Place::new();
        let ended = serve(sink, &place, 0).wait().unwrap();
        assert_eq!(ended.code(), Some(1), "{sink:?}");
        let users = json(&place.ok(&["user", "list", "--json"], ""));
        assert_eq!(users.as_array().unwrap().len(), 0, "{sink:?}: {users}");

        let server = place.serve();
        let log = server.log();
        let password = log
            .lines()
            .find_map(|line| line.strip_prefix("  password: "));
        let body = serde_json::json!({ "username": "admin", "password": password.unwrap() });
        let request = reqwest::Client::new().post(format!("{}/login", server.url));
        assert_eq!(request.json(&body).send().await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn a_server_continues_when_nobody_reads_its_log() {
    for sink in SINKS {
        let place = Place::new();
        place.add_user("alice");
        let port = ports::free();
        let url = format!("http://127.0.0.1:{port}");
        let mut child = serve(sink, &place, port);
        let ready = is_ready(&url).await;
        let client = reqwest::Client::new();
        // Each answer writes one log line.
        let mut answers = Vec::new();
        for _ in 0..3 {
            let body = serde_json::json!({ "username": "alice", "password": "a wrong password" });
            let request = client.post(format!("{url}/login")).json(&body);
            answers.push(
                request
                    .send()
                    .await
                    .map(|answer| answer.status().as_u16())
                    .ok(),
            );
        }
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let ended = child.wait().unwrap();
        assert!(ready, "{sink:?}");
        assert_eq!(answers, [Some(401); 3], "{sink:?}");
        assert_eq!(ended.code(), Some(0), "{sink:?}");
    }
}

/// The server binds the port before it creates anything, and listens last.
#[test]
fn a_port_that_is_taken_leaves_no_traces() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = program();
    command.args(["serve", "--listen", &address]);
    let log = Server::try_start({
        command.current_dir(place.path());
        command
    });
    let log = log.err().unwrap();
    assert!(
        log.contains("with --listen") && !log.contains("password"),
        "{log}"
    );
    let left: Vec<_> = std::fs::read_dir(place.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}
