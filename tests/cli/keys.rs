//! Rotation, revocation and removal of keys, and refused commands.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use waxseal::schedule::{LEAD, TAIL};
use waxseal::time::Timestamp;
use waxseal::token::UntrustedToken;

use super::common::{ISSUER, PASSWORD, Place, Server, program};
use super::folder::{age, edit, names, scheduled};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn folder(place: &Place) -> PathBuf {
    place.path().join("keys")
}

fn refused(output: &Output, code: i32, words: &[&str]) {
    let talk = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    for word in words {
        assert!(talk.contains(word), "{word:?} is missing in {talk:?}");
    }
    assert!(!talk.contains("panicked"), "{talk}");
}

/// Returns every file and its contents.
fn content(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let names = names(folder, "").into_iter();
    names
        .map(|name| (name.clone(), fs::read(folder.join(name)).unwrap()))
        .collect()
}

fn json_of(place: &Place, arguments: &[&str]) -> Value {
    let arguments = [arguments, &["--json"]].concat();
    serde_json::from_str(&place.ok(&arguments, "")).unwrap()
}

fn states(rows: &Value) -> Vec<&str> {
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| row["state"].as_str().unwrap()).collect()
}

fn kid(token: &str) -> String {
    UntrustedToken::parse(token).unwrap().kid().to_string()
}

/// A signing key that is some hours old, and a successor published for as long.
fn ready() -> Place {
    let place = Place::new();
    place.ok(&["keys", "rotate"], "");
    age(&folder(&place), 2 * HOUR);
    place
}

#[test]
fn a_dry_run_shows_the_timeline_and_changes_nothing() {
    for place in [Place::new(), ready()] {
        let there = folder(&place).exists();
        let before = there.then(|| content(&folder(&place)));
        let text = place.ok(&["keys", "rotate", "--dry-run"], "");
        assert!(text.starts_with("would be: "), "{text}");
        let dry = json_of(&place, &["keys", "rotate", "--dry-run"]);
        assert!(dry["done"].as_str().unwrap().starts_with("would be: "));
        assert_eq!(folder(&place).exists(), there);
        assert_eq!(there.then(|| content(&folder(&place))), before);

        let done = json_of(&place, &["keys", "rotate"]);
        assert_eq!(states(&dry["timeline"]), states(&done["timeline"]));
        let members: Vec<_> = done.as_object().unwrap().keys().collect();
        assert_eq!(members, ["done", "timeline"]);
        assert_eq!(done["timeline"], json_of(&place, &["keys", "list"]));
    }
}

#[test]
fn a_rotation_is_made_when_it_is_due_and_not_before() {
    let place = Place::new();
    let every = ["keys", "rotate", "--every", "30d"];
    let first = json_of(&place, &every);
    assert_eq!(states(&first["timeline"]), ["signs", "successor"]);
    for by in [Duration::ZERO, DAY, 28 * DAY] {
        age(&folder(&place), by);
        let before = content(&folder(&place));
        let done = json_of(&place, &every);
        assert!(
            done["done"]
                .as_str()
                .unwrap()
                .starts_with("nothing to do: not due before "),
            "{done}"
        );
        assert_eq!(states(&done["timeline"]), ["signs", "successor"]);
        assert_eq!(
            names(&folder(&place), ".pem").len(),
            before.len() - 2,
            "no key is made"
        );
        let plan = place.run(&["keys", "plan", "--every", "30d"], "");
        assert_eq!(plan.status.code(), Some(0), "{plan:?}");
    }
    age(&folder(&place), 2 * DAY);
    let plan = place.run(&["keys", "plan", "--every", "30d"], "");
    refused(&plan, 3, &["due", "waxseal keys rotate"]);
    place.ok(&["keys", "plan"], "");
    let done = json_of(&place, &every);
    assert_eq!(
        states(&done["timeline"]),
        ["verifies", "signs", "successor"]
    );
    place.ok(&["keys", "plan", "--every", "30d"], "");
    for bad in ["30", "d", "+1d", "1w", "99999d", "1.5h"] {
        refused(
            &place.run(&["keys", "rotate", "--every", bad], ""),
            2,
            &["90s, 15m, 12h or 30d"],
        );
    }
}

