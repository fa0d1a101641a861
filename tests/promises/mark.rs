//! The mark: where it may be, what it contains, and what happens when it cannot be read or written.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use waxseal::embedded::{OpenError, open_store};
use waxseal::policy::MAX_LEEWAY;
use waxseal::random::OsRandom;
use waxseal::revocation::Reason;
use waxseal::revocation::log::{RevocationLog, Revoke};
use waxseal::store::mark::{Mark, MarkError, MarkFile};
use waxseal::time::{Clock, SystemClock};
use waxseal::{Settings, Waxseal};

use super::common::{Place, Server, TestServer};
use super::durable::place;
use super::mount_namespace::MountNamespace;
use super::restored_copy::{SERVE, refused};
use super::token_forge::TokenForge;

const SLOT: usize = 4096;

/// The settings of the program in that place.
pub fn settings_of(place: &Place) -> Settings {
    Settings::default().in_folder(place.path())
}

pub fn mark_in(folder: &Path) -> Mark {
    MarkFile::new(folder, Arc::new(SystemClock), Arc::new(OsRandom::new()))
        .read()
        .unwrap()
}

pub fn mark_of(place: &Place) -> Mark {
    mark_in(&place.path().join("mark"))
}

#[tokio::test]
async fn the_mark_is_at_the_head_before_an_answer() {
    let server = TestServer::new().await;
    server.add_user("alice").await;
    let is_at_the_head = async || {
        let head = server.waxseal.log().read(0, 0).await.unwrap().head;
        let mark = mark_in(&server.settings.mark_dir);
        assert!(mark.is_at(&head), "{mark:?} {head:?}");
        head
    };
    let mut heads = vec![is_at_the_head().await];
    for _ in 0..3 {
        let token = server.login("alice").await;
        heads.push(is_at_the_head().await);
        assert_eq!(server.post("/logout", Some(&token), None).await.status, 204);
        heads.push(is_at_the_head().await);
        server.pass(Duration::from_secs(1)).await;
    }
    heads.dedup();
    assert_eq!(heads.len(), 7, "each of them moved it");
}

#[test]
fn the_mark_is_a_text_file_that_only_its_owner_can_read() {
    let place = place();
    let mode = |name: &str| fs::metadata(place.path().join(name)).unwrap().mode() & 0o7777;
    assert_eq!((mode("mark"), mode("mark/mark")), (0o700, 0o600));
    let text = fs::read_to_string(place.path().join("mark/mark")).unwrap();
    assert_eq!((text.len(), text.lines().count()), (2 * SLOT, 2));
    for line in text.lines() {
        let (json, _) = line.trim_end().rsplit_once(' ').unwrap();
        let json: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(json["version"], 1);
    }
}

#[test]
fn a_mark_inside_the_data_folder_is_a_wrong_setting() {
    let place = Place::new();
    fs::create_dir(place.path().join("other")).unwrap();
    symlink("other", place.path().join("linked")).unwrap();
    for (data, mark) in [
        ("data", "data"),
        ("data", "data/mark"),
        ("data", "./data/deep/er"),
        ("other", "linked"),
        ("linked", "other/mark"),
        ("other", "linked/mark"),
        (".", "mark"),
        ("data", ""),
    ] {
        let folders = ["--data-dir", data, "--mark-dir", mark];
        for command in [&["serve"][..], &["user", "add", "alice"], &["restored"]] {
            let output = place.run(&[command, &folders].concat(), "");
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{data} {mark}: {said}");
            for words in ["mark_dir", "--mark-dir", "WAXSEAL_MARK_DIR"] {
                assert!(said.contains(words), "{data} {mark}: {said}");
            }
        }
    }
    let left = fs::read_dir(place.path()).unwrap().count();
    assert_eq!(left, 2, "what refuses to start leaves nothing behind");
    let apart = ["--data-dir", "linked", "--mark-dir", "linked mark"];
    place.ok(&[&["user", "add", "alice"][..], &apart].concat(), "");
}

