//! `waxseal migrate` moves a long log page by page.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection, Row};
use waxseal::id::Lineage;
use waxseal::random::SeededRandom;
use waxseal::revocation::{ALL, Reason, Revocation, Target};
use waxseal::time::{Clock, SystemClock};

use super::super::common::postgres::Postgres;
use super::super::nodes::Nodes;
use super::{parsed, users};

/// More than one page of each table. `MOVE_ENTRIES=1000000` gives a figure.
fn entries() -> i64 {
    let wanted = std::env::var("MOVE_ENTRIES").ok();
    wanted.map_or(5001, |text| text.parse().unwrap())
}

/// Adds entries to the log as the service would, with gaps where it was compacted, and rows in the other tables.
async fn fill(file: &Path, entries: i64) -> i64 {
    let options = SqliteConnectOptions::new().filename(file);
    let mut connection = options.connect().await.unwrap();
    let db = &mut connection;
    sqlx::query("BEGIN").execute(&mut *db).await.unwrap();
    let head = sqlx::query("SELECT seq, hash FROM head");
    let head = head.fetch_one(&mut *db).await.unwrap();
    let (first, mut hash): (i64, [u8; 32]) =
        (head.get(0), head.get::<Vec<u8>, _>(1).try_into().unwrap());
    let (now, random) = (SystemClock.now(), SeededRandom::new(7));
    for seq in first + 1..=first + entries {
        let revocation = Revocation {
            seq,
            target: Target::Session(Lineage::new(now, &random)),
            from: if seq % 3 == 0 { 2 } else { ALL },
            grace_until: (seq % 3 == 0).then(|| now.plus(Duration::from_secs(30))),
            spared: (seq % 5 == 0).then(|| Lineage::new(now, &random)),
            expires_at: now.plus(Duration::from_secs(86_400)),
            reason: Reason::Logout,
            at: now,
        };
        hash = revocation.chain(&hash);
        append(db, &revocation, &hash).await;
    }
    let last = first + entries;
    let (half, set) = (
        first + entries / 2,
        "UPDATE head SET seq = $1, hash = $2, compacted = $3",
    );
    let set = sqlx::query(set).bind(last).bind(hash.to_vec()).bind(half);
    set.execute(&mut *db).await.unwrap();
    let holes = sqlx::query("DELETE FROM revocation WHERE seq % 7 = 0 AND seq > $1 AND seq <= $2");
    holes
        .bind(first + 1)
        .bind(half)
        .execute(&mut *db)
        .await
        .unwrap();
    for rows in [
        "INSERT INTO session SELECT hex(randomblob(16)), 'somebody', seq, seq, 1, seq, 0, seq, NULL, NULL, 0, 'pwd' FROM revocation LIMIT 4001",
        "INSERT INTO client SELECT 'client-01a20636-65df-7d0c-a454-' || printf('%012x', seq), 'client-' || seq, '', '', 1, seq, NULL, NULL, NULL, 0, 0, 0 FROM revocation LIMIT 129",
        "INSERT INTO assertion SELECT randomblob(32), seq FROM revocation LIMIT 2000",
    ] {
        sqlx::query(rows).execute(&mut *db).await.unwrap();
    }
    sqlx::query("COMMIT").execute(db).await.unwrap();
    connection.close().await.unwrap();
    last
}

async fn append(db: &mut SqliteConnection, revocation: &Revocation, hash: &[u8]) {
    let sql = "INSERT INTO revocation VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    let query = sqlx::query(sql)
        .bind(revocation.seq)
        .bind(revocation.target.kind().name())
        .bind(revocation.target.key())
        .bind(revocation.from)
        .bind(revocation.spared.map(|lineage| lineage.to_string()))
        .bind(revocation.expires_at.millis())
        .bind(revocation.reason.name())
        .bind(revocation.at.millis())
        .bind(hash.to_vec())
        .bind(revocation.grace_until.map(|until| until.millis()));
    query.execute(db).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_log_moves_page_by_page() {
    let postgres = Postgres::start();
    let nodes = Nodes::prepare(&["sqlite".to_owned()], &[], &users());
    let node = &nodes.0[0];
    let file = node.place.path().join("data/waxseal.db");
    let last = fill(&file, entries()).await;
    let mut command = node.command(&["migrate", "--json"]);
    command.env("WAXSEAL_DATABASE", postgres.url());
    command.stdout(Stdio::piped());
    let began = SystemClock.uptime();
    let mut child = command.spawn().unwrap();
    let mut most = String::new();
    while child.try_wait().unwrap().is_none() {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmHWM"));
        most = line.map_or(most, str::to_owned);
        std::thread::sleep(Duration::from_millis(5));
    }
    let took = SystemClock.uptime() - began;
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let done = parsed(std::str::from_utf8(&output.stdout).unwrap());
    println!("{} entries: {took:?}, {most}", entries());
    assert_eq!(done["seq"], last);
    let count = |table: &str| postgres.sql(&format!("SELECT count(*) FROM {table}"));
    assert_eq!(count("revocation"), done["revocations"].to_string());
    let [sessions, clients, assertions] = ["session", "client", "assertion"].map(count);
    assert_eq!(
        (&*sessions, &*clients, &*assertions),
        ("4001", "129", "2000")
    );

    // The node reads the whole log and checks its hashes.
    let mut command = node.command(&["revoke", "all", "--json"]);
    command.env("WAXSEAL_DATABASE", postgres.url());
    let output = command.output().unwrap();
    let done = parsed(std::str::from_utf8(&output.stdout).unwrap());
    assert_eq!(done["seq"], last + 1, "{output:?}");
    let mut command = node.command(&["serve"]);
    command.env("WAXSEAL_DATABASE", postgres.url());
    super::super::common::Server::start(command);
}
