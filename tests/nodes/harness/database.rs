//! Each fault of a database, as a client sees it.

use std::time::Duration;

use super::super::common::postgres::crowd::Refused;
use super::super::common::postgres::disk::Part;
use super::super::common::postgres::{Postgres, ROLE};
use super::super::common::wire::Wire;

const PATIENCE: Duration = Duration::from_secs(30);
/// The timeout for a server that is known to hang. No result depends on its length.
const SHORT: Duration = Duration::from_millis(200);

fn with_table() -> Postgres {
    let database = Postgres::start();
    let made = database.sql_as_owner("CREATE TABLE rows (x bigint)");
    made.unwrap();
    database
}

fn add(database: &Postgres, x: i64) -> Result<String, String> {
    database.sql_as_owner(&format!("INSERT INTO rows VALUES ({x})"))
}

fn rows(database: &Postgres) -> String {
    database.sql("SELECT string_agg(x::text, ' ' ORDER BY x) FROM rows")
}

#[test]
fn a_new_server_is_empty_safe_and_its_owners() {
    let (database, other) = (Postgres::start(), Postgres::start());
    assert_ne!(database.port(), other.port());
    for (setting, value) in [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
    ] {
        assert_eq!(
            database.sql_as_owner(&format!("SHOW {setting}")).unwrap(),
            value
        );
    }
    let tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    assert_eq!(database.sql_as_owner(tables).unwrap(), "0");
    let owner = "SELECT datdba::regrole || ' ' || (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) FROM pg_database WHERE datname = current_database()";
    assert_eq!(
        database.sql_as_owner(owner).unwrap(),
        format!("{ROLE} false")
    );
}

#[test]
fn its_url_needs_the_password() {
    let database = Postgres::start();
    let psql = |url: &str| {
        let mut command = std::process::Command::new("psql");
        command.args(["-X", "-A", "-t", "-w", "-c", "SELECT current_user", url]);
        command.env_remove("PGPASSWORD").output().unwrap()
    };
    let output = psql(&database.url());
    assert_eq!(output.stdout, b"waxseal\n", "{output:?}");
    let wrong = psql(&database.url_with_password("wrong"));
    assert!(!wrong.status.success());
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("password authentication failed"));
}

#[test]
fn committed_rows_survive_a_kill_and_a_stop() {
    let database = with_table();
    add(&database, 1).unwrap();
    database.kill();
    assert!(!database.is_running());
    assert!(
        add(&database, 2)
            .unwrap_err()
            .contains("Connection refused")
    );
    database.start_again();
    assert!(database.log().contains("automatic recovery in progress"));
    add(&database, 3).unwrap();
    database.stop();
    assert!(!database.is_running());
    database.start_again();
    assert_eq!(rows(&database), "1 3");
}

