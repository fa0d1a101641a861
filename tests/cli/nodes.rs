//! Runs the commands of docs/operating.md for the move to several nodes, on a real PostgreSQL.

use std::process::{Command, Stdio};

use super::common::postgres::Postgres;
use super::common::{Place, Server, program};
use super::readme::blocks_of;

/// Returns a block's commands, adapted to this test.
fn commands(wanted: &str, database: &str, other: &Place) -> Vec<String> {
    let blocks = blocks_of("docs/operating.md", "console");
    let block = blocks.iter().find(|block| block.contains(wanted)).unwrap();
    let address = "postgres://waxseal:PASSWORD@db.example/waxseal?sslmode=verify-full";
    let copy = format!("cp -rp keys {}", other.path().display());
    let here = |line: &str| {
        line.strip_prefix("$ ")
            .unwrap()
            .replace(address, database)
            .replace("scp -rp keys node-2:", &copy)
            .replace("0.0.0.0:8080", "127.0.0.1:0")
            .replace("target/debug/waxseal", "\"$PROGRAM\"")
    };
    block.lines().map(here).collect()
}

fn shell(script: &str, place: &Place) -> Command {
    let mut command = Command::new("bash");
    command.args(["-ec", script]).current_dir(place.path());
    command
        .env("PROGRAM", program().get_program())
        .stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WAXSEAL_") {
            command.env_remove(name);
        }
    }
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_way_to_several_nodes() {
    let postgres = Postgres::start();
    let places = [Place::new(), Place::new()];
    let http = reqwest::Client::new();
    places[0].add_user("alice");
    let mut server = places[0].serve();
    let dead = server.login(&http, "alice").await;
    assert_eq!(server.logout(&http, &dead).await.unwrap(), 204);
    assert!(server.terminate().success());

    let url = postgres.url();
    let first = commands("waxseal migrate", &url, &places[1]);
    assert_eq!(first.len(), 3);
    let done = shell(&first.join("\n"), &places[0]).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    assert!(
        done.stderr.is_empty(),
        "no progress without a terminal: {done:?}"
    );
    let [export, ..] = &first[..] else { panic!() };
    let serve = commands("serve --listen", &url, &places[1]).join("\n");
    let start = |place| Server::start(shell(&format!("{export}\nexec {serve}"), place));
    let servers: Vec<Server> = places.iter().map(start).collect();

    let token = servers[0].login(&http, "alice").await;
    for server in &servers {
        assert_eq!(server.verify(&http, &dead).await, 401, "{}", server.log());
        assert_eq!(server.verify(&http, &token).await, 200, "{}", server.log());
    }
    let revoke = commands("--explain", &url, &places[1]).join("\n");
    let done = shell(&format!("{export}\n{revoke}"), &places[1])
        .output()
        .unwrap();
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(said.contains("the last instant"), "{said}");
    assert!(said.matches("node-").count() >= 2, "{said}");
    for server in &servers {
        assert_eq!(server.verify(&http, &token).await, 401);
    }
}
