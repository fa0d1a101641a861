//! The README and the pages are correct: their commands run and print the output shown.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::common::cargo::without_variables_of_a_test;
use super::common::{Place, Server, program};

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the README's fenced blocks in `language`.
pub fn blocks(language: &str) -> Vec<String> {
    blocks_of("README.md", language)
}

pub fn blocks_of(page: &str, language: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(page)).unwrap();
    let fence = format!("```{language}\n");
    text.split(&fence)
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect()
}

/// Returns whether the file contains these consecutive lines, at any indentation.
pub fn is_in(file: &str, lines: &str) -> bool {
    let trimmed = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
    let text = fs::read_to_string(root().join(file)).unwrap();
    trimmed(&text).contains(&trimmed(lines))
}

/// Replaces values that differ from run to run with a fixed name.
fn normal(text: &str) -> String {
    let word = |word: &str| {
        let is_uuid = word.len() == 36 && word.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        let is_time =
            [20, 24].contains(&word.len()) && word.ends_with('Z') && word.as_bytes()[10] == b'T';
        // A JSON number.
        let is_second = word.len() == 11 && word[1..].bytes().all(|b| b.is_ascii_digit());
        match () {
            () if word.starts_with("eyJ") => "TOKEN".to_owned(),
            () if word.starts_with("wxs_") => "SECRET".to_owned(),
            () if word.starts_with("client-") && word.len() == 43 => "CLIENT".to_owned(),
            () if is_second => "SECOND".to_owned(),
            () if is_uuid => "UUID".to_owned(),
            () if is_time => "TIME".to_owned(),
            () => word.to_owned(),
        }
    };
    let (mut out, mut current) = (String::new(), String::new());
    for c in text.trim_end().chars().chain(['\n']) {
        if c.is_ascii_alphanumeric()
            || "-_:".contains(c)
            || (c == '.' && current.starts_with("eyJ"))
            || (c == '.' && current.len() == 19 && current.as_bytes()[10] == b'T')
        {
            current.push(c);
        } else {
            out.push_str(&word(&std::mem::take(&mut current)));
            out.push(c);
        }
    }
    out.replace('\r', "")
}

/// Runs the commands of a `console` block in one shell, and returns the output of each.
fn run(commands: &[&str], place: &Path, url: &str) -> Vec<String> {
    let mark = "-- next --";
    let mut script = String::from("exec 2>&1\n");
    for command in commands {
        let command = command
            .replace("http://127.0.0.1:8080", url)
            .replace("target/debug/waxseal", "\"$PROGRAM\"");
        script.push_str(&format!("{command}\nprintf '\\n{mark}\\n'\n"));
    }
    let output = Command::new("bash")
        .arg("-c")
        .arg(script)
        .current_dir(place)
        .env("PROGRAM", program().get_program())
        .env("WAXSEAL_ISSUER", "http://127.0.0.1:8080")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split(&format!("\n{mark}\n"))
        .map(str::to_owned)
        .take(commands.len())
        .collect()
}

/// Returns a shell whose environment is a user's: without the variables that cargo sets for a test.
pub fn shell(script: &str) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", script]);
    without_variables_of_a_test(&mut command);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WAXSEAL_") {
            command.env_remove(name);
        }
    }
    command
}

/// Starts the service with the README's first command: unmodified if `WAXSEAL_CARGO_RUN` is set, otherwise with the
/// program under test. Cargo would spend minutes on another build, without the features that only tests need.
fn first_command(place: &Place) -> Server {
    let first = blocks("sh")[0].trim().to_owned();
    assert_eq!(first, "cargo run --locked");
    let run = match std::env::var_os("WAXSEAL_CARGO_RUN") {
        Some(_) => first,
        None => "\"$PROGRAM\"".to_owned(),
    };
    let mut command = shell(&format!("exec {run}"));
    command
        .current_dir(root())
        .env("PROGRAM", program().get_program());
    command
        .env("WAXSEAL_DATA_DIR", place.path().join("data"))
        .env("WAXSEAL_KEYS_DIR", place.path().join("keys"))
        .env("WAXSEAL_MARK_DIR", place.path().join("mark"));
    command
        .env("WAXSEAL_LISTEN", "127.0.0.1:0")
        .env("WAXSEAL_ISSUER", "http://127.0.0.1:8080");
    Server::start(command)
}

