//! The structure of the source: imports point one way, files stay small, and time and randomness have one entry each.

mod architecture;
mod logs;
mod public_api;
mod rings;
mod suites;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The rooms, from the inside out. A file may use its own room and those before it.
const ROOMS: [&[&str]; 21] = [
    &["encoding"],
    &["time", "random", "meters", "report"],
    &["id"],
    &["scope"],
    &["claims"],
    &["crypto"],
    &["key"],
    &[
        "token/error",
        "token/mod",
        "token/jws",
        "token/jwt",
        "token/known",
        "token/paseto",
        "token/payload",
        "token/statement",
        "token/types",
    ],
    &["policy"],
    &["schedule"],
    &["keyring"],
    &["session"],
    &["revocation"],
    &["inventory"],
    &["account"],
    &["store"],
    &["verifier"],
    &["remote"],
    &["issuer"],
    &["http"],
    &["embedded"],
];

/// Returns the index of a file's room. `token/error`, the error for a malformed token, has none: it imports nothing, so
/// every room may use it.
fn room(path: &str) -> Option<usize> {
    let of = |name: &str| ROOMS.iter().position(|room| room.contains(&name));
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    of(path).or_else(|| of(first)).or_else(|| {
        of(&format!("{first}/mod"))
            .filter(|_| matches!(rest, "" | "self") || rest.starts_with(char::is_uppercase))
    })
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The imports `crate::a::b` of a source text without its comments, as `a/b`.
fn imports(source: &str) -> Vec<String> {
    let code: String = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let path: String = rest
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_' || *c == ':')
            .collect();
        let mut parts = path.split("::").filter(|part| !part.is_empty());
        let first = parts.next().unwrap_or_default();
        let braces = rest[path.len()..]
            .starts_with('{')
            .then(|| rest[path.len() + 1..].split('}').next().unwrap_or_default());
        match (parts.next(), braces) {
            (Some(second), _) => found.push(format!("{first}/{second}")),
            (None, Some(list)) => {
                found.extend(
                    list.split(',')
                        .map(|name| format!("{first}/{}", name.trim()))
                        .filter(|name| !name.ends_with('/')),
                );
            }
            (None, None) => found.push(first.to_owned()),
        }
    }
    found
}

#[test]
fn imports_point_one_way() {
    let source = root().join("src");
    let mut seen = BTreeMap::new();
    for path in sources(&source) {
        let name = path
            .strip_prefix(&source)
            .unwrap()
            .with_extension("")
            .display()
            .to_string();
        if name.starts_with("bin/") || name == "lib" {
            continue;
        }
        let own = room(&name).unwrap_or_else(|| panic!("{name} has no room in this test's list"));
        for import in imports(&fs::read_to_string(&path).unwrap()) {
            let other =
                room(&import).unwrap_or_else(|| panic!("{name} uses {import}, which has no room"));
            assert!(other <= own, "{name} uses {import}: that is the wrong way");
            *seen.entry((own, other)).or_insert(0) += 1;
        }
    }
    assert!(seen.len() > 20, "the test reads imports: {seen:?}");
    assert_eq!(
        imports("use crate::token::{Malformed, base64url};"),
        ["token/Malformed", "token/base64url"]
    );
    assert!(room("http/login") > room("issuer") && room("token/jwt") > room("claims"));
}

#[test]
fn the_library_within_reads_no_file_variable_or_signal() {
    let source = root().join("src");
    for path in sources(&source) {
        let name = path.strip_prefix(&source).unwrap().display().to_string();
        let outside = ["bin/", "store/", "embedded"]
            .iter()
            .any(|room| name.starts_with(room));
        let text = fs::read_to_string(&path).unwrap();
        for door in [
            "std::env",
            "std::fs",
            "std::process",
            "tokio::signal",
            "sqlx::",
            "clap::",
        ] {
            assert!(outside || !text.contains(door), "{name} uses {door}");
        }
        for door in ["axum::", "tower_http::"] {
            let edge = outside || name.starts_with("http/");
            assert!(edge || !text.contains(door), "{name} uses {door}");
        }
    }
}

#[test]
fn the_clock_and_the_randomness_have_one_door_each() {
    let lint = fs::read_to_string(root().join("clippy.toml")).unwrap();
    for door in [
        "std::time::SystemTime::now",
        "std::time::Instant::now",
        "chrono::Utc::now",
        "ring::rand::SystemRandom::new",
        "aws_lc_rs::rand::SystemRandom::new",
        "aws_lc_rs::rand::fill",
        "aws_lc_rs::signature::EcdsaKeyPair::generate",
        "aws_lc_rs::signature::Ed25519KeyPair::generate",
    ] {
        assert!(lint.contains(door), "clippy.toml forbids {door}");
    }
    for path in sources(&root().join("src")) {
        let excused = fs::read_to_string(&path)
            .unwrap()
            .contains("clippy::disallowed_methods");
        let door = path.ends_with("src/time.rs") || path.ends_with("src/random.rs");
        assert_eq!(excused, door, "{}", path.display());
    }
}

