//! `scripts/suites` names, for every file, the test programs that cover it.

use std::fs;
use std::path::{Path, PathBuf};

use super::root;

/// Names in the table that are not test programs.
const OTHERS: [&str; 8] = [
    "doc",
    "stranger",
    "instructions",
    "client-js",
    "pages-js",
    "verifier-js",
    "whole",
    "-",
];

/// The prefixes, each with its programs.
fn rows(table: &str) -> Vec<(&str, Vec<&str>)> {
    let lines = table.lines().filter(|line| !line.starts_with('#'));
    let rows = lines.map(|line| {
        let mut words = line.split_whitespace();
        (words.next().unwrap_or_default(), words.collect())
    });
    rows.collect()
}

/// All files below a folder, without build output and dependencies.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, name) = (entry.path(), entry.file_name());
        let is_made = ["target", "node_modules", ".git"]
            .iter()
            .any(|made| name == *made);
        if is_made || entry.file_type().unwrap().is_symlink() {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn is_program(name: &str) -> bool {
    let tests = root().join("tests");
    tests.join(name).join("main.rs").exists()
}

#[test]
fn every_file_has_test_programs_and_every_program_exists() {
    let table = fs::read_to_string(root().join("scripts/suites")).unwrap();
    let rows = rows(&table);
    for (prefix, programs) in &rows {
        let folder = root().join(prefix);
        let (parent, start) = if prefix.ends_with('/') {
            (folder, "")
        } else {
            let start = prefix.rsplit('/').next().unwrap_or_default();
            (folder.parent().unwrap().to_owned(), start)
        };
        let mut names = fs::read_dir(&parent)
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        assert!(
            names.any(|name| name.to_string_lossy().starts_with(start)),
            "{prefix} is the beginning of no file"
        );
        assert!(!programs.is_empty(), "{prefix} has no program, not even -");
        for program in programs {
            assert!(
                OTHERS.contains(program) || is_program(program),
                "{prefix}: there is no test program {program}"
            );
        }
    }
    let all = files(&root());
    assert!(all.len() > 300, "{}", all.len());
    for path in all {
        let path = path.strip_prefix(root()).unwrap();
        let name = path.to_str().unwrap();
        let mut folders = name
            .strip_prefix("tests/")
            .into_iter()
            .flat_map(|rest| rest.split('/'));
        let is_programs_own = folders.next().is_some_and(is_program);
        let is_listed = rows.iter().any(|(prefix, _)| name.starts_with(prefix));
        assert!(
            is_programs_own || is_listed,
            "scripts/suites has no line for {name}"
        );
    }
}
