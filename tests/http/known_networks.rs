//! A user at a known network has limits that nobody else can use up; a restart keeps them.

use std::time::Duration;

use sqlx::{Connection, SqliteConnection};

use waxseal::account::UserChange;

use super::browser::request;
use super::common::{PASSWORD, TestServer};
use super::limits::{attempt, from, limited, try_from, wait};
use super::password::{NEW, change};

const SECOND: Duration = Duration::from_secs(1);

/// Before and after a restart, which clears the process's memory.
#[tokio::test]
async fn failures_at_unknown_names_do_not_block_the_known_user_of_an_address() {
    let mut server = limited().await;
    let office = "198.51.100.1";
    let login = async |server: &TestServer| {
        let login = attempt("alice", PASSWORD);
        server.send(from(office, login)).await.status
    };
    assert_eq!(login(&server).await, 200);
    for restarted in [false, true] {
        if restarted {
            server = server.restart(|_| {}).await;
        }
        let mut refused = 0;
        for n in 0..40 {
            let answer = try_from(&server, office, &format!("nobody{n}")).await;
            refused += usize::from(answer.status == 429);
            if n % 2 == 0 {
                assert_eq!(login(&server).await, 200, "{n}, restarted: {restarted}");
            }
            server.pass(SECOND / 2).await;
        }
        assert!(refused >= 10, "{refused}");
        // A user who is not known there shares the neighbour's limit.
        while try_from(&server, office, "nobody").await.status == 401 {}
        let other = try_from(&server, office, "bob").await;
        wait(&other, "address", 20, 60);
    }
}

/// A clean restart keeps both the account's slowdown and its known networks.
#[tokio::test]
async fn a_restart_keeps_known_networks_and_waits() {
    let server = limited().await;
    let home = async |server: &TestServer| {
        let login = attempt("alice", PASSWORD);
        server.send(from("198.51.100.1", login)).await.status
    };
    assert_eq!(home(&server).await, 200);
    for n in 0..15 {
        let peer = format!("203.0.113.{n}");
        while try_from(&server, &peer, "alice").await.status == 429 {
            server.pass(SECOND).await;
        }
    }
    server.pass(100 * SECOND).await;
    let refused = try_from(&server, "203.0.113.99", "alice").await;
    assert_eq!(wait(&refused, "account", 1, 192), 92);
    server.waxseal.leave().await;
    let server = server.restart(|_| {}).await;
    let refused = try_from(&server, "203.0.113.99", "alice").await;
    assert_eq!(wait(&refused, "account", 1, 192), 92);
    assert_eq!(home(&server).await, 200);
    // A network stays known for 90 days after the last login from it; an account keeps 32 networks.
    for n in 0..40 {
        server.pass(Duration::from_secs(900)).await;
        let login = from(&format!("192.0.2.{n}"), attempt("alice", PASSWORD));
        assert_eq!(server.send(login).await.status, 200, "{n}");
    }
    assert_eq!(known(&server).await, 32);
    for (days, kept) in [(89, 32), (2, 0)] {
        server.pass(Duration::from_secs(days * 86_400)).await;
        server.waxseal.leave().await;
        assert_eq!(known(&server).await, kept);
    }
}

/// Somebody else may have logged in with the old password. Only the network of the password change stays known.
#[tokio::test]
async fn a_new_password_clears_the_known_networks() {
    let server = limited().await;
    let token = async |peer: &str| {
        let login = attempt("alice", PASSWORD);
        let answer = server.send(from(peer, login)).await.json();
        answer["access_token"].as_str().unwrap().to_owned()
    };
    for peer in ["203.0.113.7", "203.0.113.8"] {
        token(peer).await;
    }
    let home = token("198.51.100.1").await;
    assert_eq!(known(&server).await, 3);
    let bearer = [("authorization", format!("Bearer {home}"))];
    let change = request("POST", "/password", bearer, &change(PASSWORD, NEW));
    let changed = server.send(from("198.51.100.1", change)).await;
    assert_eq!(changed.status, 200);
    assert_eq!(known(&server).await, 1);
    let accounts = server.waxseal.accounts();
    let alice = accounts.user(&"alice".parse().unwrap()).await;
    let alice = alice.unwrap().unwrap();
    server.change_user(alice.id, UserChange::Delete).await;
    assert_eq!(known(&server).await, 0);
}

/// Returns the number of stored networks.
async fn known(server: &TestServer) -> i64 {
    let file = server.settings.data_dir.join("waxseal.db");
    let url = format!("sqlite:{}", file.display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    let count = sqlx::query_scalar("SELECT count(*) FROM login_network");
    count.fetch_one(&mut connection).await.unwrap()
}