#[test]
fn a_paused_server_answers_nothing_and_loses_nothing() {
    let database = with_table();
    let mut open = database.connect(PATIENCE).unwrap();
    database.pause();
    match database.connect(SHORT) {
        Err(Refused::Broken(cause)) => {
            assert_eq!(cause.kind(), std::io::ErrorKind::WouldBlock, "{cause}");
        }
        other => panic!("{other:?}"),
    }
    // The end of its input closes the connection, once the server reads it.
    open.shutdown(std::net::Shutdown::Write).unwrap();
    open.set_read_timeout(Some(SHORT)).unwrap();
    let read = std::io::Read::read(&mut open, &mut [0]);
    assert_eq!(read.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    database.resume();
    open.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(std::io::Read::read(&mut open, &mut [0]).unwrap(), 0);
    add(&database, 1).unwrap();
    database.pause();
    database.stop();
}

#[test]
fn a_read_only_server_refuses_writes_alone() {
    let database = with_table();
    add(&database, 1).unwrap();
    database.read_only(true);
    let refused = add(&database, 2).unwrap_err();
    assert!(refused.contains("read-only transaction"), "{refused}");
    assert_eq!(rows(&database), "1");
    database.read_only(false);
    add(&database, 3).unwrap();
}

#[test]
fn a_server_without_free_connections_refuses_new_ones() {
    let database = with_table();
    let crowd = database.take_all_connections();
    assert!(crowd.len() > 10, "{}", crowd.len());
    let refused = add(&database, 1).unwrap_err();
    assert!(
        refused.contains("connection slots are reserved") || refused.contains("too many clients"),
        "{refused}"
    );
    assert_eq!(database.sql("SELECT 1"), "1", "an operator can look");
    drop(crowd);
    let mut added = false;
    for _ in 0..1000 {
        added = add(&database, 2).is_ok();
        if added {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(added, "there is room again");
}

#[test]
fn an_owner_without_room_gets_no_connection() {
    let database = with_table();
    database.take_room_of_owner(true);
    let refused = add(&database, 1).unwrap_err();
    assert!(refused.contains("too many connections"), "{refused}");
    assert_eq!(database.sql("SELECT 1"), "1", "an operator can look");
    database.take_room_of_owner(false);
    add(&database, 2).unwrap();
    assert_eq!(rows(&database), "2");
}

#[test]
fn a_standby_that_lagged_has_lost_the_last_commits() {
    let database = with_table();
    let standby = database.standby();
    add(&database, 1).unwrap();
    database.is_followed_by(&standby);
    assert_eq!(rows(&standby), "1");
    let refused = add(&standby, 2).unwrap_err();
    assert!(refused.contains("read-only transaction"), "{refused}");
    standby.stop_following();
    add(&database, 3).unwrap();
    database.kill();
    standby.promote();
    add(&standby, 4).unwrap();
    assert_eq!(rows(&standby), "1 4");
}

#[test]
fn a_standby_that_commits_wait_for_has_them_all() {
    let database = with_table();
    let standby = database.standby();
    database.wait_for_standby(true);
    for x in 0..20 {
        add(&database, x).unwrap();
    }
    let written = rows(&database);
    standby.pause();
    std::thread::scope(|scope| {
        let late = scope.spawn(|| add(&database, 20));
        std::thread::sleep(SHORT);
        assert!(!late.is_finished(), "nobody says that it is committed");
        assert_eq!(rows(&database), written);
        database.kill();
        assert!(late.join().unwrap().is_err());
    });
    standby.resume();
    standby.promote();
    let kept = rows(&standby);
    assert!(kept.starts_with(&written), "{kept}");
}

#[test]
fn a_full_disk_of_tables_fails_what_needs_it() {
    let Some(database) = Postgres::start_on_small_disks() else {
        return;
    };
    database
        .sql_as_owner("CREATE TABLE rows (x bigint)")
        .unwrap();
    add(&database, 1).unwrap();
    database.fill(Part::Tables);
    let many = "INSERT INTO rows SELECT generate_series(100, 100000)";
    let refused = database.sql_as_owner(many).unwrap_err();
    assert!(refused.contains("No space left on device"), "{refused}");
    assert!(database.is_running());
    assert_eq!(rows(&database), "1");
    database.make_room(Part::Tables);
    add(&database, 2).unwrap();
    assert_eq!(rows(&database), "1 2");
}

#[test]
fn a_full_disk_of_the_log_ends_the_server() {
    let Some(database) = Postgres::start_on_small_disks() else {
        return;
    };
    database
        .sql_as_owner("CREATE TABLE rows (x bigint)")
        .unwrap();
    add(&database, 1).unwrap();
    database.fill(Part::Log);
    let mut last = 1;
    let many =
        |last: i64| format!("INSERT INTO rows SELECT generate_series({last}, {last} + 9999)");
    for _ in 0..1000 {
        if database.sql_as_owner(&many(last * 10_000)).is_err() {
            break;
        }
        last += 1;
    }
    let mut ended = false;
    for _ in 0..1000 {
        ended = !database.is_running();
        if ended {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(ended, "{}", database.log());
    assert!(database.log().contains("No space left on device"));
    database.make_room(Part::Log);
    database.stop();
    database.start_again();
    let kept = database.sql("SELECT count(*) FROM rows");
    assert_eq!(
        kept,
        (1 + (last - 1) * 10_000).to_string(),
        "what was committed"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_can_be_reached_through_a_wire() {
    let database = Postgres::start();
    let wire = Wire::to_port(database.port()).await;
    let url = database.url_through(&wire);
    let output = tokio::process::Command::new("psql")
        .args(["-X", "-A", "-t", "-w", "-c", "SELECT 7", &url])
        .output()
        .await
        .unwrap();
    assert_eq!(output.stdout, b"7\n", "{output:?}");
    assert_eq!(wire.connections(), 1);
}
