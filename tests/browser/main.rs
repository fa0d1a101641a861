//! The service in a real browser: the program itself, Debian's Chromium, and a script for each scenario,
//! which `playwright-core` plays. What every scenario needs is in `stage.mjs`.

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "each test program uses its part")]
mod common;

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{ISSUER, PASSWORD, Place, Server, program};
use serde_json::{Value, json};

const CHROMIUM: &str = "/usr/bin/chromium";

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The packages that drive the browser. A test that found none of it and passed would say nothing.
fn packages() -> PathBuf {
    let wanted = std::fs::read(here("tests/browser/package-lock.json")).unwrap();
    let stamp = here("target/browser/installed.json");
    let installed = std::fs::read(&stamp).is_ok_and(|installed| installed == wanted);
    assert!(
        installed && Path::new(CHROMIUM).exists(),
        "{CHROMIUM}, or what the lock file has in {}, is missing; run scripts/test-setup first",
        stamp.display()
    );
    stamp.with_file_name("node_modules")
}

/// A port that nobody listens on just now, for what must be named before it listens.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Starts the program with these flags, and plays a scenario on it with the users alice and mallory.
fn play(scenario: &str, flags: &[&str]) {
    play_with(scenario, flags, json!({}));
}

fn play_with(scenario: &str, flags: &[&str], more: Value) {
    let packages = packages();
    let place = Place::new();
    place.add_user("alice");
    place.add_user("mallory");
    let mut command = program();
    command
        // The issuer is none of the browser's URLs: what decides is what the browser says of its requests.
        .args(["serve", "--listen", "127.0.0.1:0", "--issuer", ISSUER])
        .args(flags)
        .current_dir(place.path());
    let server = Server::start(command);

    let mut job = json!({
        "url": server.url,
        "pid": server.child.id(),
        "password": PASSWORD,
        "chromium": CHROMIUM,
        "packages": packages,
        "client": here("web/client/waxseal.js"),
        "pictures": here("target/browser"),
        "scenario": scenario,
    });
    let Value::Object(more) = more else {
        panic!("{more}");
    };
    job.as_object_mut().unwrap().extend(more);

    // The script ends by itself after two minutes. If it could not, this ends it, and the browser with it.
    let mut child = Command::new("timeout")
        .args(["--kill-after=5", "150", "node"])
        .arg(here("tests/browser").join(format!("{scenario}.mjs")))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(job.to_string().as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    print!("{said}");
    assert!(
        output.status.success(),
        "{scenario}: {}\n{said}\n{}\nthe server said:\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr),
        server.log()
    );
}

#[test]
fn a_login_lives_in_a_cookie_that_no_script_has_and_a_logout_ends_it_in_every_tab() {
    // Below an hour, because a countdown says hours without seconds.
    play("signing_in_and_out", &["--absolute-timeout", "50m"]);
}

#[test]
fn a_session_that_nobody_uses_ends_and_polls_do_not_keep_it() {
    play("idle", &["--idle-timeout", "10s", "--leeway", "1s"]);
}

#[test]
fn a_renewal_reaches_every_tab_and_the_session_id_before_it_ends_the_session() {
    let flags = ["--renewal-timeout", "4s", "--renewal-grace", "2s"];
    play("renewal", &flags);
}

#[test]
fn a_session_in_use_ends_at_its_absolute_end() {
    let flags = ["--absolute-timeout", "12s", "--idle-timeout", "8s"];
    play("absolute", &[&flags[..], &["--leeway", "1s"]].concat());
}

#[test]
fn sessions_are_seen_and_ended_from_another_browser_and_by_a_new_password() {
    play("other_browsers", &[]);
}

#[test]
fn a_refused_login_says_why_and_keeps_what_was_typed() {
    play("refused_logins", &["--login-limit-account", "3/18s"]);
}

#[test]
fn every_view_is_accessible_on_a_phone() {
    let size = json!({ "width": 390, "height": 844 });
    play_with("looks", &[], json!({ "device": "phone", "size": size }));
}

#[test]
fn every_view_is_accessible_on_a_desktop() {
    let size = json!({ "width": 1280, "height": 800 });
    play_with("looks", &[], json!({ "device": "desktop", "size": size }));
}

#[test]
fn the_client_has_the_cookie_on_a_page_of_ones_own_if_its_origin_is_listed() {
    let port = free_port();
    let origin = format!("http://localhost:{port}");
    play_with(
        "own_page_with_cookie",
        &["--allowed-origins", &origin],
        json!({ "port": port }),
    );
}

#[test]
fn a_bearer_token_serves_all_tabs_of_a_page_of_ones_own_and_goes_nowhere_else() {
    let port = free_port();
    let origin = format!("http://localhost:{port}");
    let flags = ["--idle-timeout", "12s", "--renewal-timeout", "4s"];
    let exactness = ["--renewal-grace", "1s", "--leeway", "1s"];
    play_with(
        "own_page_with_bearer",
        &[
            &flags[..],
            &exactness[..],
            &["--allowed-origins", &origin[..]],
        ]
        .concat(),
        json!({ "port": port }),
    );
}

#[test]
fn pages_of_other_sites_and_of_other_ports_change_nothing() {
    play("other_sites", &[]);
}
