//! The files, functions and imports that `docs/architecture.md` names exist.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The endings of a file's name. A folder's name ends with a slash.
const FILES: [&str; 7] = [".rs", ".sql", ".md", ".toml", ".js", ".ts", ".json"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn page() -> String {
    fs::read_to_string(root().join("docs/architecture.md")).unwrap()
}

/// The page's text without its fenced blocks, and the blocks.
fn parts(page: &str) -> (String, Vec<&str>) {
    let parts: Vec<_> = page.split("```").collect();
    assert!(parts.len() % 2 == 1, "every fenced block ends");
    let text = parts.iter().step_by(2).copied().collect();
    let blocks = parts.iter().skip(1).step_by(2).copied().collect();
    (text, blocks)
}

/// Resolves a name of the page: from `src`, or from the root of the repository.
fn find(name: &str) -> Option<PathBuf> {
    let places = [root().join("src").join(name), root().join(name)];
    places.into_iter().find(|place| place.exists())
}

/// The names in backticks that are files or folders, each with the function that follows it.
fn names(text: &str) -> Vec<(&str, Option<&str>)> {
    let spans = text.split('`').skip(1).step_by(2);
    let parted = spans.map(|span| match span.split_once("::") {
        Some((file, function)) => (file, Some(function)),
        None => (span, None),
    });
    let is_path = |name: &str| {
        let ends = FILES.iter().any(|end| name.ends_with(end));
        let plain = name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
        // keyring.json is in a key folder, not in the repository.
        let elsewhere = name.starts_with('/') || name == "keyring.json";
        plain && !elsewhere && (ends || name.ends_with('/'))
    };
    parted.filter(|(name, _)| is_path(name)).collect()
}

/// Whether the source has a function of that name.
fn has_function(source: &str, name: &str) -> bool {
    let word = format!("fn {name}");
    source
        .match_indices(&word)
        .any(|(at, _)| source[at + word.len()..].starts_with(['(', '<']))
}

#[test]
fn every_file_and_function_that_the_page_names_is_there() {
    let page = page();
    let (text, _) = parts(&page);
    let names = names(&text);
    let functions = names.iter().filter(|(_, function)| function.is_some());
    assert!(
        functions.count() > 100,
        "the test reads the page: {names:?}"
    );
    for (file, function) in names {
        let path = find(file).unwrap_or_else(|| panic!("{file} is not there"));
        if let Some(function) = function {
            let source = fs::read_to_string(&path).unwrap();
            assert!(
                has_function(&source, function),
                "{file} has no function {function}"
            );
        }
    }
}

#[test]
fn every_page_that_it_links_to_is_there() {
    let page = page();
    let links = page.split("](").skip(1);
    let links = links.filter_map(|rest| rest.split_once(')').map(|(link, _)| link));
    let links: Vec<_> = links.filter(|link| !link.contains("://")).collect();
    assert!(!links.is_empty(), "the test reads the page");
    for link in links {
        let file = link.split('#').next().unwrap();
        assert!(root().join("docs").join(file).exists(), "{link}");
    }
}

/// The text of a module: its file, and the files in its folder.
fn sources(module: &str) -> String {
    let place = root().join("src").join(module);
    let mut text = fs::read_to_string(place.with_extension("rs")).unwrap_or_default();
    read_folder(&place, &mut text);
    assert!(!text.is_empty(), "{module} has no source");
    text
}

fn read_folder(folder: &Path, text: &mut String) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_folder(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

/// Whether any module of `from` imports any module of `to`.
fn imports(from: &[&str], to: &[&str]) -> bool {
    from.iter().any(|module| {
        let library = if module.starts_with("bin/") {
            "waxseal"
        } else {
            "crate"
        };
        let source = sources(module);
        to.iter().any(|module| {
            let path = format!("{library}::{}", module.replace('/', "::"));
            source.contains(&path)
        })
    })
}

#[test]
fn every_arrow_of_the_picture_is_an_import_and_none_leads_back() {
    let page = page();
    let (_, blocks) = parts(&page);
    let picture = blocks
        .iter()
        .find_map(|block| block.strip_prefix("mermaid"));
    let (mut rooms, mut arrows) = (BTreeMap::new(), Vec::new());
    for line in picture.unwrap().lines().map(str::trim) {
        if let Some((from, to)) = line.split_once("-->") {
            arrows.extend(to.split('&').map(|to| (from.trim(), to.trim())));
        } else if let Some((room, modules)) = line.split_once("[\"") {
            let label = modules.trim_end_matches("\"]");
            let modules: Vec<_> = label.split(", ").collect();
            // The rooms are listed from the outside in.
            rooms.insert(room, (rooms.len(), modules));
        }
    }
    assert!(
        rooms.len() > 15 && arrows.len() > 20,
        "{rooms:?} {arrows:?}"
    );
    for (from, to) in &arrows {
        let (outer, inner) = (&rooms[from], &rooms[to]);
        assert!(outer.0 < inner.0, "{from} --> {to} leads back");
        assert!(imports(&outer.1, &inner.1), "{from} does not import {to}");
    }
    for entry in fs::read_dir(root().join("src")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let mut modules = rooms.values().flat_map(|(_, modules)| modules);
        let is_there = modules.any(|module| module.split('/').next() == Some(name));
        assert!(is_there || name == "lib", "{name} is not in the picture");
    }
}

#[test]
fn the_test_tells_names_from_other_words() {
    let text = "`http/host.rs::call` `token/` `/oauth/` `cargo test` `name::path` `keyring.json`";
    assert_eq!(
        names(text),
        [("http/host.rs", Some("call")), ("token/", None)]
    );
    assert!(has_function("pub fn a<T>(t: T) {}", "a"));
    assert!(!has_function("pub fn ab() {}", "a"));
}
