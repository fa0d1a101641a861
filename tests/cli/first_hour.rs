//! The first hour of an app developer: add the library to an app, start an example, use it with curl.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::common::{Place, Server, program};
use super::readme::{blocks, blocks_of, is_in, root, shell};

const EMBEDDING: &str = "docs/embedding.md";

/// Returns the lines of the page's block that contains `words`, without the prompt.
fn commands_with(page: &str, words: &str) -> Vec<String> {
    let block = blocks_of(page, "console")
        .into_iter()
        .find(|block| block.contains(words));
    let block = block.unwrap_or_else(|| panic!("no block of {page} has {words}"));
    let commands = block.lines().filter_map(|line| line.strip_prefix("$ "));
    commands.map(str::to_owned).collect()
}

/// Starts an example with a page's command, in a folder of its own.
fn start(place: &Path, command: &str) -> Server {
    let run = command.strip_prefix("cargo run").unwrap();
    let manifest = root().join("Cargo.toml");
    let manifest = manifest.display();
    let mut command = shell(&format!("exec cargo run --manifest-path '{manifest}'{run}"));
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root().join("target"), |folder| root().join(folder));
    command
        .current_dir(place)
        .env("CARGO_TARGET_DIR", target)
        .stdout(Stdio::piped());
    Server::start(command)
}

/// Runs `curl`, and returns the status, the headers and the body.
fn curl(arguments: &[&str]) -> (u16, String, String) {
    let output = Command::new("curl")
        .args(["-s", "-i"])
        .args(arguments)
        .output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    (status.unwrap_or(0), head.to_owned(), body.to_owned())
}

fn login(server: &Server, credentials: &Value) -> (u16, String, String) {
    let url = format!("{}/login", server.url);
    let origin = format!("Origin: {}", server.url);
    curl(&[&url, "-H", &origin, "--json", &credentials.to_string()])
}

fn token(server: &Server, username: &str, password: &str) -> String {
    let credentials = json!({ "username": username, "password": password });
    let (status, _, body) = login(server, &credentials);
    assert_eq!(status, 200, "{body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    body["access_token"].as_str().unwrap().to_owned()
}

fn hello(server: &Server, header: &str) -> (u16, String) {
    let (status, _, body) = curl(&[&format!("{}/hello", server.url), "-H", header]);
    (status, body)
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

/// Returns the line that the example printed on standard output at its start.
fn printed(server: &mut Server) -> String {
    let mut line = String::new();
    let out = server.child.stdout.as_mut().unwrap();
    BufReader::new(out).read_line(&mut line).unwrap();
    line
}

#[test]
fn the_app_in_the_readme_makes_a_first_user_who_signs_in() {
    let example = fs::read_to_string(root().join("examples/embedded.rs")).unwrap();
    assert_eq!(blocks_of(EMBEDDING, "rust")[0], example);
    let shown = &blocks("rust")[0];
    assert!(is_in("examples/embedded.rs", shown), "{shown}");
    let commands = commands_with("README.md", "--example embedded");
    assert_eq!(commands_with(EMBEDDING, "--example embedded"), commands);
    let place = Place::new();
    let mut server = start(place.path(), &commands[0]);
    let first = printed(&mut server);
    let password = first.strip_prefix("first user: admin, password: ");
    let password =
        password.and_then(|rest| rest.strip_suffix(" (shown once, works for one hour)\n"));
    let password = password.unwrap_or_else(|| panic!("{first:?}"));

    let (status, head, page) = curl(&[&server.url]);
    assert_eq!(status, 200, "{head}");
    assert!(page.contains("<!doctype html>"), "{page}");
    for part in ["/pages/app.js", "/pages/style.css"] {
        assert_eq!(curl(&[&format!("{}{part}", server.url)]).0, 200, "{part}");
    }
    let known = format!("{}/.well-known/oauth-authorization-server", server.url);
    let known: Value = serde_json::from_str(&curl(&[&known]).2).unwrap();
    assert_eq!(known["issuer"], server.url.as_str(), "it is its listener's");

    assert_eq!(hello(&server, "Accept: */*").0, 401);
    assert_eq!(hello(&server, &bearer("x")).0, 401);
    let by_token = hello(&server, &bearer(&token(&server, "admin", password)));
    assert!(
        by_token.0 == 200 && by_token.1.starts_with("hello, "),
        "{by_token:?}"
    );
    // The way the pages sign in.
    let credentials = json!({ "username": "admin", "password": password, "delivery": "cookie" });
    let (status, head, _) = login(&server, &credentials);
    assert_eq!(status, 200, "{head}");
    let cookie = head
        .lines()
        .find_map(|line| line.strip_prefix("set-cookie: "))
        .and_then(|cookie| cookie.split(';').next());
    let by_cookie = hello(&server, &format!("Cookie: {}", cookie.unwrap()));
    assert_eq!(by_cookie, by_token);

    // The second start creates no user, and the first one still exists.
    server.kill();
    let mut again = start(place.path(), &commands[0]);
    assert_eq!(
        hello(&again, &bearer(&token(&again, "admin", password))),
        by_token
    );
    again.kill();
    assert_eq!(printed(&mut again), "");
}

#[test]
fn the_app_that_signs_its_users_up() {
    let commands = commands_with(EMBEDDING, "--example sign_up");
    let [run, sign_up] = &commands[..] else {
        panic!("{commands:?}")
    };
    let place = Place::new();
    let server = start(place.path(), run);
    let output = shell(sign_up).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("HTTP/1.1 201 "), "{said}");
    let hello = hello(
        &server,
        &bearer(&token(&server, "alice", super::common::PASSWORD)),
    );
    assert!(
        hello.0 == 200 && hello.1.starts_with("hello, "),
        "{hello:?}"
    );
    let url = format!("{}/sign-up", server.url);
    for (username, password, status, code) in [
        ("alice", "another horse battery", 409, "username_taken"),
        ("bob", "short", 400, "unacceptable_password"),
        ("bob", "password1", 400, "unacceptable_password"),
        (
            "b o b",
            "another horse battery",
            400,
            "unacceptable_username",
        ),
    ] {
        let wanted = json!({ "username": username, "password": password }).to_string();
        let (answered, head, body) = curl(&[&url, "--json", &wanted]);
        assert_eq!(answered, status, "{username}: {body}");
        assert!(head.contains("application/problem+json"), "{head}");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["code"], code, "{body}");
        assert!(body["detail"].is_string(), "{body}");
    }
}

