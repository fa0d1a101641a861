//! `keyring.json`, changed by hand or by accident.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use waxseal::embedded::KeyFolder;
use waxseal::key::{Algorithm, Format, KeyError, SigningKey, generate_pem};
use waxseal::keyring::{Keyring, KeyringError};
use waxseal::random::OsRandom;
use waxseal::report::report;
use waxseal::schedule::{ScheduleError, Times};
use waxseal::store::key_folder::{KeyFolderError, keyring};
use waxseal::time::ManualClock;

use super::{Keys, NOW, set_mode, signer};

/// A folder with a schedule: a signing key and a successor for each algorithm.
struct Scheduled {
    folder: Keys,
    path: PathBuf,
    json: Value,
}

impl Scheduled {
    fn new(algorithms: &[Algorithm]) -> Self {
        let folder = Keys::new();
        for algorithm in algorithms {
            let (none, clock) = (HashSet::new(), ManualClock::at(NOW));
            KeyFolder::new(folder.path())
                .rotate(*algorithm, None, &none, &clock, &OsRandom::new())
                .unwrap();
        }
        keyring(folder.path()).unwrap();
        let path = folder.path().join("keyring.json");
        let json = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        Self { folder, path, json }
    }

    /// Returns the row of the signing key with this algorithm.
    fn row(&self, algorithm: Algorithm) -> usize {
        let keys = self.json["keys"].as_array().unwrap();
        keys.iter()
            .position(|key| key["algorithm"] == algorithm.name() && !key["signs_from"].is_null())
            .unwrap()
    }

    fn text(&self, row: usize, member: &str) -> &str {
        self.json["keys"][row][member].as_str().unwrap()
    }

    /// Returns the error for the folder with this text as its schedule.
    fn error_of(&self, text: &str) -> KeyFolderError {
        fs::write(&self.path, text).unwrap();
        let error = keyring(self.folder.path()).expect_err(text);
        fs::write(&self.path, self.json.to_string()).unwrap();
        keyring(self.folder.path()).expect("the schedule as it was");
        error
    }

    /// Asserts that the schedule is refused with an error that names its file and contains these words.
    fn refused(&self, text: &str, words: &[&str]) {
        let error = self.error_of(text);
        assert!(
            matches!(&error, KeyFolderError::Manifest { path, .. } if *path == self.path),
            "{text}: {error:?}"
        );
        let said = report(&error).to_string();
        for word in words {
            assert!(said.contains(word), "{word} is missing in {said}");
        }
    }

    /// Returns the schedule with a member of one row set.
    fn with(&self, row: usize, member: &str, value: Value) -> String {
        let mut json = self.json.clone();
        json["keys"][row][member] = value;
        json.to_string()
    }

    /// Returns the schedule with members of two rows exchanged.
    fn exchanged(&self, one: usize, other: usize, members: &[&str]) -> String {
        let mut json = self.json.clone();
        for member in members {
            json["keys"][one][member] = self.json["keys"][other][member].clone();
            json["keys"][other][member] = self.json["keys"][one][member].clone();
        }
        json.to_string()
    }

