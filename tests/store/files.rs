//! Folders and files that other users may change: the service does not start, and says how to fix it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use super::common::Place;

fn change(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn files_that_others_can_change_are_refused_until_fixed() {
    let place = Place::new();
    place.add_user("alice");
    drop(place.serve());
    let serve = ["serve", "--listen", "127.0.0.1:0"];
    let list = ["user", "list"];
    let keys = ["keys", "list"];
    let add = ["user", "add", "bob", "--generate"];
    for (name, open, commands) in [
        ("data", 0o707, &[&serve[..], &list, &add][..]),
        ("data", 0o1777, &[&serve[..]]),
        ("data/waxseal.db", 0o602, &[&serve[..], &list, &add]),
        ("data/waxseal.db-wal", 0o666, &[&serve[..], &list]),
        ("data/waxseal.db-shm", 0o666, &[&serve[..], &list]),
        ("data/lock", 0o606, &[&serve[..], &add]),
        ("mark", 0o777, &[&serve[..], &add]),
        ("mark/mark", 0o602, &[&serve[..], &add]),
        ("keys", 0o777, &[&serve[..], &keys]),
    ] {
        let path = place.path().join(name);
        if !path.exists() {
            // SQLite removes its other files when it closes the database; a crash leaves them.
            fs::write(&path, "").unwrap();
        }
        change(&path, open);
        for command in commands {
            let output = place.run(command, "");
            let said = said(&output);
            assert_eq!(output.status.code(), Some(1), "{name}, {command:?}: {said}");
            assert!(said.contains(&format!("mode {open:04o}")), "{said}");
            assert_eq!(mode(&path), open, "it is the operator's to mend");
        }
        let said = said(&place.run(commands[0], ""));
        let mend = said.trim_end().rsplit("run: ").next().unwrap();
        assert_eq!(mend, format!("chmod go-w {name}"));
        let mut shell = Command::new("sh");
        let done = shell.args(["-c", mend]).current_dir(place.path()).status();
        assert!(done.unwrap().success());
        assert!(place.run(&list, "").status.success(), "{name}");
    }
    drop(place.serve());
}

#[test]
fn a_database_that_others_could_read_is_restricted_with_a_warning() {
    let place = Place::new();
    place.add_user("alice");
    let database = place.path().join("data/waxseal.db");
    change(&database, 0o644);
    let mut server = place.serve();
    assert_eq!(mode(&database), 0o600);
    assert!(server.says("other users could read the database"));
    assert!(server.terminate().success());
    let mut server = place.serve();
    assert!(server.terminate().success());
    assert!(!server.log().contains("other users could read the database"));
}

#[test]
fn a_folder_that_everybody_can_replace_is_reported() {
    let place = Place::new();
    change(place.path(), 0o777);
    let mut server = place.serve();
    assert!(server.says("chmod +t"));
    assert!(server.terminate().success());
    change(place.path(), 0o1777);
    let mut server = place.serve();
    assert!(server.terminate().success());
    assert!(!server.log().contains("chmod +t"));
}
