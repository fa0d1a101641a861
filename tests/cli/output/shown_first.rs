//! A secret is shown before the change that puts it in force; this tests the message if the change then fails.

use std::process::{Command, Stdio};
use std::thread;

use serde_json::Value;

use super::super::common::postgres::Postgres;
use super::super::common::{ISSUER, PASSWORD, Place, Server, program};

const NOT_KNOWN: &str = "that was shown may be valid or not";

/// Makes every change of the table fail.
fn refuse(postgres: &Postgres, table: &str) {
    postgres.sql(
        "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN RAISE EXCEPTION 'refused'; END $$",
    );
    postgres.sql(&format!(
        "CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON \"{table}\" \
         FOR EACH ROW EXECUTE FUNCTION refuse()"
    ));
}

fn serve(place: &Place, postgres: &Postgres) -> Command {
    let mut command = program();
    command.args(["serve", "--listen", "127.0.0.1:0", "--issuer", ISSUER]);
    command.env("WAXSEAL_DATABASE", postgres.url());
    command.current_dir(place.path());
    command
}

#[test]
fn a_secret_of_a_change_that_fails_may_not_be_valid_and_the_command_says_so() {
    let postgres = Postgres::start();
    let place = Place::new();
    let url = postgres.url();
    let at = ["--database", &url];
    let words = ["user", "add", "alice", "--password-stdin"];
    place.ok(&[&words[..], &at].concat(), PASSWORD);
    place.ok(&[&["client", "add", "billing"][..], &at].concat(), "");
    refuse(&postgres, "user");
    refuse(&postgres, "client");
    for arguments in [
        &["user", "add", "bob"][..],
        &["user", "passwd", "alice"],
        &["client", "add", "orders"],
        &["client", "rotate-secret", "billing"],
    ] {
        for json in [&[][..], &["--json"]] {
            let output = place.run(&[arguments, &at, json].concat(), "");
            let talk = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{arguments:?}: {talk}");
            assert!(talk.contains(NOT_KNOWN), "{arguments:?}: {talk}");
            assert!(!output.stdout.is_empty(), "{arguments:?}");
            let whole = serde_json::from_slice::<Value>(&output.stdout);
            assert!(whole.is_err(), "no program takes it for a success");
        }
    }

    postgres.empty();
    place.ok(&[&["user", "list"][..], &at].concat(), "");
    refuse(&postgres, "user");
    let place = Place::new();
    place.ok(&["keys", "rotate"], "");
    let log = Server::try_start(serve(&place, &postgres));
    let log = log.err().unwrap();
    assert!(
        log.contains("password: ") && log.contains(NOT_KNOWN),
        "{log}"
    );
}

/// One node creates the first user. The other reports that its password is not valid.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_that_start_at_once_say_whether_their_passwords_are_valid() {
    let postgres = Postgres::start();
    let places = [Place::new(), Place::new()];
    places[0].ok(&["keys", "rotate"], "");
    let mut copy = Command::new("cp");
    copy.arg("-rp").arg(places[0].path().join("keys"));
    assert!(copy.arg(places[1].path()).status().unwrap().success());
    let servers = thread::scope(|scope| {
        let start = |place| {
            let mut command = serve(place, &postgres);
            command.stdout(Stdio::null());
            scope.spawn(|| Server::start(command))
        };
        let started = places.each_ref().map(start);
        started.map(|server| server.join().unwrap())
    });
    let client = reqwest::Client::new();
    let mut valid = 0;
    for server in &servers {
        let log = server.log();
        let shown = log
            .lines()
            .find_map(|line| line.strip_prefix("  password: "));
        // This node may have started after the other was done.
        let Some(password) = shown else {
            continue;
        };
        let body = serde_json::json!({ "username": "admin", "password": password });
        let request = client.post(format!("{}/login", server.url)).json(&body);
        let counts = request.send().await.unwrap().status() == 200;
        assert_eq!(counts, !log.contains("is not valid"), "{log}");
        valid += usize::from(counts);
    }
    assert_eq!(valid, 1);
}