    fn schedule_error(&self, text: &str) -> ScheduleError {
        match self.error_of(text) {
            KeyFolderError::Keyring {
                why: KeyringError::Schedule(why),
                ..
            } => why,
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn files_swapped_between_formats() {
    let scheduled = Scheduled::new(&[Algorithm::EdDsa, Algorithm::V4Public]);
    let (jwt, paseto) = (
        scheduled.row(Algorithm::EdDsa),
        scheduled.row(Algorithm::V4Public),
    );
    let swapped = scheduled.exchanged(jwt, paseto, &["file"]);
    let first = jwt.min(paseto);
    // The error names the file that was found and the key that it should contain.
    let file = scheduled.text(jwt.max(paseto), "file").to_owned();
    scheduled.refused(&swapped, &[&file, scheduled.text(first, "kid")]);

    // The contents of the two files exchanged.
    let paths = [jwt, paseto].map(|row| {
        let file = scheduled.text(row, "file");
        scheduled.folder.path().join(file)
    });
    let contents = paths.each_ref().map(|path| fs::read(path).unwrap());
    scheduled
        .folder
        .write(scheduled.text(jwt, "file"), &contents[1]);
    scheduled
        .folder
        .write(scheduled.text(paseto, "file"), &contents[0]);
    let said = report(&keyring(scheduled.folder.path()).unwrap_err()).to_string();
    for word in [scheduled.text(first, "file"), scheduled.text(first, "kid")] {
        assert!(said.contains(word), "{said}");
    }
}

#[test]
fn a_p256_file_swapped_with_one_for_paseto() {
    let scheduled = Scheduled::new(&[Algorithm::V4Public, Algorithm::Es256]);
    let (jwt, paseto) = (
        scheduled.row(Algorithm::Es256),
        scheduled.row(Algorithm::V4Public),
    );
    let swapped = scheduled.exchanged(jwt, paseto, &["file"]);
    let error = scheduled.error_of(&swapped);
    let KeyFolderError::Key { path, why } = error else {
        panic!("{error:?}");
    };
    assert_eq!(why, KeyError::NotForPaseto);
    assert!(path.ends_with(scheduled.text(jwt, "file")), "{path:?}");
}

#[test]
fn names_or_algorithms_that_are_not_the_files() {
    let scheduled = Scheduled::new(&[Algorithm::EdDsa, Algorithm::V4Public]);
    let (jwt, paseto) = (
        scheduled.row(Algorithm::EdDsa),
        scheduled.row(Algorithm::V4Public),
    );
    let successor = (0..4).find(|row| {
        let key = &scheduled.json["keys"][*row];
        key["algorithm"] == "EdDSA" && *row != jwt
    });
    let successor = successor.unwrap();
    for text in [
        scheduled.exchanged(jwt, paseto, &["kid"]),
        scheduled.exchanged(jwt, paseto, &["algorithm"]),
        scheduled.exchanged(jwt, paseto, &["kid", "algorithm"]),
        scheduled.exchanged(jwt, paseto, &["file", "algorithm"]),
        scheduled.exchanged(jwt, paseto, &["file", "kid"]),
        scheduled.exchanged(jwt, successor, &["kid"]),
        scheduled.exchanged(jwt, successor, &["file"]),
        scheduled.with(jwt, "kid", json!("theirs")),
        scheduled.with(jwt, "algorithm", json!("v4.public")),
        scheduled.with(jwt, "algorithm", json!("ES256")),
        scheduled.with(paseto, "algorithm", json!("EdDSA")),
    ] {
        scheduled.refused(&text, &["is not the key", ".pem"]);
    }
    for algorithm in ["", "eddsa", "Ed25519", "v3.public", "v4.local", "none"] {
        let text = scheduled.with(jwt, "algorithm", json!(algorithm));
        scheduled.refused(&text, &[&format!("{algorithm:?}"), "unknown"]);
    }
    for kid in ["", "a b", "\u{e9}"] {
        let text = scheduled.with(jwt, "kid", json!(kid));
        scheduled.refused(&text, &["is no key ID"]);
    }
}

/// The same row twice, or a copy of the file under another name.
#[test]
fn two_keys_with_one_kid() {
    let scheduled = Scheduled::new(&[Algorithm::EdDsa]);
    let row = scheduled.row(Algorithm::EdDsa);
    let kid = scheduled.text(row, "kid");
    let double = ScheduleError::DoubleKid(kid.parse().unwrap());
    let mut json = scheduled.json.clone();
    let mut again = json["keys"][row].clone();
    json["keys"].as_array_mut().unwrap().push(again.clone());
    assert_eq!(scheduled.schedule_error(&json.to_string()), double);

    let file = scheduled.folder.path().join(scheduled.text(row, "file"));
    scheduled.folder.write("copy.pem", &fs::read(file).unwrap());
    again["file"] = json!("copy.pem");
    again["signs_from"] = json!(null);
    let last = json["keys"].as_array().unwrap().len() - 1;
    json["keys"][last] = again;
    assert_eq!(scheduled.schedule_error(&json.to_string()), double);
    assert!(double.to_string().contains(kid));
}

#[test]
fn one_key_in_both_formats() {
    let scheduled = Scheduled::new(&[Algorithm::EdDsa]);
    let row = scheduled.row(Algorithm::EdDsa);
    let file = scheduled.folder.path().join(scheduled.text(row, "file"));
    let pem = fs::read(file).unwrap();
    let key = SigningKey::from_pem(&pem, Format::Paseto).unwrap();
    let mut json = scheduled.json.clone();
    let mut other = json["keys"][row].clone();
    other["algorithm"] = json!("v4.public");
    other["kid"] = json!(key.public().kid());
    json["keys"].as_array_mut().unwrap().push(other);
    let error = scheduled.error_of(&json.to_string());
    let said = report(&error).to_string();
    let KeyFolderError::Keyring { why, .. } = error else {
        panic!("{error:?}");
    };
    assert!(matches!(why, KeyringError::TwoFormats(..)), "{why:?}");
    for word in [scheduled.text(row, "kid"), key.public().kid().as_str()] {
        assert!(said.contains(word), "{said}");
    }
}

#[test]
fn json_other_than_a_schedule() {
    let scheduled = Scheduled::new(&[Algorithm::EdDsa]);
    let text = scheduled.json.to_string();
    let mut unknown = scheduled.json.clone();
    unknown["version"] = json!(1);
    scheduled.refused(&unknown.to_string(), &["unknown field", "version"]);
    let extra = scheduled.with(0, "paused", json!(true));
    scheduled.refused(&extra, &["unknown field", "paused"]);
    for member in scheduled.json["keys"][0].as_object().unwrap().keys() {
        let twice = text.replacen(
            &format!("\"{member}\":"),
            &format!("\"{member}\":null,\"{member}\":"),
            1,
        );
        scheduled.refused(&twice, &["restore it from a copy"]);
    }
    for member in ["kid", "algorithm", "file", "published"] {
        for value in [json!(null), json!(1), json!([])] {
            let text = scheduled.with(0, member, value);
            scheduled.refused(&text, &["restore it from a copy"]);
        }
        let mut missing = scheduled.json.clone();
        missing["keys"][0].as_object_mut().unwrap().remove(member);
        scheduled.refused(&missing.to_string(), &["missing field", member]);
    }
    for bad in [
        String::new(),
        "{}".to_owned(),
        "null".to_owned(),
        r#"{"keys":{}}"#.to_owned(),
        r#"{"keys":[1]}"#.to_owned(),
        format!("{text}x"),
        format!("{text}{text}"),
        format!("\u{feff}{text}"),
        text[..text.len() / 2].to_owned(),
        text[..text.len() - 1].to_owned(),
    ] {
        scheduled.refused(&bad, &["restore it from a copy"]);
    }
}

#[test]
fn bad_times() {
    let scheduled = Scheduled::new(&[Algorithm::EdDsa]);
    let row = scheduled.row(Algorithm::EdDsa);
    for member in [
        "published",
        "signs_from",
        "signs_until",
        "verifies_until",
        "revoked_at",
    ] {
        for bad in [
            "",
            "never",
            "yesterday",
            "1800000000",
            "2027-01-15",
            "2027-01-15T08:00:00",
            "2027-13-15T08:00:00Z",
            "2027-01-15T25:00:00Z",
        ] {
            let text = scheduled.with(row, member, json!(bad));
            let quoted = format!("{bad:?}");
            scheduled.refused(&text, &[&quoted, scheduled.text(row, "kid")]);
        }
        let text = scheduled.with(row, member, json!(1_800_000_000));
        scheduled.refused(&text, &["restore it from a copy"]);
    }
}

#[test]
fn times_that_do_not_fit_together() {
    let scheduled = Scheduled::new(&[Algorithm::EdDsa]);
    let row = scheduled.row(Algorithm::EdDsa);
    let next = 1 - row;
    let kid = |row: usize| scheduled.text(row, "kid");
    let (early, late) = ("2026-01-01T00:00:00Z", "2028-01-01T00:00:00Z");

    let ends = scheduled.schedule_error(&scheduled.with(row, "signs_until", json!(late)));
    assert!(matches!(ends, ScheduleError::End { .. }), "{ends:?}");
    assert!(ends.to_string().contains("waxseal keys rotate"), "{ends}");
    let backwards = scheduled.schedule_error(&scheduled.with(row, "signs_until", json!(early)));
    assert_eq!(
        backwards,
        ScheduleError::Backwards(kid(row).parse().unwrap())
    );
    let short = scheduled.schedule_error(&scheduled.with(row, "verifies_until", json!(late)));
    assert!(matches!(short, ScheduleError::TooShort { .. }), "{short:?}");
    let both = scheduled.schedule_error(&scheduled.with(next, "signs_from", json!(late)));
    assert!(matches!(both, ScheduleError::Overlap { .. }), "{both:?}");

    let mut gap = scheduled.json.clone();
    gap["keys"][row]["signs_until"] = json!("2027-06-01T00:00:00Z");
    gap["keys"][next]["signs_from"] = json!("2027-06-02T00:00:00Z");
    let gap = scheduled.schedule_error(&gap.to_string()).to_string();
    for word in [
        "2027-06-01T00:00:00Z",
        "2027-06-02T00:00:00Z",
        "set signs_from of",
        kid(next),
    ] {
        assert!(gap.contains(word), "{gap}");
    }
    let mut soon = scheduled.json.clone();
    let at = "2027-01-15T08:00:01Z";
    soon["keys"][row]["signs_until"] = json!(at);
    soon["keys"][next]["signs_from"] = json!(at);
    let soon = scheduled.schedule_error(&soon.to_string());
    assert!(matches!(soon, ScheduleError::TooEarly { .. }), "{soon:?}");
}

#[test]
fn files_outside_the_folder_or_gone() {
    let scheduled = Scheduled::new(&[Algorithm::EdDsa]);
    let row = scheduled.row(Algorithm::EdDsa);
    let file = scheduled.text(row, "file");
    let absolute = scheduled.folder.path().join(file);
    for bad in [
        absolute.to_str().unwrap(),
        &format!("./{file}"),
        &format!("../{file}"),
        "..",
        "",
        "keyring.json",
        "/dev/null",
        &format!("{file}/"),
    ] {
        let text = scheduled.with(row, "file", json!(bad));
        scheduled.refused(&text, &["is not the name of a .pem file in the folder"]);
    }
    let gone = scheduled.error_of(&scheduled.with(row, "file", json!("gone.pem")));
    let said = gone.to_string();
    assert!(matches!(gone, KeyFolderError::Io { .. }), "{said}");
    assert!(said.contains("gone.pem"), "{said}");

    fs::remove_file(&absolute).unwrap();
    let error = keyring(scheduled.folder.path()).unwrap_err();
    assert!(error.to_string().contains(file), "{error}");
}

/// A file that the schedule does not name is not loaded as a key.
#[test]
fn a_file_that_the_schedule_does_not_name() {
    let scheduled = Scheduled::new(&[Algorithm::EdDsa]);
    let stray = generate_pem(Algorithm::EdDsa, &OsRandom::new());
    let key = SigningKey::from_pem(stray.as_bytes(), Format::Jwt).unwrap();
    scheduled.folder.write("9-stray.pem", stray.as_bytes());
    let ring = keyring(scheduled.folder.path()).unwrap();
    assert_eq!(ring.plan().len(), 2);
    let kid = key.public().kid().as_str();
    assert!(ring.verifying(kid, NOW).is_none());
    let row = scheduled.row(Algorithm::EdDsa);
    let signing = signer(&ring).unwrap().public().kid();
    assert_eq!(signing.as_str(), scheduled.text(row, "kid"));
}

#[test]
fn a_schedule_that_others_can_reach() {
    let scheduled = Scheduled::new(&[Algorithm::EdDsa]);
    for bits in [0o644, 0o660, 0o604, 0o602] {
        set_mode(&scheduled.path, bits);
        let error = keyring(scheduled.folder.path()).unwrap_err();
        assert!(matches!(error, KeyFolderError::Mode { mode, .. } if mode == bits));
        let said = error.to_string();
        let advice = format!("run: chmod 600 {}", scheduled.path.display());
        assert!(said.contains(&advice), "{said}");
    }
    for bits in [0o400, 0o600] {
        set_mode(&scheduled.path, bits);
        keyring(scheduled.folder.path()).unwrap();
    }
}

/// Without its schedule, a folder must not load keys for PASETO as keys for JWTs.
#[test]
fn a_schedule_that_is_gone() {
    for algorithms in [
        &[Algorithm::V4Public][..],
        &[Algorithm::EdDsa, Algorithm::V4Public],
    ] {
        let scheduled = Scheduled::new(algorithms);
        fs::remove_file(&scheduled.path).unwrap();
        let error = keyring(scheduled.folder.path()).unwrap_err();
        assert!(error.to_string().contains("keyring.json"), "{error}");
    }
}

#[test]
fn a_name_is_not_taken_twice_in_memory_either() {
    let pem = generate_pem(Algorithm::EdDsa, &OsRandom::new());
    let key = || SigningKey::from_pem(pem.as_bytes(), Format::Jwt).unwrap();
    let kid = key().public().kid().clone();
    let keys = vec![(key(), Times::first(NOW)), (key(), Times::successor(NOW))];
    assert_eq!(
        Keyring::new(keys).unwrap_err(),
        KeyringError::Schedule(ScheduleError::DoubleKid(kid))
    );
}