/// A folder for an app, with this repository next to it.
fn beside_the_repository() -> Place {
    let place = Place::new();
    symlink(root(), place.path().join("waxseal")).unwrap();
    fs::create_dir(place.path().join("app")).unwrap();
    place
}

fn runs(place: &Place, script: &str) {
    let mut command = shell(&format!("set -eu\n{script}"));
    // The test must not download anything.
    command
        .current_dir(place.path().join("app"))
        .env("npm_config_offline", "true")
        .env("CARGO_NET_OFFLINE", "true");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{script}: {output:?}");
}

#[test]
fn the_library_is_added_as_the_readme_says() {
    let place = beside_the_repository();
    let commands = commands_with("README.md", "cargo add --path");
    assert_eq!(commands_with(EMBEDDING, "cargo add --path"), commands);
    let [add, ..] = &commands[..] else {
        panic!("{commands:?}")
    };
    runs(&place, &format!("cargo init --quiet --name app\n{add}"));
    let manifest = fs::read_to_string(place.path().join("app/Cargo.toml")).unwrap();
    assert!(manifest.contains(r#"path = "../waxseal""#), "{manifest}");
    assert!(!manifest.contains("default-features"), "{manifest}");
    let alone = commands_with(EMBEDDING, "--no-default-features");
    runs(&place, &alone.join("\n"));
    let manifest = fs::read_to_string(place.path().join("app/Cargo.toml")).unwrap();
    assert!(manifest.contains("default-features = false"), "{manifest}");
    // `cargo add waxseal` would name another author's crate; the page names a path.
    for page in ["README.md", EMBEDDING] {
        let text = fs::read_to_string(root().join(page)).unwrap();
        assert!(!text.contains("cargo add waxseal"), "{page}");
    }
}

#[test]
fn the_page_on_another_port_may_call_as_the_readme_says() {
    let commands = commands_with("README.md", "WAXSEAL_ALLOWED_ORIGINS");
    let [start] = &commands[..] else {
        panic!("{commands:?}")
    };
    assert!(start.ends_with(" cargo run --locked"), "{start}");
    let start = start.replace("cargo run --locked", "exec \"$PROGRAM\"");
    let place = Place::new();
    let mut command = shell(&start);
    command
        .current_dir(place.path())
        .env("PROGRAM", program().get_program())
        .env("WAXSEAL_LISTEN", "127.0.0.1:0");
    let server = Server::start(command);
    let url = format!("{}/livez", server.url);
    for (origin, allowed) in [
        ("http://localhost:5173", true),
        ("http://localhost:5174", false),
    ] {
        let (status, head, _) = curl(&[&url, "-H", &format!("Origin: {origin}")]);
        assert_eq!(status, 200, "{head}");
        let line = format!("access-control-allow-origin: {origin}");
        assert_eq!(head.contains(&line), allowed, "{head}");
    }
}

#[test]
fn the_javascript_packages_are_added_as_their_readmes_say() {
    let install = |package: &str| {
        let lines = blocks_of(&format!("web/{package}/README.md"), "sh").concat();
        let mut lines = lines.lines().filter(|line| line.starts_with("npm install"));
        let line = lines.next().unwrap().to_owned();
        assert_eq!(lines.next(), None, "one line of {package}");
        assert!(
            line.ends_with(&format!(" ../waxseal/web/{package}")),
            "{line}"
        );
        line
    };
    let client = install("client");
    assert_eq!(
        commands_with("README.md", "npm install"),
        std::slice::from_ref(&client)
    );
    let place = beside_the_repository();
    let import = "node --input-type=module --eval 'import { Waxseal } from \"waxseal-client\"; Waxseal.name;'";
    runs(&place, &format!("npm init --yes\n{client}\n{import}"));
    let folder = place.path().join("app/node_modules/waxseal-client");
    assert!(folder.join("LICENSE-MIT").exists() && folder.join("LICENSE-APACHE").exists());
    // The other package needs a dependency from the network. The test checks its contents instead.
    install("verifier");
    runs(
        &place,
        "npm pack --ignore-scripts ../waxseal/web/verifier\ntar xzf *.tgz",
    );
    let folder = place.path().join("app/package");
    for name in ["LICENSE-MIT", "LICENSE-APACHE", "verifier.d.ts"] {
        assert!(folder.join(name).exists(), "{name}");
    }
    symlink(
        root().join("web/verifier/node_modules"),
        folder.join("node_modules"),
    )
    .unwrap();
    let import = "node --experimental-global-webcrypto --input-type=module --eval 'import { Verifier } from \"./package/verifier.js\"; Verifier.name;'";
    runs(&place, import);
}
