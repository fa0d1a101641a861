//! Promise 1, when the disk rejects writes: the answer is 503 and never a silent success, and the caller keeps what it
//! needs to try again.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use reqwest::Client;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use waxseal::time::{Clock, SystemClock};

use super::common::{PASSWORD, Place, Server};
use super::mount_namespace::{MountNamespace, on_folders, without_settings};
use super::token_forge::{Token, TokenForge};

const TMPFS: &str = r#"mkdir -p "$1" && mount -t tmpfs -o size=2m,mode=0700 waxseal "$1""#;
const READ_ONLY: &str = r#"mount --bind "$1" "$1" && mount -o remount,bind,ro "$1""#;
const EXT4: &str = r#"mkdir -p "$1" && truncate -s 16M "$1.img" && mkfs.ext4 -q "$1.img" && mount -o loop "$1.img" "$1""#;

/// Asserts the answer when it is unknown whether the revocation was written.
async fn is_503(server: &Server, token: &str) {
    let client = Client::new();
    let request = client.post(format!("{}/logout", server.url));
    let answer = request.bearer_auth(token).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    assert_eq!(answer.headers()["retry-after"], "1");
    assert_eq!(answer.headers().get("set-cookie"), None);
    let body: serde_json::Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(body["code"], "unavailable");
}

async fn status(server: &Server, token: &str) -> u16 {
    server.verify(&Client::new(), token).await
}

async fn log_out(server: &Server, token: &str) -> u16 {
    server.logout(&Client::new(), token).await.unwrap()
}

/// Asserts that both kinds of logout answer 503 while nothing can be written, many at once, and that every session
/// stays alive.
async fn refuses_but_lives(server: &Server, tokens: &[Token]) {
    let all = tokens.iter().map(|token| is_503(server, &token.text));
    for check in all.collect::<Vec<_>>() {
        check.await;
    }
    let client = Client::new();
    let url = format!("{}/logout", server.url);
    let everywhere = client.post(&url).bearer_auth(&tokens[0].text);
    let everywhere = everywhere.json(&serde_json::json!({ "scope": "all" }));
    assert_eq!(everywhere.send().await.unwrap().status(), 503);
    let at_once = tokens.iter().map(|token| {
        let request = client.post(&url).bearer_auth(&token.text).send();
        tokio::spawn(async move { request.await.unwrap().status().as_u16() })
    });
    for answer in at_once.collect::<Vec<_>>() {
        assert_eq!(answer.await.unwrap(), 503);
    }
    for token in tokens {
        assert_eq!(status(server, &token.text).await, 200, "it still works");
    }
    let livez = client.get(format!("{}/livez", server.url)).send().await;
    assert_eq!(livez.unwrap().status(), 200);
}

/// Asserts that the same tokens can be logged out once there is room.
async fn works_again(server: &Server, tokens: &[Token]) {
    for token in tokens {
        assert_eq!(log_out(server, &token.text).await, 204, "{}", server.log());
        assert_eq!(status(server, &token.text).await, 401);
    }
}

fn sessions(place: &Path, user: &str, count: usize) -> Vec<Token> {
    let forge = TokenForge {
        user: user.parse().unwrap(),
        ..TokenForge::new(&place.join("keys"), 4)
    };
    (0..count)
        .map(|_| forge.session(SystemClock.now()))
        .collect()
}

