//! Runs the checks of the fuzz targets over their seeds, over the inputs in `fuzz/regressions`, and over the corpus in
//! `fuzz/corpus` where there is one.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use super::checks::{
    assertion, authorization, base64url, cookie, forwarded_for, json, jwk, page, token,
};
use super::seeds::Found;

type Check = fn(&[u8]) -> bool;

const TARGETS: [(&str, Check); 9] = [
    ("assertion", assertion::check),
    ("authorization", authorization::check),
    ("base64url", base64url::check),
    ("cookie", cookie::check),
    ("forwarded_for", forwarded_for::check),
    ("json", json::check),
    ("jwk", jwk::check),
    ("page", page::check),
    ("token", token::check),
];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz")
        .join(name)
}

/// The files of a folder with their contents. None if the folder is missing.
fn files(folder: &Path) -> Option<Vec<(String, Vec<u8>)>> {
    let entries = fs::read_dir(folder).ok()?;
    let paths = entries.map(|entry| entry.unwrap().path());
    let files = paths.map(|path| (path.display().to_string(), fs::read(&path).unwrap()));
    Some(files.collect())
}

/// With `WAXSEAL_SEEDS` it also writes the seeds into the corpus, as `fuzz/seed` asks.
#[test]
fn no_input_of_a_fuzz_target_is_accepted_beyond_what_others_accept() {
    let found = Found::read();
    for (target, check) in TARGETS {
        let corpus = folder("corpus").join(target);
        let seeds: Vec<_> = found
            .seeds(target)
            .into_iter()
            .enumerate()
            .map(|(at, seed)| (format!("seed-{at:04}"), seed))
            .collect();
        if std::env::var_os("WAXSEAL_SEEDS").is_some() {
            fs::create_dir_all(&corpus).unwrap();
            for (name, seed) in &seeds {
                fs::write(corpus.join(name), seed).unwrap();
            }
        }
        let (mut accepted, mut refused) = (0, 0);
        let mut run = |name: &str, input: &[u8]| {
            let verdict = catch_unwind(AssertUnwindSafe(|| check(input)));
            let verdict = verdict.unwrap_or_else(|_| panic!("{target}: the above is about {name}"));
            *(if verdict { &mut accepted } else { &mut refused }) += 1;
        };
        for (name, seed) in &seeds {
            run(name, seed);
        }
        let kept = files(&folder("regressions").join(target));
        for (name, input) in kept.into_iter().chain(files(&corpus)).flatten() {
            run(&name, &input);
        }
        println!("{target}: {accepted} accepted, {refused} refused");
        // Else the seeds lead nowhere.
        assert!(accepted > 0 && refused > 0, "{target}");
    }
    // At least the cases of Wycheproof.
    assert!(found.is_empty() || found.seeds("token").len() > 300);
}

#[test]
fn every_fuzz_target_is_replayed() {
    let sources = files(&folder("targets")).unwrap();
    let names: BTreeSet<_> = sources
        .iter()
        .map(|(path, _)| Path::new(path).file_stem().unwrap().to_str().unwrap())
        .collect();
    assert_eq!(names, BTreeSet::from(TARGETS.map(|(name, _)| name)));
    for (path, source) in &sources {
        let name = Path::new(path).file_stem().unwrap().to_str().unwrap();
        let source = str::from_utf8(source).unwrap();
        assert!(
            source.contains(&format!("checks::{name}::check(data)")),
            "{path}"
        );
    }
    let manifest = fs::read_to_string(folder("Cargo.toml")).unwrap();
    for name in names {
        assert!(
            manifest.contains(&format!("path = \"targets/{name}.rs\"")),
            "{name}"
        );
    }
}