/// As an app that embeds the service would meet it.
#[tokio::test]
async fn an_app_cannot_put_the_mark_inside_the_data_folder() {
    let place = Place::new();
    let mut settings = settings_of(&place);
    settings.mark_dir = settings.data_dir.join("mark");
    let opened = Waxseal::open(&settings).await;
    assert!(
        matches!(opened, Err(OpenError::MarkWithin { .. })),
        "{opened:?}"
    );
}

#[tokio::test]
async fn a_missing_mark_is_created_with_a_warning_if_the_log_is_not_new() {
    let place = place();
    let seq = mark_of(&place).cursor.seq;
    fs::remove_dir_all(place.path().join("mark")).unwrap();
    let output = place.run(&["revoke", "all"], "");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.success() && said.contains("there was no mark"),
        "{said}"
    );
    assert_eq!(mark_of(&place).cursor.seq, seq + 1);
    fs::remove_dir_all(place.path().join("mark")).unwrap();
    let mut server = place.serve();
    assert!(
        server.log().contains("there was no mark"),
        "{}",
        server.log()
    );
    assert!(server.terminate().success());
    let server = place.serve();
    assert!(
        !server.log().contains("there was no mark"),
        "{}",
        server.log()
    );
}

#[tokio::test]
async fn a_torn_slot_of_the_mark_is_ignored_and_a_damaged_mark_is_refused() {
    let place = place();
    let path = place.path().join("mark/mark");
    place.ok(&["revoke", "all"], "");
    let whole = fs::read(&path).unwrap();
    let newest = mark_of(&place);
    let torn = |slots: &[usize]| {
        let mut bytes = whole.clone();
        for slot in slots {
            bytes[slot * SLOT + 20..slot * SLOT + 60].fill(0);
        }
        bytes
    };
    let mut seqs = Vec::new();
    for slot in 0..2 {
        fs::write(&path, torn(&[slot])).unwrap();
        seqs.push(mark_of(&place).cursor.seq);
        place.ok(&["revoke", "all"], "");
        assert!(mark_of(&place).cursor.seq > newest.cursor.seq);
    }
    assert_eq!(seqs.iter().max(), Some(&newest.cursor.seq));

    let whole = fs::read(&path).unwrap();
    let text = String::from_utf8(whole.clone()).unwrap();
    let longer = [&whole[..], b"\n"].concat();
    for (what, bytes) in [
        ("empty", Vec::new()),
        ("short", whole[..SLOT + 100].to_vec()),
        ("long", longer),
        ("torn twice", torn(&[0, 1])),
        ("zeros", vec![0; 2 * SLOT]),
        (
            "altered",
            text.replace("\"seq\":", "\"seq\":1").into_bytes(),
        ),
        (
            "newer",
            text.replace("\"version\":1", "\"version\":2").into_bytes(),
        ),
    ] {
        fs::write(&path, &bytes).unwrap();
        for command in [&SERVE[..], &["revoke", "all"]] {
            let said = refused(&place, command);
            for words in [
                "mark/mark is damaged",
                "remove the mark",
                "waxseal restored",
            ] {
                assert!(said.contains(words), "{what}: {said}");
            }
        }
        assert_eq!(
            fs::read(&path).unwrap(),
            bytes,
            "{what}: it is left as it is"
        );
    }
    let said = place.ok(&["restored"], "");
    assert!(said.contains("no mark that could be read"), "{said}");
    place.ok(&["revoke", "all"], "");
}