#[test]
fn the_plan_says_when_no_successor_is_published_and_when_nothing_signs() {
    let place = Place::new();
    refused(
        &place.run(&["keys", "plan"], ""),
        1,
        &["no jwt key signs now", "waxseal keys rotate"],
    );
    place.ok(&["keys", "rotate"], "");
    edit(&folder(&place), |rows| {
        rows.pop();
    });
    refused(
        &place.run(&["keys", "plan"], ""),
        3,
        &["no successor is published", "waxseal keys rotate"],
    );
    place.ok(&["keys", "rotate", "--every", "30d"], "");
    place.ok(&["keys", "plan"], "");
}

type Edit = fn(&mut Vec<Value>);

fn shifted(row: &mut Value, name: &str, millis: i64) {
    let time = Timestamp::parse_rfc3339(row[name].as_str().unwrap()).unwrap();
    row[name] = Timestamp::from_millis(time.millis() + millis)
        .to_string()
        .into();
}

#[test]
fn a_schedule_that_was_edited_wrongly_is_refused_with_the_fix() {
    let place = ready();
    let keys = folder(&place);
    place.ok(&["keys", "rotate"], "");
    let good = fs::read(keys.join("keyring.json")).unwrap();
    let cases: [(Edit, &str); 7] = [
        (
            |rows| shifted(&mut rows[1], "signs_from", 1000),
            "set signs_from of ",
        ),
        (
            |rows| shifted(&mut rows[1], "signs_from", -1000),
            "set its signs_from to ",
        ),
        (
            |rows| shifted(&mut rows[1], "published", 7_200_000),
            "or later",
        ),
        (
            |rows| shifted(&mut rows[0], "verifies_until", -1),
            "set its verifies_until to ",
        ),
        (
            |rows| rows[1]["signs_until"] = "2100-01-01T00:00:00Z".into(),
            "run waxseal keys rotate",
        ),
        (
            |rows| rows[1]["verifies_until"] = "2100-01-01T00:00:00Z".into(),
            "set its verifies_until to null",
        ),
        (|rows| rows.push(rows[0].clone()), "remove one of them"),
    ];
    for (change, fix) in cases {
        edit(&keys, |rows| {
            rows.sort_by_key(|row| row["signs_from"].as_str().unwrap_or("9").to_owned());
            change(rows);
        });
        let before = content(&keys);
        refused(&place.run(&["keys", "plan"], ""), 1, &[fix]);
        refused(&place.run(&["keys", "list"], ""), 1, &[fix]);
        refused(
            &place.run(&["serve", "--listen", "127.0.0.1:0"], ""),
            1,
            &[fix],
        );
        assert_eq!(content(&keys), before);
        fs::write(keys.join("keyring.json"), &good).unwrap();
        place.ok(&["keys", "plan"], "");
    }
}

#[test]
fn two_files_with_one_key_are_refused() {
    let place = ready();
    let keys = folder(&place);
    let names: Vec<_> = names(&keys, ".pem").into_iter().collect();
    fs::copy(keys.join(&names[0]), keys.join(&names[1])).unwrap();
    edit(&keys, |rows| {
        let twin = rows
            .iter()
            .find(|row| row["file"] == names[0].to_str().unwrap());
        let kid = twin.unwrap()["kid"].clone();
        rows.iter_mut().for_each(|row| row["kid"] = kid.clone());
    });
    refused(
        &place.run(&["keys", "plan"], ""),
        1,
        &["two keys have the kid", "remove one of them"],
    );
}

