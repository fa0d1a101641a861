//! No import cycles: no file imports another file that imports it, directly or indirectly.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::{root, sources};

/// The sources by the path of their module, such as `http/routes/login`.
type Modules = BTreeMap<String, String>;

fn modules() -> Modules {
    let source = root().join("src");
    let module = |path: &std::path::PathBuf| {
        let name = path.strip_prefix(&source).unwrap().with_extension("");
        let name = name.to_str().unwrap().to_owned();
        let module = name.strip_suffix("/mod").unwrap_or(&name).to_owned();
        (module, fs::read_to_string(path).unwrap())
    };
    sources(&source).iter().map(module).collect()
}

/// The source without comments and without the unit tests at its end.
fn code(source: &str) -> String {
    let lines = source.lines().map(|line| line.split("//").next().unwrap());
    let code = lines.collect::<Vec<_>>().join("\n");
    let end = code.find("#[cfg(test)]\nmod tests");
    code[..end.unwrap_or(code.len())].to_owned()
}

/// Expands the braces of a `use` into single paths.
fn expanded(text: &str) -> Vec<String> {
    let text = text.trim();
    let Some(open) = text.find('{') else {
        return vec![text.to_owned()];
    };
    let (mut depth, mut part, mut parts) = (0, String::new(), Vec::new());
    for c in text[open + 1..text.rfind('}').unwrap()].chars() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if c == ',' && depth == 0 {
            parts.push(std::mem::take(&mut part));
        } else {
            part.push(c);
        }
    }
    parts.push(part);
    let within = parts.iter().flat_map(|part| expanded(part));
    within
        .map(|part| format!("{}{part}", &text[..open]))
        .collect()
}

/// Resolves a path in `module` to a module: the deepest one that it names.
fn resolved(modules: &Modules, module: &str, path: &str) -> Option<String> {
    let mut segments: Vec<_> = path.split("::").map(str::trim).collect();
    let mut at: Vec<&str> = match module {
        "lib" => Vec::new(),
        "bin/waxseal/main" => vec!["bin", "waxseal"],
        module => module.split('/').collect(),
    };
    match segments[0] {
        "crate" => {
            at = match module.starts_with("bin/") {
                true => vec!["bin", "waxseal"],
                false => Vec::new(),
            };
            segments.remove(0);
        }
        "super" => {
            while segments.first() == Some(&"super") {
                at.pop();
                segments.remove(0);
            }
        }
        "self" => drop(segments.remove(0)),
        child => {
            let child = [&at[..], &[child]].concat().join("/");
            modules.get(&child)?;
        }
    }
    for segment in segments {
        let name = segment.split_whitespace().next().unwrap_or_default();
        let deeper = [&at[..], &[name]].concat();
        if !modules.contains_key(&deeper.join("/")) {
            break;
        }
        at = deeper;
    }
    let name = match at.join("/").as_str() {
        "" => "lib".to_owned(),
        "bin/waxseal" => "bin/waxseal/main".to_owned(),
        name => name.to_owned(),
    };
    modules.contains_key(&name).then_some(name)
}

/// The modules that a module uses. A re-export of its own submodule does not count.
fn uses(modules: &Modules, module: &str) -> BTreeSet<String> {
    let code = code(&modules[module]);
    let (mut found, mut rest) = (BTreeSet::new(), String::new());
    for statement in code.split_inclusive(';') {
        let begins = |line: &str| {
            let line = line.trim_start();
            line.starts_with("use ") || line.starts_with("pub") && line.contains(" use ")
        };
        let lines: Vec<_> = statement.split_inclusive('\n').collect();
        let Some(at) = lines.iter().rposition(|line| begins(line)) else {
            rest.push_str(statement);
            continue;
        };
        rest.extend(lines[..at].iter().copied());
        let text = lines[at..].concat();
        let (before, paths) = text.split_once("use ").unwrap();
        for path in expanded(paths.trim_end_matches(';')) {
            let used = resolved(modules, module, &path);
            let is_passed_on =
                |used: &String| before.contains("pub") && used.starts_with(&format!("{module}/"));
            found.extend(used.filter(|used| !is_passed_on(used)));
        }
    }
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let paths = rest
        .split(|c| !is_path(c))
        .filter(|word| word.contains("::"));
    found.extend(paths.filter_map(|path| resolved(modules, module, path)));
    found.remove(module);
    found
}

/// Returns an import cycle, if there is one: each module uses the next, and the last uses the first.
fn ring(uses: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    fn visit<'a>(
        uses: &'a BTreeMap<String, BTreeSet<String>>,
        module: &'a String,
        way: &mut Vec<&'a String>,
        done: &mut BTreeSet<&'a String>,
    ) -> Option<Vec<String>> {
        if let Some(at) = way.iter().position(|known| *known == module) {
            return Some(way[at..].iter().map(|name| (*name).clone()).collect());
        }
        if !done.insert(module) {
            return None;
        }
        way.push(module);
        let found = uses[module]
            .iter()
            .find_map(|used| visit(uses, used, way, done));
        way.pop();
        found
    }
    let mut done = BTreeSet::new();
    uses.keys()
        .find_map(|module| visit(uses, module, &mut Vec::new(), &mut done))
}

fn all_uses(modules: &Modules) -> BTreeMap<String, BTreeSet<String>> {
    let names = modules.keys();
    names
        .map(|name| (name.clone(), uses(modules, name)))
        .collect()
}

#[test]
fn no_file_imports_itself_by_a_detour() {
    let mut modules = modules();
    let all = all_uses(&modules);
    assert!(
        all.len() > 150 && all["http/routes/login"].contains("issuer"),
        "{all:?}"
    );
    assert!(all["token/jws"].contains("encoding/base64url"), "{all:?}");
    assert_eq!(ring(&all), None);

    // The search finds planted cycles: to the parent, to a sibling, indirect, and by a path in the code.
    for (module, planted) in [
        ("token/error", "use super::jws::UntrustedJws;"),
        ("token/payload", "use super::{jwt, types};"),
        ("issuer/pages", "use super::Issuer;"),
        (
            "encoding/paserk",
            "use crate::{\n    id,\n    key::{Format, Algorithm},\n};",
        ),
        ("store/sql/head", "fn f() { super::writer::f(); }"),
        ("bin/waxseal/listen", "use crate::serve;"),
    ] {
        let source = modules[module].clone();
        modules.insert(module.to_owned(), format!("{planted}\n{source}"));
        let found = ring(&all_uses(&modules));
        let found = found.unwrap_or_else(|| panic!("{module}: {planted}"));
        assert!(found.iter().any(|name| name == module), "{found:?}");
        modules.insert(module.to_owned(), source);
    }
    assert_eq!(ring(&all_uses(&modules)), None);
}