/// Asserts that each command of the block prints the output below it.
fn are_printed(block: &str, place: &Place, server: &Server) {
    let mut steps: Vec<(&str, String)> = Vec::new();
    for line in block.lines() {
        match line.strip_prefix("$ ") {
            Some(command) => steps.push((command, String::new())),
            None => {
                let printed = &mut steps.last_mut().unwrap().1;
                printed.push_str(line);
                printed.push('\n');
            }
        }
    }
    assert!(steps.len() >= 8);
    let commands: Vec<_> = steps.iter().map(|(command, _)| *command).collect();
    for ((command, expected), printed) in
        steps.iter().zip(run(&commands, place.path(), &server.url))
    {
        assert_eq!(normal(&printed), normal(expected), "$ {command}\n{printed}");
    }
}

#[test]
fn the_first_command_and_the_session_with_curl() {
    let place = Place::new();
    let mut server = first_command(&place);
    are_printed(&blocks_of("docs/api.md", "console")[0], &place, &server);
    assert!(server.terminate().success());
}

#[test]
fn the_page_about_clients() {
    let place = Place::new();
    let mut server = first_command(&place);
    are_printed(&blocks_of("docs/clients.md", "console")[0], &place, &server);
    assert!(server.terminate().success());
}

#[test]
fn the_other_commands_succeed() {
    let place = Place::new();
    place.add_user("alice");
    let server = place.serve();
    std::os::unix::fs::symlink(root().join("scripts"), place.path().join("scripts")).unwrap();
    for (page, wanted) in [
        ("README.md", "user add"),
        ("docs/operating.md", "user list"),
        ("docs/keys.md", "keys plan"),
        ("docs/keys.md", "rotate-keys"),
        ("docs/cli.md", "completions bash"),
    ] {
        let blocks = blocks_of(page, "console");
        let block = blocks.iter().find(|block| block.contains(wanted)).unwrap();
        for command in block.lines().map(|line| line.strip_prefix("$ ").unwrap()) {
            let printed = run(
                &[&format!("{command} && echo well done")],
                place.path(),
                &server.url,
            );
            assert!(
                printed[0].trim_end().ends_with("well done"),
                "$ {command}\n{}",
                printed[0]
            );
        }
    }
}

#[test]
fn the_second_command_is_what_ci_runs() {
    let second = blocks("sh")[1].trim().to_owned();
    let ci = fs::read_to_string(root().join(".ci/run")).unwrap();
    assert!(
        ci.lines()
            .any(|line| line.trim() == format!("exec {second}")),
        "{ci}"
    );
}

/// Every setting is in a table, with the flag, variable and default that the program's help gives.
#[test]
fn the_tables_of_settings_are_what_the_program_says() {
    let help = Place::new().ok(&["help", "settings"], "");
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    // Each part ends where a variable's name begins; the next part starts with that name.
    let parts: Vec<_> = help.split("[env: ").collect();
    let mut said = Vec::new();
    for pair in parts.windows(2) {
        let variable = pair[1].split(']').next().unwrap();
        let flag = variable.replace("WAXSEAL_", "--").replace('_', "-");
        let flag = flag.to_lowercase();
        assert!(pair[0].contains(&format!("{flag} <")), "{flag}: {help}");
        let (_, default) = pair[0].rsplit_once("[default: ").unwrap();
        let default = default.split(']').next().unwrap();
        said.push(format!("{flag} {variable} {default}"));
    }
    let page = fs::read_to_string(root().join("docs/settings.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `--"));
    let row = |line: &str| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 6, "{line}");
        cells[1..4].join(" ").replace('`', "")
    };
    let mut written: Vec<_> = rows.map(row).collect();
    said.sort();
    written.sort();
    assert!(said.len() > 30, "{help}");
    assert_eq!(written, said);
}