#[tokio::test]
async fn logins_fail_before_the_first_key_signs_and_the_plan_says_why() {
    let place = ready();
    place.add_user("alice");
    // A key that has signed does not get a new date.
    place.serve().login(&reqwest::Client::new(), "alice").await;
    edit(&folder(&place), |rows| {
        for row in rows {
            for name in ["published", "signs_from"] {
                if row[name].is_string() {
                    shifted(row, name, 24 * 3_600_000);
                }
            }
        }
    });
    for command in [
        &["keys", "plan"][..],
        &["keys", "rotate"],
        &["keys", "rotate", "--dry-run"],
    ] {
        let words = [
            "no jwt key signs before ",
            "set it right",
            "move the key folder away",
        ];
        refused(&place.run(command, ""), 1, &words);
    }
    let server = place.serve();
    assert!(server.says("no jwt key signs before "));
    let readyz = reqwest::get(format!("{}/readyz", server.url))
        .await
        .unwrap();
    assert_eq!(readyz.status(), 503);
    let login = reqwest::Client::new()
        .post(format!("{}/login", server.url))
        .json(&json!({ "username": "alice", "password": PASSWORD }));
    let answer = login.send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    assert!(server.says("waxseal keys plan"));
}

#[test]
fn prune_removes_what_is_over_and_its_files() {
    let place = ready();
    let keys = folder(&place);
    place.ok(&["keys", "rotate"], "");
    age(&keys, DAY);
    assert_eq!(json_of(&place, &["keys", "prune"])["removed"], json!([]));
    let over = json_of(&place, &["keys", "list"])[0]["kid"].clone();
    age(&keys, TAIL - DAY + LEAD);
    fs::write(keys.join("mine.pem"), "not of the schedule").unwrap();
    let before = names(&keys, ".pem").len();
    assert_eq!(
        json_of(&place, &["keys", "prune"])["removed"],
        json!([over])
    );
    assert_eq!(names(&keys, ".pem").len(), before - 1);
    assert_eq!(scheduled(&keys).len(), 2);
    assert!(keys.join("mine.pem").exists());
    place.ok(&["keys", "plan"], "");
}

#[test]
fn a_revocation_in_the_middle_of_the_schedule_can_be_pruned() {
    let place = ready();
    let keys = folder(&place);
    place.add_user("alice");
    place.ok(&["keys", "rotate"], "");
    age(&keys, 2 * HOUR);
    let done = json_of(&place, &["keys", "rotate"]);
    let middle = done["timeline"][1]["kid"].as_str().unwrap();
    place.ok(&["keys", "revoke", middle], "");
    assert_eq!(json_of(&place, &["keys", "prune"])["removed"], json!([]));
    place.ok(&["keys", "plan"], "");
    age(&keys, TAIL);
    let removed = json_of(&place, &["keys", "prune"]);
    assert_eq!(removed["removed"].as_array().unwrap().len(), 2);
    refused(
        &place.run(&["keys", "revoke", middle], ""),
        1,
        &["has no key", middle, "waxseal keys list"],
    );
}

/// Runs the unmodified script.
fn script(place: &Place, arguments: &[&str]) -> Output {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/rotate-keys");
    let program = program();
    let mut command = Command::new(path);
    for (name, _) in program.get_envs() {
        command.env_remove(name);
    }
    command
        .args(arguments)
        .env("WAXSEAL", program.get_program())
        .current_dir(place.path())
        .stdin(Stdio::null());
    command.output().unwrap()
}

