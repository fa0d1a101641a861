//! The folder of private keys.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use waxseal::embedded::KeyFolder;
use waxseal::encoding::paserk;
use waxseal::key::{Algorithm, Format, SigningKey, generate_pem};
use waxseal::keyring::KeyringError;
use waxseal::random::OsRandom;
use waxseal::report::report;
use waxseal::schedule::ScheduleError;
use waxseal::store::key_folder::{KeyFolderChange, KeyFolderError, keyring, load};
use waxseal::time::{ManualClock, Timestamp};

use super::common::{ISSUER, Place, Server, program};
use super::{Keys, NOW, mode, new_ec, new_ed25519, openssl, set_mode, signer};

/// Computes the `kid` with OpenSSL, independently of the library: the RFC 7638 thumbprint, or the `k4.pid`, whose hash
/// the official vectors check.
fn kid(algorithm: Algorithm, private_pem: &[u8]) -> String {
    let spki = openssl("pkey -pubout -outform DER", private_pem);
    let coordinate = |from_end: usize| {
        let start = spki.len() - from_end;
        URL_SAFE_NO_PAD.encode(&spki[start..start + 32])
    };
    let json = match algorithm {
        Algorithm::V4Public => return paserk::public_id(spki.last_chunk().unwrap()),
        Algorithm::EdDsa => format!(
            r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#,
            coordinate(32)
        ),
        Algorithm::Es256 => format!(
            r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#,
            coordinate(64),
            coordinate(32)
        ),
        other => panic!("{other:?}"),
    };
    URL_SAFE_NO_PAD.encode(openssl("dgst -sha256 -binary", json.as_bytes()))
}

#[test]
fn openssl_reads_our_keys_and_the_kid_is_made_from_the_key() {
    for algorithm in Algorithm::ALL {
        let pem = generate_pem(algorithm, &OsRandom::new());
        let key = SigningKey::from_pem(pem.as_bytes(), algorithm.format()).unwrap();
        assert_eq!(key.public().algorithm(), algorithm);
        let text = openssl("pkey -noout -text", pem.as_bytes());
        let text = String::from_utf8(text).unwrap();
        let names = match algorithm {
            Algorithm::EdDsa | Algorithm::V4Public => "ED25519 Private-Key",
            Algorithm::Es256 => "NIST CURVE: P-256",
            other => panic!("{other:?}"),
        };
        assert!(text.contains(names), "{text}");
        let expected = kid(algorithm, pem.as_bytes());
        assert_eq!(key.public().kid().as_str(), expected);
    }
}

#[test]
fn generated_keys_differ() {
    for algorithm in Algorithm::ALL {
        let [one, two] = [(); 2].map(|()| generate_pem(algorithm, &OsRandom::new()));
        assert_ne!(*one, *two);
    }
}

#[test]
fn keys_made_by_openssl_load() {
    for (algorithm, pem) in [
        (Algorithm::EdDsa, new_ed25519()),
        (Algorithm::Es256, new_ec("P-256")),
    ] {
        let folder = Keys::new();
        let path = folder.write("mine.pem", &pem);
        let files = load(folder.path()).unwrap();
        assert_eq!(files.len(), 1);
        assert_eq!(files[0].path, path);
        let public = files[0].key.public();
        assert_eq!(public.algorithm(), algorithm);
        assert_eq!(public.kid().as_str(), kid(algorithm, &pem));

        // Line endings of another operating system.
        let crlf = String::from_utf8(pem).unwrap().replace('\n', "\r\n");
        let again = SigningKey::from_pem(crlf.as_bytes(), Format::Jwt).unwrap();
        assert_eq!(again.public().kid(), public.kid());
    }
}

