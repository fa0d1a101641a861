//! Runs a scenario of `tests/browser` in Debian's Chromium with `playwright-core`. `fixture.mjs` has what all scenarios
//! need.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::PASSWORD;

const CHROMIUM: &str = "/usr/bin/chromium";

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Returns the folder of the packages that drive the browser. Panics if they are missing: a test that skipped without
/// them would prove nothing.
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

/// Plays a scenario that starts at `url`. `more` adds values for this scenario. `log` returns the server's log, for a
/// failure message.
pub fn play(scenario: &str, url: &str, more: Value, log: impl FnOnce() -> String) {
    let mut job = json!({
        "url": url,
        "password": PASSWORD,
        "chromium": CHROMIUM,
        "packages": packages(),
        "client": here("web/client/waxseal.js"),
        "pictures": here("target/browser"),
        "scenario": scenario,
    });
    let Value::Object(more) = more else {
        panic!("{more}");
    };
    job.as_object_mut().unwrap().extend(more);

    // The script stops itself after two minutes. If it hangs, `timeout` kills it and the browser.
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
        log()
    );
}