#[test]
fn the_script_rotates_when_it_is_due_and_prunes() {
    let place = Place::new();
    let keys = folder(&place);
    let run = |count: usize| {
        let output = script(&place, &[]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(scheduled(&keys).len(), count);
    };
    run(2);
    run(2);
    age(&keys, 31 * DAY);
    run(3);
    run(3);
    age(&keys, 2 * DAY);
    run(2);
    let output = script(&place, &["1h"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(scheduled(&keys).len(), 3);
    refused(&script(&place, &["soon"]), 2, &["\"soon\""]);

    let path = keys.join("keyring.json");
    let text = fs::read(&path).unwrap();
    fs::write(&path, &text[..20]).unwrap();
    let before = content(&keys);
    refused(&script(&place, &[]), 1, &["keyring.json"]);
    assert_eq!(content(&keys), before);
}

#[tokio::test]
async fn a_service_changes_its_format_once_the_new_keys_are_published() {
    let place = Place::new();
    let keys = folder(&place);
    place.add_user("alice");
    let client = reqwest::Client::new();
    let old = place.serve().login(&client, "alice").await;
    let serve = |format: &str, accept: Option<&str>| {
        let mut command = program();
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--issuer", ISSUER])
            .env("WAXSEAL_TOKEN_FORMAT", format)
            .current_dir(place.path());
        if let Some(accept) = accept {
            command.env("WAXSEAL_ACCEPT", accept);
        }
        command
    };
    let before = scheduled(&keys);
    let both = Server::start(serve("jwt", Some("jwt,paseto")));
    let after = scheduled(&keys);
    assert!(after.is_superset(&before));
    assert_eq!(after.len(), before.len() + 2, "a signer and a successor");
    assert_eq!(both.verify(&client, &old).await, 200);
    drop(both);
    let early = serve("paseto", Some("jwt,paseto")).output().unwrap();
    refused(&early, 1, &["paseto before ", "accept = \"jwt,paseto\""]);
    age(&keys, LEAD);

    let both = Server::start(serve("paseto", Some("jwt,paseto")));
    let new = both.login(&client, "alice").await;
    assert!(new.starts_with("v4.public."));
    for token in [&old, &new] {
        assert_eq!(both.verify(&client, token).await, 200);
    }
    drop(both);
    let one = Server::start(serve("paseto", None));
    assert_eq!(one.verify(&client, &new).await, 200);
    assert_eq!(one.verify(&client, &old).await, 401);
    let paserks = client
        .get(format!("{}/.well-known/paserks.json", one.url))
        .send();
    let paserks: Value = paserks.await.unwrap().json().await.unwrap();
    let mut kids = paserks["keys"].as_array().unwrap().iter();
    assert_eq!(kids.len(), 2);
    assert!(kids.any(|key| key["kid"] == kid(&new)));

    place.ok(&["keys", "rotate", "--token-format", "paseto"], "");
    let rows = json_of(&place, &["keys", "list"]);
    let jwt = ["signs", "successor"];
    let paseto = ["verifies", "signs", "successor"];
    assert_eq!(states(&rows), [&jwt[..], &paseto].concat());
}

#[test]
fn unknown_formats_are_refused_by_name() {
    let place = Place::new();
    for (variables, words) in [
        (
            vec![("WAXSEAL_TOKEN_FORMAT", "jwe")],
            ["token_format", "\"jwe\"", "jwt or paseto"],
        ),
        (
            vec![("WAXSEAL_TOKEN_FORMAT", "JWT")],
            ["token_format", "\"JWT\"", "WAXSEAL_TOKEN_FORMAT"],
        ),
        (
            vec![("WAXSEAL_ACCEPT", "jwt,saml")],
            ["accept", "\"jwt,saml\"", "jwt,paseto"],
        ),
        (
            vec![("WAXSEAL_ACCEPT", "paseto")],
            ["accept", "without jwt", "token_format"],
        ),
        (
            vec![
                ("WAXSEAL_TOKEN_FORMAT", "paseto"),
                ("WAXSEAL_ACCEPT", "jwt"),
            ],
            ["accept", "without paseto", "token_format"],
        ),
    ] {
        let mut command = program();
        command
            .args(["keys", "list"])
            .envs(variables)
            .current_dir(place.path());
        refused(&command.output().unwrap(), 2, &words);
    }
}