/// Whether the listed licences satisfy a licence expression (SPDX, annex D; `/` is an older `OR`).
fn is_licensed(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression.replace('/', " OR ");
    let spaced = spaced.replace('(', " ( ").replace(')', " ) ");
    let words: Vec<_> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let met = alternatives(&mut rest, allowed);
    assert!(rest.is_empty(), "{expression}: {rest:?}");
    met
}

fn alternatives(words: &mut &[&str], allowed: &[&str]) -> bool {
    let mut met = false;
    loop {
        let mut all = true;
        loop {
            all &= licence(words, allowed);
            match words {
                ["AND", rest @ ..] => *words = rest,
                _ => break,
            }
        }
        met |= all;
        match words {
            ["OR", rest @ ..] => *words = rest,
            _ => return met,
        }
    }
}

fn licence(words: &mut &[&str], allowed: &[&str]) -> bool {
    let (met, rest) = match *words {
        ["(", rest @ ..] => {
            let mut inner = rest;
            let met = alternatives(&mut inner, allowed);
            let [")", rest @ ..] = inner else {
                panic!("{inner:?}")
            };
            (met, rest)
        }
        [name, "WITH", exception, rest @ ..] => (
            allowed.contains(&&*format!("{name} WITH {exception}")),
            rest,
        ),
        [name, rest @ ..] => (allowed.contains(name), rest),
        [] => panic!("a licence is missing"),
    };
    *words = rest;
    met
}

/// `cargo deny` checks more, but has to be installed.
#[test]
fn the_crates_are_as_deny_toml_says() {
    let deny = fs::read_to_string(root().join("deny.toml")).unwrap();
    let deny: toml::Table = deny.parse().unwrap();
    let crates = |list: &str| -> Vec<&str> {
        let rows = deny["bans"][list].as_array().unwrap().iter();
        rows.map(|row| row["crate"].as_str().unwrap()).collect()
    };
    let texts = |value: &toml::Value| -> Vec<String> {
        let rows = value.as_array().unwrap().iter();
        rows.map(|row| row.as_str().unwrap().to_owned()).collect()
    };
    let (twice, banned) = (crates("skip"), crates("deny"));
    let allowed = texts(&deny["licenses"]["allow"]);
    let allowed: Vec<_> = allowed.iter().map(String::as_str).collect();
    let registries = texts(&deny["sources"]["allow-registry"]);
    let target = texts(&deny["graph"]["targets"]).remove(0);

    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--format-version", "1"])
        .args(["--all-features", "--filter-platform", &target])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let graph: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut versions = BTreeMap::new();
    for package in graph["packages"].as_array().unwrap() {
        let text = |key: &str| package[key].as_str().unwrap_or_default();
        let name = text("name");
        *versions.entry(name).or_insert(0) += 1;
        assert!(!banned.contains(&name), "{name}");
        if package["source"].is_null() {
            continue;
        }
        let source = text("source").trim_start_matches("registry+");
        assert!(registries.contains(&source.to_owned()), "{name}: {source}");
        let licence = text("license");
        assert!(is_licensed(licence, &allowed), "{name}: {licence}");
    }
    assert!(versions.len() > 100, "{versions:?}");
    for (name, count) in versions {
        assert_eq!(count > 1, twice.contains(&name), "{name}: {count}");
    }
    for (expression, met) in [
        ("GPL-3.0-only", false),
        ("MIT OR GPL-3.0-only", true),
        ("MIT AND GPL-3.0-only", false),
        ("(GPL-3.0-only OR MIT) AND ISC", true),
        ("Apache-2.0 WITH LLVM-exception", false),
        ("Unlicense/MIT", true),
    ] {
        assert_eq!(is_licensed(expression, &allowed), met, "{expression}");
    }
    for lock in ["bench/peers/Cargo.lock", "fuzz/Cargo.lock"] {
        let lock = fs::read_to_string(root().join(lock)).unwrap();
        for name in &banned {
            assert!(!lock.contains(&format!("\nname = \"{name}\"\n")), "{name}");
        }
    }
}

/// A build uses the tested versions: those in Cargo.lock.
#[test]
fn every_command_keeps_to_the_lock_file() {
    let mut seen = 0;
    for name in [
        "scripts/check",
        "scripts/test",
        "scripts/bench",
        ".ci/nightly",
        "README.md",
        "CONTRIBUTING.md",
        "docs/embedding.md",
        "docs/verifying.md",
    ] {
        let text = fs::read_to_string(root().join(name)).unwrap();
        for line in text.lines().filter(|line| !line.contains("printf")) {
            let verbs = [
                "bench", "build", "clippy", "doc", "install", "run", "test", "tree",
            ];
            let command = verbs.iter().any(|verb| {
                let command = format!("cargo {verb}");
                line.ends_with(&command) || line.contains(&format!("{command} "))
            });
            if command {
                seen += 1;
                assert!(line.contains(" --locked"), "{name}: {line}");
            }
        }
    }
    assert!(seen > 15, "{seen}");
}