#[test]
fn a_key_that_others_can_reach_is_refused() {
    let folder = Keys::new();
    let path = folder.write("mine.pem", &new_ed25519());
    for bits in [0o644, 0o640, 0o660, 0o604, 0o602, 0o610, 0o666, 0o777] {
        set_mode(&path, bits);
        let error = load(folder.path()).unwrap_err();
        assert!(matches!(error, KeyFolderError::Mode { mode, .. } if mode == bits));
        let text = error.to_string();
        assert!(text.contains(&format!("has mode {bits:04o}")), "{text}");
        assert!(
            text.ends_with(&format!("run: chmod 600 {}", path.display())),
            "{text}"
        );
        assert!(keyring(folder.path()).is_err());
    }
    for bits in [0o400, 0o600] {
        set_mode(&path, bits);
        assert_eq!(load(folder.path()).unwrap().len(), 1, "{bits:o}");
    }
}

/// Kubernetes mounts a Secret as links to files in a folder that `..data` points to; chmod has no effect there.
#[test]
fn a_mounted_secret_that_others_can_reach_is_refused_with_the_setting_of_its_volume() {
    let folder = Keys::new();
    let path = folder.write("mine.pem", &new_ed25519());
    symlink(folder.path(), folder.path().join("..data")).unwrap();
    set_mode(&path, 0o644);
    let text = load(folder.path()).unwrap_err().to_string();
    assert!(text.contains("has mode 0644"), "{text}");
    assert!(text.ends_with("set: defaultMode: 0440"), "{text}");
}

#[test]
fn one_file_that_others_can_reach_refuses_the_folder() {
    let folder = Keys::new();
    folder.write("1.pem", &new_ed25519());
    let open = folder.write("2.pem", &new_ed25519());
    folder.write("3.pem", &new_ed25519());
    set_mode(&open, 0o644);
    let text = keyring(folder.path()).unwrap_err().to_string();
    assert!(text.contains("2.pem"), "{text}");
    set_mode(&open, 0o600);
    assert_eq!(keyring(folder.path()).unwrap().plan().len(), 3);
}

#[test]
fn a_link_is_followed_and_the_mode_of_its_target_counts() {
    let (elsewhere, folder) = (Keys::new(), Keys::new());
    let target = elsewhere.write("target", &new_ed25519());
    let link = folder.path().join("link.pem");
    symlink(&target, &link).unwrap();
    assert_eq!(load(folder.path()).unwrap()[0].path, link);

    set_mode(&target, 0o644);
    let text = load(folder.path()).unwrap_err().to_string();
    assert!(text.contains("has mode 0644"), "{text}");
    assert!(text.contains("link.pem"), "{text}");

    fs::remove_file(&target).unwrap();
    let error = load(folder.path()).unwrap_err();
    assert!(matches!(error, KeyFolderError::Io { .. }), "{error}");
    assert!(error.to_string().contains("link.pem"), "{error}");
}

#[test]
fn files_without_a_pem_name_are_ignored() {
    let folder = Keys::new();
    folder.write("mine.pem", &new_ed25519());
    for name in [
        "README.md",
        ".gitignore",
        ".pem",
        "old.pem.bak",
        "old.pem~",
        "OLD.PEM",
        "pem",
        ".1800000000000-eddsa.pem.partial",
    ] {
        let path = folder.write(name, b"-----BEGIN PRIVATE KEY-----\nMC4C");
        set_mode(&path, 0o644);
    }
    let files = load(folder.path()).unwrap();
    assert_eq!(files.len(), 1);
    assert!(files[0].path.ends_with("mine.pem"));
}

#[test]
fn a_missing_folder_has_no_keys_and_a_file_is_refused_as_a_folder() {
    let folder = Keys::new();
    assert!(load(&folder.path().join("none")).unwrap().is_empty());
    let none = keyring(folder.path()).unwrap();
    assert!(signer(&none).is_none() && none.plan().is_empty());
    let file = folder.write("file", b"");
    let text = load(&file).unwrap_err().to_string();
    assert!(text.contains(file.to_str().unwrap()), "{text}");

    fs::create_dir(folder.path().join("folder.pem")).unwrap();
    let text = load(folder.path()).unwrap_err().to_string();
    assert!(text.contains("folder.pem"), "{text}");
}