/// The entries after the mark prove that the log continues from there.
#[tokio::test]
async fn compaction_keeps_entries_after_the_mark() {
    let server = TestServer::new().await;
    server.add_user("alice").await;
    server.login("alice").await;
    let other = tempfile::tempdir().unwrap();
    let mut settings = server.settings.clone();
    settings.mark_dir = other.path().to_owned();
    let store = open_store(&settings).await.unwrap();
    let brief = server.clock.now().plus(Duration::from_secs(1));
    let forge = TokenForge::new(&server.settings.keys_dir, 5);
    for _ in 0..4 {
        let token = forge.session(server.clock.now()).claims.token_id;
        let what = Revoke::Token(token, brief);
        let at = server.clock.now();
        store.revoke(what, Reason::Client, at).await.unwrap();
    }
    let until = brief.plus(MAX_LEEWAY);
    server.waxseal.catch_up().await.unwrap();
    let log = server.waxseal.log();
    assert_eq!(log.compact(until).await.unwrap(), 0, "the mark is behind");
    assert_eq!(log.compact(until).await.unwrap(), 4, "now it is not");
    let head = log.read(0, 0).await.unwrap().head;
    assert!(mark_in(&server.settings.mark_dir).is_at(&head));
    // All of it is dropped, and the head alone proves it.
    open_store(&server.settings).await.unwrap();
    // The other mark is at the log's end, as before.
    let marked = mark_in(other.path());
    assert_eq!(marked.cursor, head.cursor);
}

async fn log_out(server: &Server, token: &str) -> u16 {
    server.logout(&Client::new(), token).await.unwrap()
}

