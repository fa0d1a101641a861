//! Promise 4, when an older copy of the database is put back while the service is stopped: the mark shows it, nothing
//! starts, and `waxseal restored` ends everything from before.

use std::fs;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use waxseal::embedded::open_or_make_store;
use waxseal::revocation::Reason;
use waxseal::revocation::log::{RevocationLog, Revoke};
use waxseal::time::{Clock, SystemClock, Timestamp};

use super::common::{ISSUER, Place, Server, campaign, program};
use super::durable::{Pool, all_refused, log_out_until_it_breaks, place, under_way};
use super::mark::{mark_of, settings_of};
use super::token_forge::{TestRng, TokenForge};

pub const SERVE: [&str; 5] = ["serve", "--listen", "127.0.0.1:0", "--issuer", ISSUER];

/// Copies a folder of the place over another one.
pub fn copy(place: &Place, from: &str, to: &str) {
    let done = Command::new("sh")
        .args(["-c", r#"rm -rf "$2" && cp -a "$1" "$2""#, "sh", from, to])
        .current_dir(place.path())
        .status();
    assert!(done.unwrap().success());
}

/// Asserts that a command is refused, and returns its message. Kills a command that keeps running.
pub fn refused(place: &Place, arguments: &[&str]) -> String {
    let mut child = program()
        .args(arguments)
        .current_dir(place.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    for _ in 0..1000 {
        if child.try_wait().unwrap().is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    // In case it runs after all.
    let _ = child.kill();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
    assert_eq!(output.stdout, b"", "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// Asserts that nothing that writes starts, and that each message says what happened and what to do.
fn all_is_refused(place: &Place) {
    let before = fs::read(place.path().join("mark/mark")).unwrap();
    for arguments in [
        &SERVE[..],
        &["revoke", "all"],
        &["revoke", "user", "alice"],
        &["user", "add", "bob"],
        &["user", "disable", "alice"],
        &["client", "add", "stock"],
        &["client", "disable", "billing"],
    ] {
        let said = refused(place, arguments);
        for words in [
            "an older copy of the database was put back",
            "waxseal restored",
        ] {
            assert!(said.contains(words), "{arguments:?}: {said}");
        }
    }
    for arguments in [
        &["user", "list"][..],
        &["client", "list"],
        &["keys", "list"],
    ] {
        place.ok(arguments, "");
    }
    let after = fs::read(place.path().join("mark/mark")).unwrap();
    assert_eq!(before, after, "and the mark stays");
}

/// What the restored place knows of tokens.
struct Before {
    place: Place,
    client: Client,
    /// Tokens of sessions that were logged out before the copy, after it, or not at all.
    tokens: Vec<String>,
    service: String,
}

impl Before {
    /// Makes a copy, logs out `lost` sessions, and puts the copy back.
    async fn with_lost(lost: usize) -> Self {
        let (place, client) = (place(), Client::new());
        let billing = place.ok(&["client", "add", "billing", "--json"], "");
        let billing: Value = serde_json::from_str(&billing).unwrap();
        let mut server = place.serve();
        let mut tokens = Vec::new();
        for _ in 0..3 + lost {
            tokens.push(server.login(&client, "alice").await);
        }
        let service = client
            .post(format!("{}/oauth/token", server.url))
            .basic_auth(
                billing["client_id"].as_str().unwrap(),
                billing["client_secret"].as_str(),
            )
            .header("content-type", "application/x-www-form-urlencoded")
            .body("grant_type=client_credentials");
        let service: Value = service.send().await.unwrap().json().await.unwrap();
        let service = service["access_token"].as_str().unwrap().to_owned();
        assert_eq!(server.logout(&client, &tokens[0]).await.unwrap(), 204);
        assert!(server.terminate().success());
        copy(&place, "data", "older");

        let mut server = place.serve();
        for token in &tokens[1..=lost] {
            assert_eq!(server.logout(&client, token).await.unwrap(), 204);
        }
        tokens.push(server.login(&client, "alice").await);
        assert!(server.terminate().success());
        copy(&place, "older", "data");
        Self {
            place,
            client,
            tokens,
            service,
        }
    }

    fn restored(&self) -> Value {
        serde_json::from_str(&self.place.ok(&["restored", "--json"], "")).unwrap()
    }

    /// Asserts that every earlier token is refused, and that the service works, also after a restart.
    async fn all_is_over(&self) {
        let said = self.place.run(&["token", "verify"], &self.service);
        assert_eq!(said.status.code(), Some(1), "{said:?}");
        let mut dead = self.tokens.clone();
        for _ in 0..2 {
            let mut server = self.place.serve();
            let (live, ended) = (
                server.login(&self.client, "alice").await,
                server.login(&self.client, "alice").await,
            );
            assert_eq!(server.logout(&self.client, &ended).await.unwrap(), 204);
            dead.push(ended);
            for token in &dead {
                assert_eq!(server.verify(&self.client, token).await, 401);
            }
            assert_eq!(server.verify(&self.client, &live).await, 200);
            assert!(server.terminate().success());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_copy_is_refused_until_an_operator_accepts_it() {
    let before = Before::with_lost(3).await;
    let place = &before.place;
    all_is_refused(place);
    let mark = mark_of(place);
    let said = before.restored();
    assert_eq!((&said["seq"], &said["marked_seq"]), (&json!(2), &json!(5)));
    assert_eq!(said["unknown_until"], json!(mark.written_at));
    let from = said["unknown_from"].as_str().unwrap();
    let from = Timestamp::parse_rfc3339(from).unwrap();
    assert!(from < mark.written_at, "{from}");
    for (list, words) in [
        ("as_in_the_copy", "passwords"),
        ("check", "waxseal user list"),
    ] {
        let list = said[list].as_array().unwrap();
        assert!(list.contains(&words.into()), "{list:?}");
    }
    let log = mark_of(place);
    let again = refused(place, &["restored"]);
    assert!(again.contains("nothing was changed"), "{again}");
    assert_eq!(mark_of(place), log, "once it is done, it is done");
    before.all_is_over().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_copy_that_lacks_only_logins_is_refused() {
    let before = Before::with_lost(0).await;
    all_is_refused(&before.place);
    let people = before.place.ok(&["restored"], "");
    for words in ["is ended", "cannot be known", "waxseal client list"] {
        assert!(people.contains(words), "{people}");
    }
    before.all_is_over().await;
}

/// Written by a version without marks, or with another mark: the `seq` alone would not reveal it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_copy_that_has_grown_again_is_refused() {
    const LOST: usize = 3;
    for grown in [1, LOST, LOST + 1, LOST + 4] {
        let before = Before::with_lost(LOST).await;
        for _ in 0..grown {
            let revoke = ["revoke", "user", "alice", "--mark-dir", "another"];
            before.place.ok(&revoke, "");
        }
        // A login does not make it newer either.
        let server = Server::start({
            let mut command = program();
            command
                .args(SERVE)
                .args(["--mark-dir", "another"])
                .current_dir(before.place.path());
            command
        });
        server.login(&before.client, "alice").await;
        drop(server);
        all_is_refused(&before.place);
        let said = before.restored();
        assert_eq!(said["seq"], json!(2 + grown));
        before.all_is_over().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restored_can_be_repeated_after_a_crash() {
    let before = Before::with_lost(3).await;
    copy(&before.place, "mark", "older mark");
    before.restored();
    // As after a kill between the log and the mark.
    copy(&before.place, "older mark", "mark");
    all_is_refused(&before.place);
    assert_eq!(before.restored()["marked_seq"], json!(5));
    before.all_is_over().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restored_may_be_killed_at_any_time() {
    let (rng, _) = TestRng::new();
    let before = Before::with_lost(3).await;
    copy(&before.place, "mark", "marked");
    let (mut cut_short, mut again) = (0, 0);
    for _ in 0..12 {
        copy(&before.place, "older", "data");
        copy(&before.place, "marked", "mark");
        let mut child = program()
            .arg("restored")
            .current_dir(before.place.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(rng.below(40_000) as u64));
        child.kill().unwrap();
        cut_short += usize::from(child.wait().unwrap().code().is_none());
        let output = before.place.run(&["restored"], "");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        again += usize::from(output.status.success());
        assert!(
            output.status.success() || said.contains("nothing was changed"),
            "{output:?}"
        );
        before.all_is_over().await;
    }
    println!("of 12 {cut_short} were cut short, and {again} were done again");
    assert!(cut_short > 0);
}

/// The limit of what a mark can show, as the docs say.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_copy_with_its_own_older_mark_goes_unnoticed() {
    let (place, client) = (place(), Client::new());
    let mut server = place.serve();
    let token = server.login(&client, "alice").await;
    assert!(server.terminate().success());
    copy(&place, "data", "older");
    copy(&place, "mark", "older mark");
    let mut server = place.serve();
    assert_eq!(server.logout(&client, &token).await.unwrap(), 204);
    assert!(server.terminate().success());
    copy(&place, "older", "data");
    copy(&place, "older mark", "mark");
    let server = place.serve();
    assert_eq!(server.verify(&client, &token).await, 200);
}

#[test]
fn restored_refuses_where_nothing_was_put_back_and_beside_a_server() {
    let place = Place::new();
    let said = refused(&place, &["restored"]);
    assert!(said.contains("there is no database"), "{said}");
    place.add_user("alice");
    let mut server = place.serve();
    let said = refused(&place, &["restored"]);
    assert!(said.contains("another server runs"), "{said}");
    assert!(server.terminate().success());
    let said = refused(&place, &["restored"]);
    assert!(said.contains("nothing was changed"), "{said}");
}

const CALLERS: usize = 8;
const POOL: usize = 300;

/// Revokes in another process beside the server until told to stop. Returns how many revocations were confirmed.
async fn revoke_beside(
    place: std::path::PathBuf,
    stop: tokio::sync::watch::Receiver<bool>,
) -> usize {
    let mut done = 0;
    while !*stop.borrow() {
        let mut command = program();
        command
            .args(["revoke", "user", "alice"])
            .current_dir(&place);
        let output: Output = tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        done += 1;
    }
    done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_kill_makes_the_log_look_older_than_its_mark() {
    let (rng, seed) = TestRng::new();
    let place = place();
    let forge = TokenForge::new(&place.path().join("keys"), seed);
    let (pool, mut acknowledged, mut beside): (Pool, Vec<String>, usize) = Default::default();
    let mut cut_short = 0;
    let kills = campaign(25, 60);
    for _ in 0..kills {
        while pool.lock().unwrap().len() < POOL {
            let token = forge.session(SystemClock.now()).text;
            pool.lock().unwrap().push_back(token);
        }
        // The server would report a refusal.
        let mut server = place.serve();
        let client = Client::new();
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let revoker = tokio::spawn(revoke_beside(place.path().to_owned(), stopped));
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let (url, pool) = (server.url.clone(), Pool::clone(&pool));
            callers.spawn(log_out_until_it_breaks(client.clone(), url, pool));
        }
        under_way(&pool, POOL, rng.below(6 * CALLERS)).await;
        tokio::time::sleep(Duration::from_micros(rng.below(2000) as u64)).await;
        server.kill();
        while let Some(called) = callers.join_next().await {
            let called = called.unwrap();
            acknowledged.extend(called.acknowledged);
            cut_short += called.unanswered.len();
            pool.lock().unwrap().extend(called.unanswered);
        }
        stop.send(true).unwrap();
        beside += revoker.await.unwrap();
        let marked = mark_of(&place).cursor.seq;
        let known = i64::try_from(acknowledged.len() + beside).unwrap();
        assert!(
            marked > known,
            "the mark has {marked}, {known} were told of"
        );
    }
    println!(
        "{kills} kills, {} logouts acknowledged, {cut_short} cut short, {beside} revocations beside",
        acknowledged.len()
    );
    assert!(acknowledged.len() > kills && cut_short > kills / 2 && beside >= kills);
    let (client, server) = (Client::new(), place.serve());
    all_refused(&client, &server, acknowledged).await;
    let live = forge.session(SystemClock.now()).text;
    assert_eq!(server.verify(&client, &live).await, 200);
}

/// Each process moves the mark forward, and none moves it back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_is_acknowledged_after_the_mark_has_it() {
    let place = place();
    let mut writers = JoinSet::new();
    for _ in 0..4 {
        let store = open_or_make_store(&settings_of(&place)).await.unwrap();
        let mark = place.path().join("mark");
        writers.spawn(async move {
            for _ in 0..50 {
                let at = SystemClock.now();
                let key = Revoke::Key("k0".parse().unwrap());
                let seq = store.revoke(key, Reason::Operator, at).await.unwrap();
                let marked = super::mark::mark_in(&mark).cursor.seq;
                assert!(marked >= seq, "told of {seq}, and the mark has {marked}");
            }
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer.unwrap();
    }
    assert_eq!(mark_of(&place).cursor.seq, 1 + 4 * 50);
}
