//! Passwords typed on a real terminal.

use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use super::common::postgres::Postgres;
use super::common::{Place, Server, program, program_at};

const TYPED: &str = "a password that is typed";
const FIRST: &str = "New password for alice: ";
const AGAIN: &str = "The same password again: ";

struct Terminal {
    seen: String,
    status: i64,
}

/// Types each text once its prompt has appeared.
fn type_at(place: &Place, arguments: &[&str], steps: &[(&str, &str)]) -> Terminal {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/terminal.py");
    let mut python = program_at(Path::new("python3"));
    python.arg(script).arg(json!(steps).to_string());
    python.arg(program().get_program()).args(arguments);
    python.current_dir(place.path()).stdin(Stdio::null());
    let output = python.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let done: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(done["left"], 0, "{done}");
    assert_eq!(
        done["echoes"], true,
        "the terminal is left as it was: {done}"
    );
    Terminal {
        seen: done["seen"].as_str().unwrap().to_owned(),
        status: done["status"].as_i64().unwrap(),
    }
}

async fn log_in(server: &Server, password: &str) -> u16 {
    let request = reqwest::Client::new().post(format!("{}/login", server.url));
    let body = json!({ "username": "alice", "password": password });
    request.json(&body).send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_password_is_typed_twice_and_not_shown() {
    let place = Place::new();
    let (line, other) = (format!("{TYPED}\n"), "another that is typed\n");
    let added = type_at(
        &place,
        &["user", "add", "alice"],
        &[(FIRST, &line), (AGAIN, &line)],
    );
    assert_eq!(added.status, 0, "{}", added.seen);
    assert!(added.seen.contains("alice added"), "{}", added.seen);
    let server = place.serve();
    assert_eq!(log_in(&server, TYPED).await, 200);

    let changed = type_at(
        &place,
        &["user", "passwd", "alice"],
        &[(FIRST, other), (AGAIN, other)],
    );
    assert_eq!(changed.status, 0, "{}", changed.seen);
    assert_eq!(log_in(&server, other.trim()).await, 200);
    for Terminal { seen, .. } in [added, changed] {
        assert!(!seen.contains("typed"), "{seen}");
    }
}

#[tokio::test]
async fn mismatched_or_missing_passwords_and_ctrl_c_change_nothing() {
    let place = Place::new();
    place.add_user("alice");
    let passwd = ["user", "passwd", "alice"];
    let line = format!("{TYPED}\n");
    for (steps, words) in [
        (&[(FIRST, &*line), (AGAIN, "another one\n")][..], "differ"),
        (&[(FIRST, "\n")], "no password was typed"),
        (&[(FIRST, "\x04")], "no password was typed"),
        (&[(FIRST, "half of it\x03")], "no password was typed"),
        (&[(FIRST, &line), (AGAIN, "\x03")], "no password was typed"),
        (&[(FIRST, "short\n"), (AGAIN, "short\n")], "at least 8"),
    ] {
        let Terminal { seen, status } = type_at(&place, &passwd, steps);
        assert_eq!(status, 1, "{seen}");
        assert!(seen.contains(words), "{words:?} is missing in {seen}");
        assert!(
            !seen.contains("half") && !seen.contains("typed\r"),
            "{seen}"
        );
        assert!(!seen.contains("another one"), "{seen}");
    }
    let server = place.serve();
    assert_eq!(log_in(&server, super::common::PASSWORD).await, 200);
}

#[tokio::test]
async fn generate_makes_a_password_on_a_terminal() {
    let place = Place::new();
    let made = type_at(&place, &["user", "add", "alice", "--generate"], &[]);
    assert_eq!(made.status, 0, "{}", made.seen);
    assert!(!made.seen.contains(FIRST), "{}", made.seen);
    let password = made.seen.split("password: ").nth(1).unwrap();
    let password = password.split_whitespace().next().unwrap();
    let server = place.serve();
    assert_eq!(log_in(&server, password).await, 200);
    let both = ["user", "passwd", "alice", "--generate", "--password-stdin"];
    assert_eq!(place.run(&both, "").status.code(), Some(2));
}

#[test]
fn a_move_to_postgresql_tells_how_far_it_is() {
    let postgres = Postgres::start();
    let place = Place::new();
    place.add_user("alice");
    let url = postgres.url();
    let moved = type_at(&place, &["migrate", "--to", &url], &[]);
    assert_eq!(moved.status, 0, "{}", moved.seen);
    for words in ["copied 1 of 1 users", "comparing", "moved to postgres://"] {
        assert!(moved.seen.contains(words), "{words} in {}", moved.seen);
    }
}