/// Waits for the words, because a thread of the test copies the log into its file.
async fn says(server: &Server, words: &str) {
    for _ in 0..1000 {
        if server.log().contains(words) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{words:?} is not in the log: {}", server.log());
}

fn sessions(place: &Path, count: usize) -> Vec<String> {
    let forge = TokenForge::new(&place.join("keys"), 6);
    let session = |_| forge.session(SystemClock.now()).text;
    (0..count).map(session).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_mark_no_logout_is_acknowledged() {
    let place = place();
    let server = place.serve();
    let tokens = sessions(place.path(), 4);
    assert_eq!(log_out(&server, &tokens[0]).await, 204);
    let (here, away) = (place.path().join("mark"), place.path().join("away"));
    fs::rename(&here, &away).unwrap();
    let marked = mark_in(&away);
    for token in &tokens[1..3] {
        assert_eq!(log_out(&server, token).await, 503);
    }
    says(&server, "there is no mark").await;
    assert!(!here.exists(), "a running server makes no new one");
    fs::rename(&away, &here).unwrap();
    assert_eq!(mark_of(&place), marked);
    for token in &tokens[1..] {
        assert_eq!(log_out(&server, token).await, 204);
    }
}

/// The copy is read-only before it is mounted: from then on the server may open it at any moment.
const COPY_READ_ONLY: &str = r#"cp -a "$1" "$1.copy" && mount --bind "$1.copy" "$1.copy" && mount -o remount,bind,ro "$1.copy" && mount --bind "$1.copy" "$1""#;
const COPY_AWAY: &str = r#"umount -l "$1" && umount "$1.copy" && rm -r "$1.copy""#;
const READ_ONLY: &str = r#"mount --bind "$1" "$1" && mount -o remount,bind,ro "$1""#;
const APART: &str = r#"mount --bind "$1" "$1""#;
const SMALL: &str = r#"mkdir -p "$1" && mount -t tmpfs -o size=64k,mode=0700 waxseal "$1""#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_mark_is_read_only_no_logout_is_acknowledged() {
    let place = place();
    let mark = place.path().join("mark");
    let Some(namespace) = MountNamespace::new(APART, &mark, false) else {
        return;
    };
    let mut server = namespace.serve(place.path());
    let tokens = sessions(place.path(), 12);
    assert_eq!(log_out(&server, &tokens[0]).await, 204);
    // A read-only copy is mounted over the folder: the server has the mark open, so it cannot be remounted.
    let put = |script: &str| {
        let done = namespace.sh(script, &mark);
        assert!(done.status.success(), "{done:?}");
    };
    let read_only = || put(COPY_READ_ONLY);
    let writable = || put(COPY_AWAY);
    read_only();
    // Not earlier: the server's first compaction may have been about to write the mark.
    let before = mark_of(&place);
    for token in &tokens[1..6] {
        // The logout is in the log, but no caller may rely on that.
        assert_eq!(log_out(&server, token).await, 503);
    }
    assert_eq!(mark_of(&place), before);
    says(&server, "mark/mark: Read-only file system").await;
    writable();
    for token in &tokens[6..] {
        assert_eq!(log_out(&server, token).await, 204, "{}", server.log());
    }
    assert_eq!(mark_of(&place).cursor.seq, before.cursor.seq + 11);
    let client = Client::new();
    for token in &tokens[1..6] {
        assert_eq!(
            server.verify(&client, token).await,
            401,
            "it was in the log"
        );
    }
    server.kill();
    // The log is ahead of a mark that could not be written. That is not a reason to refuse the log.
    let mut server = namespace.serve(place.path());
    read_only();
    assert_eq!(log_out(&server, &sessions(place.path(), 20)[19]).await, 503);
    server.kill();
    writable();
    let server = namespace.serve(place.path());
    let last = &sessions(place.path(), 21)[20];
    assert_eq!(log_out(&server, last).await, 204);
}

#[test]
fn a_read_only_mark_prevents_the_start_and_is_named() {
    let place = place();
    let mark = place.path().join("mark");
    let Some(namespace) = MountNamespace::new(READ_ONLY, &mark, false) else {
        return;
    };
    for arguments in [
        &["serve"][..],
        &["revoke", "all"],
        &["user", "disable", "alice"],
    ] {
        let output = namespace.program(place.path(), arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains(mark.to_str().unwrap()), "{said}");
        assert!(said.contains("Read-only file system"), "{said}");
    }
    let listed = namespace.program(place.path(), &["user", "list"]).output();
    assert!(listed.unwrap().status.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_allows_updates_of_a_mark_and_no_new_mark() {
    let place = place();
    let mark = place.path().join("mark");
    fs::remove_dir_all(&mark).unwrap();
    let Some(namespace) = MountNamespace::new(SMALL, &mark, false) else {
        return;
    };
    let fill = r#"cat /dev/zero > "$1/filler" 2>/dev/null; test -s "$1/filler""#;
    assert!(namespace.sh(fill, &mark).status.success());
    let output = namespace
        .program(place.path(), &["serve"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("No space left on device"), "{said}");
    fs::remove_file(namespace.see(&mark.join("filler"))).unwrap();

    let mut server = namespace.serve(place.path());
    assert!(namespace.sh(fill, &mark).status.success());
    let tokens = sessions(place.path(), 6);
    for token in &tokens {
        assert_eq!(log_out(&server, token).await, 204, "{}", server.log());
    }
    server.kill();
    let seq = mark_in(&namespace.see(&mark)).cursor.seq;
    assert_eq!(seq, 1 + 6);
    let server = namespace.serve(place.path());
    assert_eq!(log_out(&server, &tokens[0]).await, 401);
}

/// A mark of another log does not count for this one.
#[tokio::test]
async fn the_mark_is_not_moved_onto_another_log() {
    let server = TestServer::new().await;
    server.add_user("alice").await;
    let file = MarkFile::new(
        &server.settings.mark_dir,
        Arc::clone(&server.clock) as _,
        Arc::new(OsRandom::new()),
    );
    let token = server.login("alice").await;
    assert_eq!(server.post("/logout", Some(&token), None).await.status, 204);
    let mark = file.read().unwrap();
    let mut head = server.waxseal.log().read(0, 0).await.unwrap().head;
    head.cursor.hash[0] ^= 1;
    let moved = file.advance(&head);
    assert!(matches!(moved, Err(MarkError::AnotherLog(_))), "{moved:?}");
    head.cursor.seq += 1;
    head.newest_lineage = server.clock.now().minus(Duration::from_secs(3600));
    let moved = file.advance(&head);
    assert!(matches!(moved, Err(MarkError::AnotherLog(_))), "{moved:?}");
    assert_eq!(file.read().unwrap(), mark);
}