#[test]
fn files_stay_small() {
    for folder in ["src", "tests", "benches", "examples"] {
        for path in sources(&root().join(folder)) {
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            assert!(lines <= 500, "{} has {lines} lines", path.display());
        }
    }
}

/// A page of the docs.
fn page(name: &str) -> String {
    fs::read_to_string(root().join("docs").join(name)).unwrap()
}

/// The tests that a text names as `file.rs::name`, by file and name: below `tests`, or in the library itself.
fn tests_named_in(text: &str) -> Vec<(PathBuf, Option<String>)> {
    let named = text.split('`').skip(1).step_by(2);
    let path = |file: &str| match file.starts_with("src/") {
        true => root().join(file),
        false => root().join("tests").join(file),
    };
    named
        .filter(|name| name.contains(".rs"))
        .map(|name| match name.split_once("::") {
            Some((file, test)) => (path(file), Some(test.to_owned())),
            None => (path(name), None),
        })
        .collect()
}

#[test]
fn every_test_that_the_docs_name_is_there() {
    let named = tests_named_in(&page("asvs.md"));
    assert!(named.len() > 100, "the test reads the page: {named:?}");
    for (file, test) in named {
        let source = fs::read_to_string(&file).unwrap_or_default();
        let there = match &test {
            Some(test) => source.contains(&format!("fn {test}(")),
            None => !source.is_empty(),
        };
        assert!(there, "{} has no test {test:?}", file.display());
    }
}

/// The sections of OWASP ASVS 5.0.0, chapters 6, 7, 9 to 14 and 16, with the level of each of their requirements up to
/// level 2. The other requirements are of level 3.
const ASVS: [(&str, &str); 43] = [
    ("6.1", "122"),
    ("6.2", "111111112222"),
    ("6.3", "1122"),
    ("6.4", "1122"),
    ("6.5", "22222"),
    ("6.6", "222"),
    ("6.8", "2222"),
    ("7.1", "222"),
    ("7.2", "1111"),
    ("7.3", "22"),
    ("7.4", "11222"),
    ("7.5", "22"),
    ("7.6", "22"),
    ("9.1", "111"),
    ("9.2", "1222"),
    ("10.1", "22"),
    ("10.2", "22"),
    ("10.3", "2222"),
    ("10.4", "11111222222"),
    ("10.5", "22222"),
    ("10.6", "22"),
    ("10.7", "222"),
    ("11.1", "22"),
    ("11.2", "222"),
    ("11.3", "112"),
    ("11.4", "1222"),
    ("11.5", "2"),
    ("11.6", "2"),
    ("12.1", "122"),
    ("12.2", "11"),
    ("12.3", "2222"),
    ("13.1", "2"),
    ("13.2", "22222"),
    ("13.3", "22"),
    ("13.4", "12222"),
    ("14.1", "22"),
    ("14.2", "1222"),
    ("14.3", "122"),
    ("16.1", "2"),
    ("16.2", "22222"),
    ("16.3", "2222"),
    ("16.4", "222"),
    ("16.5", "222"),
];

#[test]
fn every_requirement_of_the_asvs_has_a_verdict_and_what_is_met_a_test() {
    let text = page("asvs.md");
    let mut rows = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, requirement, level, verdict, how, _] = cells.as_slice() else {
            continue;
        };
        let id = requirement.split(' ').next().unwrap();
        if id.starts_with(|c: char| c.is_ascii_digit()) {
            let first = rows.insert(id, (*level, *verdict, *how));
            assert_eq!(first, None, "{id} is there twice");
        }
    }
    for (section, levels) in ASVS {
        for (at, level) in levels.chars().enumerate() {
            let id = format!("{section}.{}", at + 1);
            let (written, verdict, how) =
                rows.get(&*id).unwrap_or_else(|| panic!("{id} is missing"));
            assert_eq!(*written, level.to_string(), "{id}");
            let verdicts = [
                "met",
                "in part",
                "not met",
                "by the operator",
                "by the app",
                "does not apply",
            ];
            assert!(verdicts.contains(verdict), "{id}: {verdict}");
            let shown = !tests_named_in(how).is_empty() || how.contains("](");
            assert!(*verdict != "met" || shown, "{id}: {how}");
        }
    }
}

/// Each package that declares the two licences contains their texts.
#[test]
fn the_two_licences_are_there() {
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    let texts = ["LICENSE-MIT", "LICENSE-APACHE"].map(|name| (name, read(&root().join(name))));
    let [(_, mit), (_, apache)] = &texts;
    assert!(mit.contains("Copyright (c) The Waxseal developers"));
    assert!(mit.contains("THE SOFTWARE IS PROVIDED \"AS IS\""));
    assert!(apache.contains("Version 2.0, January 2004") && apache.contains("APPENDIX"));
    for (folder, manifest) in [
        ("", "Cargo.toml"),
        ("web/client", "package.json"),
        ("web/verifier", "package.json"),
    ] {
        let folder = root().join(folder);
        assert!(read(&folder.join(manifest)).contains("\"MIT OR Apache-2.0\""));
        for (name, text) in &texts {
            assert_eq!(&read(&folder.join(name)), text, "{}", folder.display());
        }
    }
}
