//! The basis of the promises: a log that cannot be altered unnoticed and that several processes write, and a server
//! that shuts down in order.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use rustix::process::{Pid, Signal, kill_process};
use tokio::task::JoinSet;
use waxseal::account::UserChange;
use waxseal::embedded::open_store;
use waxseal::id::Lineage;
use waxseal::random::SeededRandom;
use waxseal::report::report;
use waxseal::revocation::log::{RevocationLog, Revoke};
use waxseal::revocation::{Reason, session_revocation_expiry};
use waxseal::time::{Clock, ManualClock, SystemClock};
use waxseal::{Settings, Waxseal};

use super::common::{CHEAP, ISSUER, Place, START, Server, TestServer, program};
use super::durable::{Pool, all_refused, log_out_until_it_breaks, place};
use super::restored::sql;
use super::token_forge::{TestRng, Token, TokenForge};

/// Alterations of one field of the entry at `seq`, or of the whole row.
fn alterations(seq: i64) -> Vec<String> {
    let spared = Lineage::new(START, &SeededRandom::new(77));
    let fields = [
        "seq = seq + 1000".to_owned(),
        "scope = CASE scope WHEN 'session' THEN 'token' ELSE 'session' END".to_owned(),
        "key = substr(key, 1, length(key) - 1) || CASE substr(key, -1) WHEN '0' THEN '1' ELSE '0' END".to_owned(),
        r#""from" = "from" - 1"#.to_owned(),
        format!("spared = CASE WHEN spared IS NULL THEN '{spared}' ELSE NULL END"),
        "expires_at = expires_at - 1".to_owned(),
        "reason = CASE reason WHEN 'logout' THEN 'operator' ELSE 'logout' END".to_owned(),
        "at = at + 1".to_owned(),
        "hash = zeroblob(32)".to_owned(),
    ];
    let mut all: Vec<_> = fields
        .into_iter()
        .map(|field| format!("UPDATE revocation SET {field} WHERE seq = {seq}"))
        .collect();
    all.push(format!("DELETE FROM revocation WHERE seq = {seq}"));
    all
}

/// Writes entries of every kind of target. Returns their number.
async fn fill(server: &TestServer) -> i64 {
    let forge = TokenForge::new(&server.settings.keys_dir, 31);
    let alice = server.add_user("alice").await;
    let log = server.waxseal.log();
    let write = async |what, reason| log.revoke(what, reason, START).await.unwrap();
    for _ in 0..2 {
        let claims = forge.session(START).claims;
        let until = session_revocation_expiry(claims.session_expiry);
        let lineage = claims.session_id.lineage;
        write(Revoke::Session(lineage, until), Reason::Logout).await;
        write(Revoke::Token(claims.token_id, until), Reason::Operator).await;
        for spared in [None, Some(lineage)] {
            let reason = Reason::Logout;
            let change = UserChange::EndSessions { spared, reason };
            server.change_user(alice, change).await;
        }
        write(Revoke::Key("k0".parse().unwrap()), Reason::Operator).await;
        write(Revoke::Everything, Reason::Operator).await;
    }
    log.read(0, 100).await.unwrap().head.cursor.seq
}

/// Opens a copy of the database, changed by `statements`, in a folder of its own.
async fn open_altered(settings: &Settings, statements: &str) -> Result<Waxseal, String> {
    let (folder, mark) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let copy = folder.path().join("waxseal.db");
    let original = settings.data_dir.join("waxseal.db");
    sql(&original, &format!("VACUUM INTO '{}'", copy.display())).await;
    sql(&copy, statements).await;
    let mut altered = settings.clone();
    altered.data_dir = folder.path().to_owned();
    // The log alone must reveal the change.
    altered.mark_dir = mark.path().to_owned();
    let clock = Arc::new(ManualClock::at(START));
    let opened = Waxseal::open_with(&altered, clock, Arc::new(SeededRandom::new(1)), CHEAP).await;
    opened.map_err(|error| report(&error).to_string())
}

#[tokio::test]
async fn an_altered_entry_is_noticed_at_the_next_start() {
    let server = TestServer::new().await;
    let entries = fill(&server).await;
    assert_eq!(entries, 12);
    let settings = server.settings.clone();
    let mut altered: Vec<_> = (1..=entries).flat_map(alterations).collect();
    // Two swapped entries, a forged entry, and a false head.
    altered.push(
        "UPDATE revocation SET seq = -seq WHERE seq IN (1, 7); UPDATE revocation SET seq = 8 + seq WHERE seq < 0"
            .to_owned(),
    );
    altered.push(
        r#"INSERT INTO revocation SELECT 13, scope, key, "from", spared, expires_at, reason, at, hash, grace_until FROM revocation WHERE seq = 1"#
            .to_owned(),
    );
    altered.push("UPDATE head SET seq = seq - 1".to_owned());
    altered.push("UPDATE head SET seq = seq + 1".to_owned());
    altered.push("UPDATE head SET hash = zeroblob(32)".to_owned());
    for statements in altered {
        let opened = open_altered(&settings, &statements).await;
        assert!(opened.is_err(), "not noticed: {statements}");
    }
    assert!(open_altered(&settings, "SELECT 1").await.is_ok());
}