/// Returns the anchors of a page's headings.
fn anchors(page: &str) -> Vec<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
        let kept: String = text.chars().filter(kept).collect();
        kept.replace(' ', "-")
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_of_the_pages_leads_somewhere() {
    let docs = fs::read_dir(root().join("docs")).unwrap();
    let docs = docs.map(|entry| entry.unwrap().path());
    let pages = docs.filter(|path| path.extension().is_some_and(|end| end == "md"));
    let mut seen = 0;
    for page in pages.chain([root().join("README.md")]) {
        let text = fs::read_to_string(&page).unwrap();
        let links = text.split("](").skip(1);
        let links = links.map(|rest| rest.split(')').next().unwrap());
        for link in links.filter(|link| !link.contains("://")) {
            seen += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let there = match file {
                "" => page.clone(),
                file => page.with_file_name(file),
            };
            assert!(there.exists(), "{}: {link}", page.display());
            if !anchor.is_empty() {
                let known = anchors(&fs::read_to_string(&there).unwrap());
                let named = known.iter().any(|known| known == anchor);
                assert!(named, "{}: {link}", page.display());
            }
        }
    }
    assert!(seen > 50, "{seen}");
}

/// The README is an introduction: longer text has a page of its own.
#[test]
fn the_readme_is_short() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    assert!(readme.lines().count() <= 150);
}

#[test]
fn the_service_in_another_process_is_the_one_that_runs() {
    let shown = blocks_of("docs/verifying.md", "rust");
    assert_eq!(shown.len(), 1);
    assert!(is_in("examples/remote.rs", &shown[0]), "{shown:?}");

    let sessions = blocks_of("docs/verifying.md", "console");
    let wanted = sessions
        .iter()
        .find(|block| block.contains("--example remote"))
        .unwrap();
    let script: Vec<_> = wanted
        .lines()
        .map(|line| line.strip_prefix("$ ").unwrap())
        .collect();
    let (run, before) = script.split_last().unwrap();
    let manifest = root().join("Cargo.toml");
    let manifest = format!("cargo run --manifest-path '{}'", manifest.display());
    let run = run.replace("cargo run", &format!("exec {manifest}"));
    let run = run
        .replace("ISSUER=", "export ISSUER=")
        .replace(" exec", "; exec");
    let script = format!("{}\n{run}", before.join("\n"));
    let script = script.replace("target/debug/waxseal", "\"$PROGRAM\"");

    let place = Place::new();
    place.add_user("alice");
    let mut command = program();
    command
        .args(["serve", "--listen", "127.0.0.1:0"])
        .args(["--issuer", "http://127.0.0.1:8080"])
        .current_dir(place.path());
    let server = Server::start(command);
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root().join("target"), |folder| root().join(folder));
    let mut command = shell(&script);
    command
        .current_dir(place.path())
        .env("PROGRAM", program().get_program())
        .env("CARGO_TARGET_DIR", target)
        .env("ISSUER_AT", &server.url)
        .env("LISTEN", "127.0.0.1:0");
    let service = Server::start(command);
    let get = |url: &str, token: &str| {
        let curl = Command::new("curl")
            .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", url, "-H"])
            .arg(format!("Authorization: Bearer {token}"))
            .output()
            .unwrap();
        String::from_utf8(curl.stdout).unwrap()
    };
    let login = Command::new("curl")
        .args(["-s", &format!("{}/login", server.url), "--json"])
        .arg(format!(
            r#"{{"username": "alice", "password": "{}"}}"#,
            super::common::PASSWORD
        ))
        .output()
        .unwrap();
    let login: serde_json::Value = serde_json::from_slice(&login.stdout).unwrap();
    let token = login["access_token"].as_str().unwrap();
    let mine = format!("{}/orders/mine", service.url);
    let mut tries = (0..6000).map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        get(&mine, token)
    });
    assert!(tries.any(|status| status == "200"), "{}", service.log());
    assert_eq!(get(&mine, "garbage"), "401");
}
