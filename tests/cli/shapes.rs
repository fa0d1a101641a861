//! Output for programs: one resource has one shape, and errors are JSON too. Output for people has a header.

use std::collections::BTreeSet;

use serde_json::Value;
use waxseal::key::{Algorithm, generate_pem};
use waxseal::random::OsRandom;

use super::commands::json;
use super::common::{PASSWORD, Place};

fn members(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

/// Runs each command, and asserts that its result has the members of a row of the list plus its own additional ones.
fn same_shape(place: &Place, list: &[&str], commands: &[(&[&str], &[&str])]) {
    let list = [list, &["--json"]].concat();
    for (arguments, more) in commands {
        let result = json(&place.ok(&[arguments, &["--json"][..]].concat(), PASSWORD));
        let listed = json(&place.ok(&list, ""));
        let mut wanted = members(&listed[0]);
        wanted.extend(more.iter().map(|name| (*name).to_owned()));
        assert_eq!(members(&result), wanted, "{arguments:?}: {result}");
        // A row with the same ID must have the same values.
        let rows = listed.as_array().unwrap();
        let id = |value: &Value| {
            let names = ["id", "client_id", "kid"].iter();
            names.filter_map(|name| value.get(name)).next().cloned()
        };
        if let Some(row) = rows.iter().find(|row| id(row) == id(&result)) {
            for (name, value) in row.as_object().unwrap() {
                assert_eq!(&result[name], value, "{arguments:?}: {name}");
            }
        }
    }
}

#[test]
fn a_user_a_client_and_a_key_have_one_shape_each() {
    let place = Place::new();
    place.add_user("alice");
    let stdin = "--password-stdin";
    same_shape(
        &place,
        &["user", "list"],
        &[
            (&["user", "add", "bob"], &["password"]),
            (&["user", "add", "carol", stdin], &[]),
            (&["user", "passwd", "bob"], &["password", "seq"]),
            (&["user", "passwd", "bob", stdin], &["seq"]),
            (&["user", "disable", "bob"], &["seq"]),
            (&["user", "enable", "bob"], &[]),
            (&["user", "delete", "bob"], &["seq"]),
        ],
    );
    place.ok(&["client", "add", "orders"], "");
    same_shape(
        &place,
        &["client", "list"],
        &[
            (&["client", "add", "billing"], &["client_secret"]),
            (&["client", "rotate-secret", "billing"], &["client_secret"]),
            (&["client", "rotate-secret", "billing", "--finish"], &[]),
            (&["client", "disable", "billing"], &["seq"]),
            (&["client", "enable", "billing"], &[]),
            (&["client", "delete", "billing"], &["seq"]),
        ],
    );
    place.ok(&["keys", "rotate"], "");
    let pem = generate_pem(Algorithm::EdDsa, &OsRandom::new());
    let imported = json(&place.ok(&["keys", "import", "--json"], &pem));
    let kid = imported["kid"].as_str().unwrap();
    let listed = json(&place.ok(&["keys", "list", "--json"], ""));
    assert!(listed.as_array().unwrap().contains(&imported), "{listed}");
    let revoke = ["keys", "revoke", kid];
    let more = ["seq", "scope", "key"];
    same_shape(&place, &["keys", "list"], &[(&revoke, &more)]);
}

#[test]
fn with_json_an_error_is_json_and_its_exit_code_the_same() {
    let place = Place::new();
    place.add_user("alice");
    place.ok(&["keys", "rotate"], "");
    for (arguments, code, name, words) in [
        (&["user", "delete", "nobody"][..], 1, "refused", "user list"),
        (&["revoke", "session", "x"], 2, "usage", "token inspect"),
        (&["user", "add"], 2, "usage", "<NAME>"),
        (&["user", "add", "x", "--bogus"], 2, "usage", "--bogus"),
        (&["user"], 2, "usage", "--help"),
        (
            &["user", "list", "--token-cache", "1"],
            2,
            "usage",
            "token_cache",
        ),
        (
            &["user", "list", "--config", "absent"],
            2,
            "usage",
            "absent",
        ),
        (&["keys", "plan", "--every", "0s"], 3, "due", "keys rotate"),
    ] {
        let output = place.run(&[arguments, &["--json"]].concat(), "");
        let talk = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {talk}");
        assert_eq!(talk.lines().count(), 1, "{talk}");
        let error = json(&talk);
        assert_eq!(error["error"]["code"], name, "{talk}");
        let message = error["error"]["message"].as_str().unwrap();
        assert!(message.contains(words), "{arguments:?}: {message}");
        assert!(!message.starts_with("error"), "{message}");
    }
}

#[test]
fn lists_have_a_header_above_their_columns() {
    let place = Place::new();
    for name in ["alice", "a-much-longer-name"] {
        place.add_user(name);
        place.ok(&["client", "add", name, "--scope", "a:b"], "");
    }
    place.ok(&["user", "disable", "alice"], "");
    place.ok(&["keys", "rotate"], "");
    for (what, header) in [
        ("user", &["ID", "STATE", "CREATED", "USERNAME"][..]),
        (
            "client",
            &["CLIENT ID", "STATE", "CREATED", "NAME", "SCOPE"],
        ),
        (
            "keys",
            &[
                "STATE",
                "ALGORITHM",
                "SIGNS FROM",
                "SIGNS UNTIL",
                "VERIFIES UNTIL",
                "KEY ID",
            ],
        ),
    ] {
        let text = place.ok(&[what, "list"], "");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        let titles = lines[0].split("  ").map(str::trim);
        let titles: Vec<_> = titles.filter(|title| !title.is_empty()).collect();
        assert_eq!(titles, header);
        for title in titles {
            let column = lines[0].find(title).unwrap();
            for line in &lines[1..] {
                assert!(!line[column..].starts_with(' '), "{title}: {text}");
                assert!(column == 0 || line[..column].ends_with("  "), "{text}");
            }
        }
    }
}