/// After a compaction nothing can check the first entry after a gap; every later entry is checked.
#[tokio::test]
async fn after_a_compaction_an_altered_entry_is_noticed_too() {
    let server = TestServer::new().await;
    fill(&server).await;
    let later = START.plus(Duration::from_secs(26 * 3600));
    server.clock.step_to(later);
    server.waxseal.compact().await.unwrap();
    // The two entries of the key remain, with a gap before each.
    let forge = TokenForge::new(&server.settings.keys_dir, 32);
    let log = server.waxseal.log();
    for _ in 0..3 {
        let claims = forge.session(later).claims;
        let until = session_revocation_expiry(claims.session_expiry);
        let what = Revoke::Session(claims.session_id.lineage, until);
        log.revoke(what, Reason::Logout, later).await.unwrap();
    }
    let page = log.read(0, 100).await.unwrap();
    let seqs: Vec<_> = page
        .entries
        .iter()
        .map(|entry| entry.revocation.seq)
        .collect();
    assert_eq!((seqs, page.head.compacted), (vec![5, 11, 13, 14, 15], 12));
    let settings = server.settings.clone();
    assert!(open_altered(&settings, "SELECT 1").await.is_ok());
    for statements in (14..=15).flat_map(alterations) {
        let opened = open_altered(&settings, &statements).await;
        assert!(opened.is_err(), "not noticed: {statements}");
    }
}

#[tokio::test]
async fn an_altered_entry_is_noticed_by_a_running_follower() {
    for index in 0..alterations(0).len() {
        let server = TestServer::new().await;
        let entries = fill(&server).await;
        server.waxseal.catch_up().await.unwrap();
        let store = open_store(&server.settings).await.unwrap();
        let token = TokenForge::new(&server.settings.keys_dir, 33).session(START);
        let until = session_revocation_expiry(token.claims.session_expiry);
        let what = Revoke::Session(token.lineage(), until);
        let seq = store.revoke(what, Reason::Logout, START).await.unwrap();
        assert_eq!(seq, entries + 1);
        let statements = &alterations(seq)[index];
        let database = server.settings.data_dir.join("waxseal.db");
        sql(&database, statements).await;
        let followed = server.waxseal.catch_up().await;
        assert!(followed.is_err(), "not noticed: {statements}");
    }
}

/// Polls until the token is refused, and prints how long that took.
async fn refused_soon(server: &Server, client: &Client, token: &Token, what: &str) {
    let began = SystemClock.uptime();
    for _ in 0..500 {
        match server.verify(client, &token.text).await {
            401 => {
                println!("{what}: seen after {:?}", SystemClock.uptime() - began);
                return;
            }
            200 => tokio::time::sleep(Duration::from_millis(10)).await,
            other => panic!("{what}: /verify answered {other}"),
        }
    }
    panic!("{what}: the server does not see it");
}

fn user_id(place: &Place, name: &str) -> String {
    let users: serde_json::Value =
        serde_json::from_str(&place.ok(&["user", "list", "--json"], "")).unwrap();
    let users = users.as_array().unwrap();
    let user = users.iter().find(|user| user["username"] == name).unwrap();
    user["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_sees_revocations_of_the_command_line_at_once() {
    let place = place();
    place.add_user("bob");
    let (server, client) = (place.serve(), Client::new());
    let keys = place.path().join("keys");
    let of = |name: &str, seed| TokenForge {
        user: user_id(&place, name).parse().unwrap(),
        ..TokenForge::new(&keys, seed)
    };
    let (alice, bob) = (of("alice", 1), of("bob", 2));
    let now = || SystemClock.now();
    let (bystander, alices_id) = (bob.session(now()), alice.user.to_string());
    let cases: [&[&str]; 7] = [
        &["revoke", "session", "SESSION ID"],
        &["revoke", "session", "LINEAGE"],
        &["revoke", "user", "alice"],
        &["revoke", "user", &alices_id],
        &["user", "disable", "alice"],
        &["user", "passwd", "alice"],
        &["user", "delete", "alice"],
    ];
    for arguments in cases {
        let token = alice.session(now());
        let session = token.claims.session_id;
        let (sid, lineage) = (session.to_string(), session.lineage.to_string());
        let arguments: Vec<&str> = arguments
            .iter()
            .map(|argument| match *argument {
                "SESSION ID" => &sid,
                "LINEAGE" => &lineage,
                other => other,
            })
            .collect();
        assert_eq!(server.verify(&client, &token.text).await, 200);
        place.ok(&arguments, "");
        refused_soon(&server, &client, &token, &arguments.join(" ")).await;
        assert_eq!(server.verify(&client, &bystander.text).await, 200);
    }
    place.ok(&["revoke", "all"], "");
    refused_soon(&server, &client, &bystander, "revoke all").await;
    let after = server.login(&client, "bob").await;
    assert_eq!(server.verify(&client, &after).await, 200);
}

/// Both write through the one head row: every entry has its own position, and none is skipped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_and_a_server_write_at_once() {
    let place = place();
    let (server, client) = (place.serve(), Client::new());
    let forge = TokenForge::new(&place.path().join("keys"), 3);
    let tokens: Vec<_> = (0..120).map(|_| forge.session(SystemClock.now())).collect();
    let (by_logout, by_command) = tokens.split_at(100);
    let pool = Pool::default();
    let texts = by_logout.iter().map(|token| token.text.clone());
    pool.lock().unwrap().extend(texts);
    let mut callers = JoinSet::new();
    for _ in 0..4 {
        let (client, url) = (client.clone(), server.url.clone());
        callers.spawn(log_out_until_it_breaks(client, url, Arc::clone(&pool)));
    }
    for token in by_command {
        let sid = token.claims.session_id.to_string();
        place.ok(&["revoke", "session", &sid], "");
    }
    let mut answered = 0;
    while let Some(called) = callers.join_next().await {
        answered += called.unwrap().acknowledged.len();
    }
    assert_eq!(answered, by_logout.len());
    for token in &tokens {
        refused_soon(&server, &client, token, "a session").await;
    }
    drop(server);
    assert_eq!(read_log(place.path()).await, (1 + 120, 1 + 120));
}

