//! Cases that apply only to a server: many clients, wrong settings, a standby, an open transaction.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection, PgConnection};
use waxseal::id::NodeId;
use waxseal::report::report;
use waxseal::revocation::Reason;
use waxseal::revocation::log::{Cursor, LogReader, RevocationLog, Revoke};
use waxseal::revocation::register::{Node, Register};
use waxseal::store::sql::{PostgresUrl, SqlStore};

use super::common::postgres::{Postgres, ROLE};
use super::fixture::Fixture;
use super::fixture::START;

async fn refused(server: &Postgres) -> String {
    let refused = SqlStore::connect(&server.url().parse().unwrap(), None, None).await;
    report(&refused.unwrap_err()).to_string()
}

#[tokio::test]
async fn one_of_five_concurrent_starts_creates_the_schema() {
    let server = Postgres::start();
    let url: PostgresUrl = server.url().parse().unwrap();
    let start = async || {
        let store = SqlStore::connect(&url, None, None).await.unwrap();
        store.read(0, 1).await.unwrap().head.cursor
    };
    let cursors = tokio::join!(start(), start(), start(), start(), start());
    assert_eq!(<[Cursor; 5]>::from(cursors), [Cursor::START; 5]);
    let made = server.sql(
        "SELECT string_agg(version || ' ' || success, ',' ORDER BY version) FROM _sqlx_migrations",
    );
    assert_eq!(made, "1 true,2 true,3 true,4 true,5 true,6 true");
    assert_eq!(server.sql("SELECT count(*) FROM head"), "1");
}

#[tokio::test]
async fn a_server_that_would_lose_commits_is_refused() {
    let server = Postgres::start();
    for setting in ["fsync", "full_page_writes"] {
        let set = |value: &str| {
            server.sql(&format!("ALTER SYSTEM SET {setting} = {value}"));
            // A new connection gets the settings with which the server was started.
            server.stop();
            server.start_again();
        };
        set("off");
        let why = refused(&server).await;
        assert!(
            why.contains("fsync and full_page_writes must be on"),
            "{why}"
        );
        set("on");
    }
    let tables = "SELECT count(*) FROM pg_class WHERE relname = 'head'";
    assert_eq!(server.sql(tables), "0", "nothing was made in it");
    Fixture::on_server(Arc::new(server)).look().await;
}

#[tokio::test]
async fn a_database_of_another_encoding_is_refused() {
    let server = Postgres::start();
    server.sql(&format!(
        "\\c postgres\nDROP DATABASE {ROLE};\nCREATE DATABASE {ROLE} OWNER {ROLE} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;"
    ));
    let why = refused(&server).await;
    assert!(why.contains("encoding must be UTF8"), "{why}");
}

#[tokio::test]
async fn a_standby_or_a_read_only_server_is_refused() {
    let server = Postgres::start();
    let why = refused(&server.standby()).await;
    assert!(
        why.contains("give the address of the writable primary"),
        "{why}"
    );
    server.read_only(true);
    let why = refused(&server).await;
    assert!(
        why.contains("give the address of the writable primary"),
        "{why}"
    );
    server.read_only(false);
    let fixture = Fixture::on_server(Arc::new(server));
    let store = fixture.node("a").await;
    // A server that becomes read-only while in use accepts nothing.
    let server = fixture.server().unwrap();
    server.read_only(true);
    let written = store
        .revoke(Revoke::Everything, Reason::Operator, START)
        .await;
    let why = report(&written.unwrap_err()).to_string();
    let passing = "terminating connection";
    let why = if why.contains(passing) {
        let again = store
            .revoke(Revoke::Everything, Reason::Operator, START)
            .await;
        report(&again.unwrap_err()).to_string()
    } else {
        why
    };
    assert!(
        why.contains("read-only: give the address of the writable primary"),
        "{why}"
    );
}

#[tokio::test]
async fn a_wrong_database_address_is_explained() {
    let server = Postgres::start();
    let connect = async |url: &str| {
        let refused = SqlStore::connect(&url.parse().unwrap(), None, None).await;
        report(&refused.unwrap_err()).to_string()
    };
    let why = connect(&server.url_with_password("wrong")).await;
    assert!(why.contains("check the user and the password"), "{why}");
    assert!(!why.contains("wrong"), "{why}");
    let other = server.url().replace(&format!("/{ROLE}"), "/another");
    let why = connect(&other).await;
    // PostgreSQL does not reveal to an unauthorized user whether the database exists.
    assert!(
        why.contains("check the user") || why.contains("make the database"),
        "{why}"
    );
}

#[tokio::test]
async fn a_write_at_one_node_notifies_another() {
    let fixture = Fixture::postgres();
    let (a, b) = (fixture.node("a").await, fixture.node("b").await);
    let mut bell = b.bell();
    // The node listens as soon as it can, and gives no signal when it does.
    let rung = async {
        loop {
            a.revoke(Revoke::Everything, Reason::Operator, START)
                .await
                .unwrap();
            if tokio::time::timeout(Duration::from_millis(100), bell.changed())
                .await
                .is_ok()
            {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), rung)
        .await
        .unwrap();
}

/// The order on which fences rely: a node's entry is committed before it reads the head.
#[tokio::test]
async fn a_node_is_entered_and_that_is_committed_before_it_reads_the_head() {
    let fixture = Fixture::alone();
    let store = fixture.node("a").await;
    let mut operator = PgConnection::connect(&fixture.url()).await.unwrap();
    let mut holds = operator.begin().await.unwrap();
    let lock = sqlx::query("LOCK TABLE head IN ACCESS EXCLUSIVE MODE");
    lock.execute(&mut *holds).await.unwrap();
    let node = Node {
        id: NodeId::new(START, &fixture.random()),
        name: "here".to_owned(),
        beat: 1,
        applied: Cursor::START,
        bound: Duration::from_secs(2),
    };
    let attending = tokio::spawn(async move { store.attend(&node, 1).await });
    let entered = || fixture.ask("SELECT count(*) FROM node") == "1";
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%FROM head%'";
    let mut seen = false;
    for _ in 0..300 {
        seen = entered() && fixture.ask(waits) == "1";
        if seen || attending.is_finished() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(seen, "others see it while it still waits for the head");
    holds.commit().await.unwrap();
    attending.await.unwrap().unwrap();
}