#[test]
fn one_key_in_two_files_is_refused() {
    for pem in [new_ed25519(), new_ec("P-256")] {
        let folder = Keys::new();
        folder.write("1.pem", &pem);
        let ring = keyring(folder.path()).unwrap();
        let kid = signer(&ring).unwrap().public().kid();
        let copy = folder.write("2.pem", &pem);
        let error = keyring(folder.path()).unwrap_err();
        let text = report(&error).to_string();
        assert!(
            matches!(error, KeyFolderError::Keyring { why: KeyringError::Schedule(ScheduleError::DoubleKid(double)), .. } if double == *kid)
        );
        assert!(text.contains(folder.path().to_str().unwrap()), "{text}");
        assert!(text.contains("remove one of them"), "{text}");
        fs::remove_file(copy).unwrap();
        assert!(keyring(folder.path()).is_ok());
    }
}

#[test]
fn without_a_schedule_the_last_by_name_signs_and_all_verify() {
    let folder = Keys::new();
    let paths = [
        folder.write("1800000000000-es256.pem", &new_ec("P-256")),
        folder.write("1800000000001-eddsa.pem", &new_ed25519()),
        folder.write("0999999999999-eddsa.pem", &new_ed25519()),
    ];
    let files = load(folder.path()).unwrap();
    let loaded: Vec<_> = files.iter().map(|file| &file.path).collect();
    assert_eq!(loaded, [&paths[2], &paths[0], &paths[1]]);
    let ring = keyring(folder.path()).unwrap();
    let signing = signer(&ring).unwrap().public().kid();
    assert_eq!(signing, files[2].key.public().kid());
    for file in &files {
        let kid = file.key.public().kid().as_str();
        assert!(ring.verifying(kid, NOW).is_some());
    }
}

/// Creates a key at `at` that is not in any schedule yet.
fn new_key(folder: &Keys, algorithm: Algorithm, at: Timestamp) -> PathBuf {
    let mut change = KeyFolderChange::begin(folder.path()).unwrap();
    let pem = generate_pem(algorithm, &OsRandom::new());
    let (kid, _) = change.add_pem(&pem, algorithm.format(), at).unwrap();
    drop(change);
    let mut files = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    files
        .find(|path| path.to_string_lossy().contains(kid.as_str()))
        .unwrap()
}

#[test]
fn new_keys_have_names_in_the_order_of_their_times() {
    let folder = Keys::new();
    // The last two times have different numbers of digits.
    let paths = [1_800_000_000_000, 1_800_000_000_001, 999_999_999_999]
        .map(Timestamp::from_millis)
        .map(|at| new_key(&folder, Algorithm::EdDsa, at));
    let mut sorted = paths.clone();
    sorted.sort();
    assert_eq!(sorted, [&paths[2], &paths[0], &paths[1]].map(Clone::clone));
    for path in &paths {
        assert_eq!(mode(path), 0o600);
    }
}

#[test]
fn two_keys_made_in_one_millisecond_are_both_kept() {
    let folder = Keys::new();
    let first = new_key(&folder, Algorithm::EdDsa, NOW);
    let before = fs::read(&first).unwrap();
    let second = new_key(&folder, Algorithm::EdDsa, NOW);
    assert_ne!(first, second);
    let after = fs::read(&first).unwrap();
    assert!(after == before, "a key that may have signed is gone");
    assert!(second.exists());
    assert!(
        load(folder.path()).unwrap().is_empty(),
        "what no schedule names does not sign"
    );
}

#[test]
fn a_leftover_file_of_a_crash_is_ignored() {
    let folder = Keys::new();
    let leftover = vec![b'x'; 5000];
    for name in [
        ".1800000000000-EdDSA-kid.pem.partial",
        ".1700000000000-es256.pem.partial",
        ".keyring.json.partial",
        ".lock",
    ] {
        folder.write(name, &leftover);
    }
    assert!(load(folder.path()).unwrap().is_empty());
    let (none, clock) = (HashSet::new(), ManualClock::at(NOW));
    let rotated = KeyFolder::new(folder.path())
        .rotate(Algorithm::EdDsa, None, &none, &clock, &OsRandom::new())
        .unwrap();
    assert_eq!(mode(&folder.path().join("keyring.json")), 0o600);
    let plan = keyring(folder.path()).unwrap().plan().to_vec();
    assert_eq!((plan.len(), plan), (2, rotated.plan));
}