/// Follows the log of a place from its start, and counts the entries.
async fn read_log(place: &Path) -> (i64, usize) {
    let settings = Settings::default().in_folder(place);
    let waxseal = Waxseal::open(&settings).await.unwrap();
    let page = waxseal.log().read(0, u32::MAX).await.unwrap();
    (page.head.cursor.seq, page.entries.len())
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let place = place();
    let _server = place.serve();
    let mut second = program()
        .args(["serve", "--listen", "127.0.0.1:0", "--issuer", ISSUER])
        .current_dir(place.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    for _ in 0..1000 {
        if second.try_wait().unwrap().is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    // In case it runs after all.
    let _ = second.kill();
    let output = second.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let lock = Path::new("data").join("lock");
    assert!(said.contains(lock.to_str().unwrap()), "{said}");
    assert!(
        said.contains("another server runs on this data folder; stop it, or set --data-dir"),
        "{said}"
    );
}

fn sigterm(server: &Server) {
    kill_process(Pid::from_child(&server.child), Signal::TERM).unwrap();
}

/// The answer to `100-continue` proves that the request's header was read. The body comes after the signal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_server_answers_requests_in_flight() {
    const BODY: &str = r#"{"scope":"this"}"#;
    let place = place();
    let forge = TokenForge::new(&place.path().join("keys"), 4);
    let mut server = place.serve();
    let address = server.url.strip_prefix("http://").unwrap().to_owned();
    let tokens: Vec<_> = (0..12)
        .map(|_| forge.session(SystemClock.now()).text)
        .collect();
    let mut begun = Vec::new();
    for token in &tokens {
        let mut connection = TcpStream::connect(&address).unwrap();
        let timeout = Some(Duration::from_secs(60));
        connection.set_read_timeout(timeout).unwrap();
        let head = format!(
            "POST /logout HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
            BODY.len()
        );
        connection.write_all(head.as_bytes()).unwrap();
        let mut told = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
        connection.read_exact(&mut told).unwrap();
        assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
        begun.push(connection);
    }
    sigterm(&server);
    for _ in 0..1000 {
        if server.log().contains("stopping") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(server.log().contains("stopping"));
    for mut connection in begun {
        connection.write_all(BODY.as_bytes()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    }
    assert!(server.child.wait().unwrap().success());
    let server = place.serve();
    all_refused(&Client::new(), &server, tokens).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_server_loses_no_answered_logout() {
    let (rng, seed) = TestRng::new();
    let place = place();
    let forge = TokenForge::new(&place.path().join("keys"), seed);
    let (mut answered, mut cut_short) = (Vec::new(), 0);
    for _ in 0..20 {
        let mut server = place.serve();
        let (pool, client) = (Pool::default(), Client::new());
        let texts = (0..400).map(|_| forge.session(SystemClock.now()).text);
        pool.lock().unwrap().extend(texts);
        let mut callers = JoinSet::new();
        for _ in 0..8 {
            let (client, url) = (client.clone(), server.url.clone());
            callers.spawn(log_out_until_it_breaks(client, url, Arc::clone(&pool)));
        }
        tokio::time::sleep(Duration::from_millis(20 + rng.below(60) as u64)).await;
        sigterm(&server);
        let mut unanswered = Vec::new();
        while let Some(called) = callers.join_next().await {
            let called = called.unwrap();
            answered.extend(called.acknowledged);
            unanswered.extend(called.unanswered);
        }
        assert!(server.child.wait().unwrap().success());
        cut_short += unanswered.len();
        let server = place.serve();
        for token in unanswered {
            let status = server.verify(&client, &token).await;
            assert_eq!(status, 200, "a request was carried out and never answered");
        }
    }
    println!(
        "{} logouts answered, {cut_short} never taken up",
        answered.len()
    );
    assert!(answered.len() >= 100, "the test proves too little");
    let server = place.serve();
    all_refused(&Client::new(), &server, answered).await;
}
