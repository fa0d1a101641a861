//! `waxseal migrate`: a SQLite installation moves to PostgreSQL with all its revocations.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::common::postgres::Postgres;
use super::super::common::{PASSWORD, Server};
use super::super::load::client;
use super::super::nodes::{Node, Nodes};
use super::{PATIENCE, accepts, login, parsed, refused, users, verify};

/// A SQLite installation with a row in every table, whose one node is stopped.
struct Installation {
    nodes: Nodes,
    live: String,
    dead: Vec<String>,
    /// A client's ID and secret.
    service: [String; 2],
    http: reqwest::Client,
}

impl Installation {
    async fn new() -> Self {
        let nodes = Nodes::prepare(&["sqlite".to_owned()], &[], &users());
        let http = client(PATIENCE);
        let node = &nodes.0[0];
        node.start();
        let added = parsed(&node.ok(&["client", "add", "billing", "--json"], ""));
        node.ok(&["client", "add", "stock"], "");
        node.ok(&["client", "rotate-secret", "stock"], "");
        let service =
            ["client_id", "client_secret"].map(|name| added[name].as_str().unwrap().to_owned());
        node.ok(&["revoke", "all"], "");
        let mut dead = vec![login(&http, &node.url, "bob").await];
        node.ok(&["user", "disable", "bob"], "");
        dead.push(login(&http, &node.url, "alice").await);
        let logout = http
            .post(format!("{}/logout", node.url))
            .bearer_auth(&dead[1]);
        assert_eq!(logout.send().await.unwrap().status(), 204);
        let body = json!({ "username": "alice", "password": PASSWORD });
        let request = http.post(format!("{}/login", node.url)).json(&body);
        // Characters that are special in JSON and SQL.
        let request = request.header("user-agent", r#"It's "a\browser" $1 {}"#);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        let live = answer["access_token"].as_str().unwrap().to_owned();
        dead.push(login(&http, &node.url, "alice").await);
        let others = http.post(format!("{}/logout", node.url)).bearer_auth(&live);
        let others = others.json(&json!({ "scope": "others" })).send().await;
        assert_eq!(others.unwrap().status(), 204);
        accepts(&http, node, &live).await;
        node.terminate();
        let file = node.place.path().join("data/waxseal.db");
        let presented = "INSERT INTO assertion VALUES (zeroblob(32), 9), (randomblob(32), 10)";
        in_file(&file, presented).await;
        in_file(&file, "UPDATE session SET login_methods = 'otp pwd'").await;
        Self {
            nodes,
            live,
            dead,
            service,
            http,
        }
    }

    fn node(&self) -> &Arc<Node> {
        &self.nodes.0[0]
    }

    fn data(&self, name: &str) -> PathBuf {
        self.node().place.path().join("data").join(name)
    }

    fn migrate(&self, to: &str) -> Command {
        let mut command = self.node().command(&["migrate", "--json"]);
        command.env("WAXSEAL_DATABASE", to);
        command
    }

    fn run(&self, to: &str) -> Output {
        self.migrate(to).output().unwrap()
    }

    fn moved(&self, to: &str) -> Value {
        let output = self.run(to);
        assert!(output.status.success(), "{output:?}");
        parsed(std::str::from_utf8(&output.stdout).unwrap())
    }

    /// Asserts that the node serves on that database with all its state.
    async fn goes_on(&self, database: &str) {
        let node = self.node();
        let mut command = node.command(&["serve"]);
        command.env("WAXSEAL_DATABASE", database);
        let server = Server::start(command);
        let said = server.log();
        for word in ["older copy", "ended", "mark"] {
            assert!(!said.contains(word), "{said}");
        }
        accepts(&self.http, node, &self.live).await;
        for token in &self.dead {
            assert_eq!(verify(&self.http, &node.url, token).await, 401);
        }
        let [id, secret] = &self.service;
        let request = self.http.post(format!("{}/oauth/token", node.url));
        let request = request
            .basic_auth(id, Some(secret))
            .body("grant_type=client_credentials");
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        assert_eq!(request.send().await.unwrap().status(), 200);
        let another = login(&self.http, &node.url, "alice").await;
        let sessions = self.http.get(format!("{}/sessions", node.url));
        let sessions = sessions.bearer_auth(&another).send().await.unwrap();
        let sessions: Value = sessions.json().await.unwrap();
        let text = sessions.to_string();
        assert!(text.matches("\"created_at\"").count() >= 2, "{text}");
    }

    /// Asserts that the source is unchanged and the target is empty.
    async fn is_as_before(&self, postgres: &Postgres) {
        assert!(!self.data("waxseal.db.migrated").exists());
        for table in [
            "revocation",
            "\"user\"",
            "session",
            "client",
            "assertion",
            "mark",
        ] {
            let count = postgres.try_sql(&format!("SELECT count(*) FROM {table}"));
            // The target has no tables at all, unless they existed before.
            let none = count.as_ref().map_or_else(
                |cause| cause.contains("does not exist"),
                |count| count == "0",
            );
            assert!(none, "{table}: {count:?}");
        }
        self.goes_on("sqlite").await;
    }
}

/// Queries whose result must be equal on both engines.
const ROWS: [&str; 7] = [
    r#"SELECT seq, scope, key, "from", coalesce(spared, ''), expires_at, reason, at, coalesce(grace_until, -1), HEX(hash) FROM revocation ORDER BY seq"#,
    r#"SELECT id, username, password_hash, CASE WHEN enabled THEN 1 ELSE 0 END, created_at, version, newest_lineage, "from", coalesce(spared, '') FROM "user" ORDER BY id"#,
    r#"SELECT lineage, "user", auth_time, session_expiry, generation, renew_at, grace_until, idle_end, coalesce(address, ''), coalesce(browser, ''), login_methods FROM session ORDER BY lineage"#,
    r#"SELECT id, name, scopes, audiences, CASE WHEN enabled THEN 1 ELSE 0 END, created_at, coalesce(HEX(secret), ''), coalesce(HEX(former), ''), coalesce(keys, ''), version, newest, "from" FROM client ORDER BY id"#,
    "SELECT HEX(digest), expires_at FROM assertion ORDER BY expires_at",
    "SELECT seq, HEX(hash), compacted, horizon, newest_lineage, everything_from, everything_version, leeway, begun FROM head",
    "SELECT HEX(account), HEX(network) FROM login_network ORDER BY network",
];

fn at_server(sql: &str) -> String {
    ["hash", "secret", "former", "digest", "account", "network"]
        .iter()
        .fold(sql.to_owned(), |sql, column| {
            sql.replace(
                &format!("HEX({column})"),
                &format!("upper(encode({column}, 'hex'))"),
            )
        })
}

async fn in_file(path: &std::path::Path, sql: &str) -> String {
    use sqlx::{ConnectOptions, Connection, Row};
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut connection = options.connect().await.unwrap();
    let sql = sqlx::AssertSqlSafe(sql.to_owned());
    let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
    // Closing the connection writes to this file what would otherwise be missing in a copy.
    connection.close().await.unwrap();
    let cell = |row: &sqlx::sqlite::SqliteRow, column: usize| {
        let number = row
            .try_get::<i64, _>(column)
            .map(|number| number.to_string());
        number.unwrap_or_else(|_| row.get(column))
    };
    let line = |row: &sqlx::sqlite::SqliteRow| {
        let cells = (0..row.len()).map(|column| cell(row, column));
        cells.collect::<Vec<_>>().join("|")
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_moves_and_sessions_continue() {
    let postgres = Postgres::start();
    let here = Installation::new().await;
    let (file, aside) = (here.data("waxseal.db"), here.data("waxseal.db.migrated"));
    let mut rows = Vec::new();
    for sql in ROWS {
        rows.push(in_file(&file, sql).await);
    }
    let done = here.moved(&postgres.url());
    for (sql, rows) in ROWS.iter().zip(&rows) {
        assert_eq!(postgres.sql(&at_server(sql)), *rows, "{sql}");
    }
    assert!(
        rows[0].lines().count() >= 4 && rows[2].contains(r#"It's "a\browser" $1 {}"#),
        "{rows:?}"
    );
    assert!(!rows[6].is_empty(), "alice is known at a network");
    let seq: i64 = rows[5].split('|').next().unwrap().parse().unwrap();
    assert_eq!(
        (&done["seq"], &done["users"], &done["clients"]),
        (&seq.into(), &2.into(), &2.into())
    );
    assert_eq!(
        (&done["assertions"], &done["revocations"]),
        (&2.into(), &rows[0].lines().count().into())
    );
    assert!(!done.to_string().contains("open"), "no password: {done}");
    let left: Vec<_> = fs::read_dir(here.data(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        aside.exists() && left.len() == 2,
        "the file and the lock: {left:?}"
    );

    // Other nodes may drop the entries that prove that the log continues from this node's mark.
    assert_eq!(
        postgres.sql("SELECT seq, former_seq FROM mark"),
        format!("{seq}|{seq}")
    );
    here.goes_on(&postgres.url()).await;
    let revoked = {
        let mut command = here.node().command(&["revoke", "all", "--json"]);
        command.env("WAXSEAL_DATABASE", postgres.url());
        parsed(std::str::from_utf8(&command.output().unwrap().stdout).unwrap())
    };
    assert_eq!(revoked["seq"], seq + 1);
    // No command serves from or writes to the old file by mistake.
    for command in [
        &["user", "list"][..],
        &["user", "add", "carol"],
        &["revoke", "all"],
        &["keys", "list"],
        &["serve"],
    ] {
        let output = here
            .node()
            .command(command)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        refused(&output, 1, &["waxseal.db.migrated", "WAXSEAL_DATABASE"]);
    }
    refused(&here.run(&postgres.url()), 1, &["was moved"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_not_empty_is_refused() {
    let postgres = Postgres::start();
    let here = Installation::new().await;
    postgres
        .sql_as_owner("CREATE TABLE orders (id BIGINT)")
        .unwrap();
    refused(
        &here.run(&postgres.url()),
        1,
        &["not empty", "something else"],
    );
    postgres.sql("DROP TABLE orders");
    let other = Installation::new().await;
    // Reading the database creates its tables and leaves them empty.
    let mut look = other.node().command(&["user", "list"]);
    assert!(
        look.env("WAXSEAL_DATABASE", postgres.url())
            .output()
            .unwrap()
            .status
            .success()
    );
    other.moved(&postgres.url());
    let talk = refused(&here.run(&postgres.url()), 1, &["not empty", "users: 2"]);
    assert!(!talk.contains("open"), "no password: {talk}");
    here.goes_on("sqlite").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_server_and_bad_addresses_are_refused() {
    let postgres = Postgres::start();
    let here = Installation::new().await;
    here.node().start();
    refused(&here.run(&postgres.url()), 1, &["another server runs"]);
    here.node().terminate();
    let plain = |arguments: &[&str]| here.node().command(arguments).output().unwrap();
    refused(&plain(&["migrate"]), 2, &["WAXSEAL_DATABASE", "--to"]);
    let talk = refused(
        &plain(&["migrate", "--to", "mysql://u:secret@h/d"]),
        2,
        &["--to"],
    );
    assert!(!talk.contains("secret"), "{talk}");
    refused(
        &here.run(&postgres.url_with_password("wrong")),
        1,
        &["password"],
    );
    let mut elsewhere = here.migrate(&postgres.url());
    let output = elsewhere.args(["--data-dir", "nowhere"]).output().unwrap();
    refused(&output, 1, &["no database", "nowhere"]);
    here.is_as_before(&postgres).await;
}

/// A restored older copy must not become the newest state by a migration.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_copy_is_refused() {
    let postgres = Postgres::start();
    let here = Installation::new().await;
    fs::copy(here.data("waxseal.db"), here.data("copy")).unwrap();
    here.node().ok(&["revoke", "all"], "");
    fs::rename(here.data("copy"), here.data("waxseal.db")).unwrap();
    for beside in ["waxseal.db-wal", "waxseal.db-shm"] {
        // These files belong to the previous database, and exist if it was not closed.
        let _ = fs::remove_file(here.data(beside));
    }
    refused(
        &here.run(&postgres.url()),
        1,
        &["older copy", "waxseal restored"],
    );
    assert!(postgres.sql_as_owner("SELECT count(*) FROM head").is_err());
}

/// Waits until the copy is half done and blocked by a lock.
fn is_held_up(postgres: &Postgres) {
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'waxseal' AND wait_event_type = 'Lock' AND query LIKE 'INSERT INTO client%'";
    for _ in 0..3000 {
        if postgres.sql(waits) == "1" {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it never came to the clients");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_in_the_middle_leaves_both_sides_as_they_were() {
    let postgres = Postgres::start();
    let here = Installation::new().await;
    let mut look = here.node().command(&["user", "list"]);
    assert!(
        look.env("WAXSEAL_DATABASE", postgres.url())
            .output()
            .unwrap()
            .status
            .success()
    );
    for fault in ["killed", "cut", "late"] {
        std::thread::scope(|scope| {
            let lock = "BEGIN; LOCK TABLE client IN SHARE MODE; SELECT pg_sleep(600);";
            scope.spawn(|| postgres.try_sql(lock));
            let locked = "SELECT count(*) FROM pg_locks WHERE mode = 'ShareLock' AND relation = 'client'::regclass";
            while postgres.sql(locked) == "0" {
                std::thread::sleep(Duration::from_millis(10));
            }
            let mut command = here.migrate(&postgres.url());
            command.stdout(Stdio::null()).stderr(Stdio::piped());
            let mut child = command.spawn().unwrap();
            is_held_up(&postgres);
            match fault {
                "killed" => child.kill().unwrap(),
                "cut" => postgres.end_connections(),
                _ => {}
            }
            let output = child.wait_with_output().unwrap();
            assert!(!output.status.success(), "{fault}: {output:?}");
            if fault != "killed" {
                refused(&output, 1, &["copy the database"]);
            }
            postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()");
        });
        here.is_as_before(&postgres).await;
    }
    here.moved(&postgres.url());
    here.goes_on(&postgres.url()).await;
}

/// The copy is committed, and the process dies before it renames the file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_move_is_finished_by_another_run() {
    let postgres = Postgres::start();
    let here = Installation::new().await;
    let (file, aside) = (here.data("waxseal.db"), here.data("waxseal.db.migrated"));
    fs::copy(&file, here.data("copy")).unwrap();
    here.moved(&postgres.url());
    fs::remove_file(&aside).unwrap();
    fs::copy(here.data("copy"), &file).unwrap();
    here.moved(&postgres.url());
    assert!(aside.exists() && !file.exists());
    // The file is closed and not yet renamed: a process that opens it still writes nothing.
    fs::rename(&aside, &file).unwrap();
    let output = here.node().command(&["user", "disable", "alice"]).output();
    refused(&output.unwrap(), 1, &["moved to PostgreSQL"]);
    here.moved(&postgres.url());
    assert!(aside.exists() && !file.exists());
    here.goes_on(&postgres.url()).await;
    // The old installation ran on in between, so it is undecidable which of the two counts.
    fs::remove_file(&aside).unwrap();
    fs::rename(here.data("copy"), &file).unwrap();
    refused(&here.run(&postgres.url()), 1, &["older copy"]);
    fs::remove_dir_all(here.node().place.path().join("mark")).unwrap();
    here.node()
        .ok(&["user", "passwd", "alice", "--password-stdin"], PASSWORD);
    refused(&here.run(&postgres.url()), 1, &["not empty"]);
}