/// Adds a user there, and returns the ID.
fn add_user(namespace: &MountNamespace, place: &Path) -> String {
    let mut child = namespace
        .program(
            place,
            &["user", "add", "alice", "--password-stdin", "--json"],
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(PASSWORD.as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let user: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    user["id"].as_str().unwrap().to_owned()
}

/// Writes to a file until the disk is full.
fn fill(path: &Path) {
    let mut filler = File::create(path).unwrap();
    for _ in 0..1024 {
        if let Err(cause) = filler.write_all(&[0; 4096]) {
            assert_eq!(cause.kind(), std::io::ErrorKind::StorageFull);
            return;
        }
    }
    panic!("the disk does not fill up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_logout_answers_503_and_can_be_tried_again() {
    let place = Place::new();
    let place = place.path();
    let data = place.join("data");
    let Some(namespace) = MountNamespace::new(TMPFS, &data, false) else {
        return;
    };
    let user = add_user(&namespace, place);
    let mut server = namespace.serve(place);
    let tokens = sessions(place, &user, 20);
    let (earlier, tokens) = tokens.split_at(4);
    works_again(&server, earlier).await;

    for _ in 0..3 {
        let filler = namespace.see(&data.join("filler"));
        fill(&filler);
        refuses_but_lives(&server, tokens).await;
        for token in earlier {
            assert_eq!(status(&server, &token.text).await, 401);
        }
        fs::remove_file(filler).unwrap();
    }
    works_again(&server, &tokens[..8]).await;
    fill(&namespace.see(&data.join("filler")));
    is_503(&server, &tokens[8].text).await;
    server.kill();
    fs::remove_file(namespace.see(&data.join("filler"))).unwrap();

    let server = namespace.serve(place);
    for token in earlier.iter().chain(&tokens[..8]) {
        assert_eq!(status(&server, &token.text).await, 401, "dead after all");
    }
    for token in &tokens[9..] {
        assert_eq!(status(&server, &token.text).await, 200);
    }
    works_again(&server, &tokens[9..]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_limit_of_file_sizes_logout_answers_503_and_can_be_tried_again() {
    let place = Place::new();
    let user = place.ok(
        &["user", "add", "alice", "--password-stdin", "--json"],
        PASSWORD,
    );
    let user: serde_json::Value = serde_json::from_str(&user).unwrap();
    // By default the signal would end the process instead of failing the write.
    let mut command = Command::new("sh");
    command.args(["-c", r#"trap "" XFSZ; exec "$@""#, "sh"]);
    command.arg(env!("CARGO_BIN_EXE_waxseal"));
    without_settings(&mut command);
    on_folders(&mut command, place.path(), &["serve"]);
    let server = Server::start(command);
    let tokens = sessions(place.path(), user["id"].as_str().unwrap(), 8);
    works_again(&server, &tokens[..1]).await;

    let wal = place.path().join("data/waxseal.db-wal");
    let limit = |current| {
        let pid = Some(Pid::from_child(&server.child));
        let limits = Rlimit {
            current,
            maximum: None,
        };
        prlimit(pid, Resource::Fsize, limits).unwrap()
    };
    let before = limit(Some(fs::metadata(wal).unwrap().len()));
    refuses_but_lives(&server, &tokens[1..]).await;
    limit(before.current);
    works_again(&server, &tokens[1..]).await;
}

#[test]
fn a_read_only_data_folder_prevents_the_start_and_is_named() {
    let place = Place::new();
    place.add_user("alice");
    let (place, data) = (place.path(), place.path().join("data"));
    let Some(namespace) = MountNamespace::new(READ_ONLY, &data, false) else {
        return;
    };
    for arguments in [&["serve"][..], &["revoke", "all"], &["user", "list"]] {
        let output = namespace.program(place, arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        let line = said.lines().last().unwrap();
        assert!(line.starts_with("waxseal: "), "{line}");
        assert!(line.contains(data.to_str().unwrap()), "{line}");
        assert!(line.contains("Read-only file system"), "{line}");
    }
}

/// The kernel makes the file system read-only under a running program, as after a disk error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_disk_that_fails_under_way_no_logout_is_acknowledged() {
    let place = Place::new();
    let place = place.path();
    let data = place.join("data");
    let Some(namespace) = MountNamespace::new(EXT4, &data, true) else {
        return;
    };
    let user = add_user(&namespace, place);
    let mut server = namespace.serve(place);
    let tokens = sessions(place, &user, 6);
    let (earlier, tokens) = tokens.split_at(2);
    works_again(&server, earlier).await;

    let failed = namespace.sh(r#"mount -o remount,abort "$1""#, &data);
    if !failed.status.success() || File::create(namespace.see(&data.join("probe"))).is_ok() {
        eprintln!("LEFT OUT: a file system cannot be made to fail here: {failed:?}");
        return;
    }
    refuses_but_lives(&server, tokens).await;
    server.kill();

    let repaired = namespace.sh(
        r#"umount "$1" && { e2fsck -fy "$1.img" >/dev/null; test $? -le 1; } && mount -o loop "$1.img" "$1""#,
        &data,
    );
    assert!(repaired.status.success(), "{repaired:?}");
    let server = namespace.serve(place);
    for token in earlier {
        assert_eq!(status(&server, &token.text).await, 401);
    }
    works_again(&server, tokens).await;
}