/// Starts the server with umask 0, so that the program alone decides the modes.
fn serve(place: &Place, algorithm: Algorithm) -> Server {
    let program = program();
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"umask 000; exec "$0" "$@""#])
        .arg(program.get_program())
        .args(["serve", "--listen", "127.0.0.1:0", "--issuer", ISSUER])
        .args(["--token-format", algorithm.format().name()])
        .args(match algorithm {
            Algorithm::V4Public => vec![],
            other => vec!["--algorithm", other.name()],
        })
        .current_dir(place.path());
    for (name, value) in program.get_envs() {
        match value {
            None => command.env_remove(name),
            Some(value) => command.env(name, value),
        };
    }
    Server::start(command)
}

#[test]
fn the_first_start_makes_a_signer_and_a_successor_and_the_second_none() {
    for algorithm in Algorithm::ALL {
        let place = Place::new();
        let keys = place.path().join("keys");
        drop(serve(&place, algorithm));
        assert_eq!(mode(&keys), 0o700);
        let files = load(&keys).unwrap();
        let [signer, successor] = files.as_slice() else {
            panic!("{files:?}");
        };
        assert!(signer.times.signs_from.is_some());
        assert_eq!(successor.times.signs_from, None);
        let (kid, next) = (signer.key.public().kid(), successor.key.public().kid());
        assert_ne!(kid, next);
        for file in &files {
            assert_eq!(file.key.public().algorithm(), algorithm);
            assert_eq!(mode(&file.path), 0o600);
        }
        let left: BTreeSet<_> = fs::read_dir(&keys)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        let expected = [
            keys.join(".lock"),
            keys.join("keyring.json"),
            signer.path.clone(),
            successor.path.clone(),
        ];
        assert_eq!(left, BTreeSet::from(expected), "nothing else is left");
        assert_eq!(mode(&keys.join("keyring.json")), 0o600);

        fs::write(keys.join(".1-eddsa.pem.partial"), "-----BEGIN PRI").unwrap();
        let before = fs::read(keys.join("keyring.json")).unwrap();
        drop(serve(&place, algorithm));
        assert_eq!(fs::read(keys.join("keyring.json")).unwrap(), before);
        let again = load(&keys).unwrap();
        assert_eq!(again.len(), 2);
        for (file, before) in again.iter().zip(&files) {
            assert_eq!(file.key.public().kid(), before.key.public().kid());
        }

        let listed = place.ok(&["keys", "list", "--json"], "");
        let listed: Value = serde_json::from_str(&listed).unwrap();
        assert_eq!(listed.as_array().unwrap().len(), 2);
        for (row, kid, state) in [(0, kid, "signs"), (1, next, "successor")] {
            assert_eq!(listed[row]["kid"], kid.as_str());
            assert_eq!(listed[row]["algorithm"], algorithm.name());
            assert_eq!(listed[row]["format"], algorithm.format().name());
            assert_eq!(listed[row]["state"], state);
            assert_eq!(listed[row]["signs"], state == "signs");
        }
    }
}

#[test]
fn a_server_does_not_start_over_a_key_that_others_can_reach() {
    let place = Place::new();
    drop(serve(&place, Algorithm::EdDsa));
    let path = load(&place.path().join("keys")).unwrap().remove(0).path;
    set_mode(&path, 0o644);
    let output = place.run(&["serve", "--listen", "127.0.0.1:0"], "");
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(text.contains("chmod 600") && text.contains(name), "{text}");
    assert_eq!(mode(&path), 0o644, "it is the operator's to mend");
}
