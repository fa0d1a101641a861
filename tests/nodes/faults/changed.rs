//! What the checker finds when a promise is broken: the tests run the built program with one function overwritten. No
//! user can get such a program by accident, and it costs no second build.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::sleep;

use super::super::checker::{Report, Rule};
use super::super::common::is_nightly;
use super::super::common::wire::State;
use super::super::history::Event;
use super::fixture::{Fixture, Form, NODES};
use super::{BOUND, BOUNDED, FENCED};

/// `return true`, in the processor's calling convention.
#[cfg(target_arch = "x86_64")]
const TRUE: &[u8] = &[0xb8, 1, 0, 0, 0, 0xc3];
#[cfg(target_arch = "aarch64")]
const TRUE: &[u8] = &[0x20, 0, 0x80, 0x52, 0xc0, 3, 0x5f, 0xd6];

/// Parts of the mangled names of `Freshness::holds` and `Registered::has`.
const FRESHNESS_HOLDS: &str = "9Freshness5holds";
const NODE_HAS_IT: &str = "10Registered3has";
const HELD: &str = "held";

/// Reads an integer of `bytes` bytes from a 64-bit little-endian file.
fn number(file: &[u8], at: usize, bytes: usize) -> usize {
    let mut whole = [0; 8];
    whole[..bytes].copy_from_slice(&file[at..at + bytes]);
    usize::try_from(u64::from_le_bytes(whole)).unwrap()
}

/// Returns the offset and the length, in an ELF file, of the one function whose symbol contains `name`.
fn function(file: &[u8], name: &str) -> (usize, usize) {
    let (sections, size) = (number(file, 0x28, 8), number(file, 0x3a, 2));
    let section = |index: usize| sections + index * size;
    let count = number(file, 0x3c, 2);
    let table = (0..count)
        .map(section)
        .find(|at| number(file, at + 4, 4) == 2);
    let table = table.expect("a table of symbols");
    let names = number(file, section(number(file, table + 0x28, 4)) + 0x18, 8);
    let (start, length) = (number(file, table + 0x18, 8), number(file, table + 0x20, 8));
    let mut found = Vec::new();
    for symbol in (start..start + length).step_by(24) {
        let is_function = file[symbol + 4] & 0xf == 2;
        let at = names + number(file, symbol, 4);
        let end = file[at..].iter().position(|byte| *byte == 0).unwrap();
        if is_function && String::from_utf8_lossy(&file[at..at + end]).contains(name) {
            let home = section(number(file, symbol + 6, 2));
            let (address, offset) = (number(file, home + 0x10, 8), number(file, home + 0x18, 8));
            let place = number(file, symbol + 8, 8) - address + offset;
            found.push((place, number(file, symbol + 16, 8)));
        }
    }
    assert_eq!(found.len(), 1, "{name}: {found:?}");
    found[0]
}

/// Writes a copy of the program in which the named function always returns `true`.
fn always_true(name: &str, folder: &Path) -> PathBuf {
    let mut file = fs::read(env!("CARGO_BIN_EXE_waxseal")).unwrap();
    assert!(
        file.starts_with(b"\x7fELF\x02\x01"),
        "64-bit, little-endian"
    );
    let (place, length) = function(&file, name);
    assert!(length >= TRUE.len(), "{name} is {length} bytes long");
    file[place..place + TRUE.len()].copy_from_slice(TRUE);
    let changed = folder.join("waxseal");
    fs::write(&changed, file).unwrap();
    fs::set_permissions(&changed, fs::Permissions::from_mode(0o755)).unwrap();
    changed
}

/// Holds the last node's wire for longer than the node may use what it knows, while clients log out at the other nodes.
///
/// With `changed`, the numbered nodes run a program with that function overwritten. Then the wire is held until the
/// checker finds a violation, at most ten times.
async fn held(form: Form, changed: Option<(&str, &[usize])>) -> Report {
    let fixture = Fixture::prepare(form).await;
    let folder = TempDir::new().unwrap();
    if let Some((name, nodes)) = changed {
        let program = always_true(name, folder.path());
        for node in nodes {
            fixture.nodes.0[*node].becomes(&program);
        }
    }
    fixture.start().await;
    let people = fixture.people();
    fixture.goes_on(0).await;
    for _ in 0..10 {
        let from = fixture.history.now();
        fixture.wires[NODES - 1].set(State::Held);
        sleep(BOUND).await;
        // By then the fenced logouts that wait for the node are answered.
        fixture.goes_on(fixture.history.now()).await;
        sleep(BOUND / 2).await;
        fixture.wires[NODES - 1].set(State::Whole);
        let until = fixture.history.now();
        let name = HELD;
        fixture.history.record(Event::Fault { name, from, until });
        fixture.ready().await;
        if changed.is_none() || !fixture.read().violations.is_empty() {
            break;
        }
    }
    let report = fixture.finish(people).await;
    let counts = report.by_fault[HELD];
    assert!(counts.logouts > 0 && counts.refused > 0, "{report}");
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_wire_is_held_breaks_no_promise() {
    let report = held(FENCED, None).await;
    report.assert_clean();
    let held = report.by_fault[HELD];
    assert!(held.unavailable_after_logout > 0, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_lease_check_the_checker_finds_a_broken_fence() {
    let report = held(FENCED, Some((FRESHNESS_HOLDS, &[NODES - 1]))).await;
    assert_eq!(report.broken(), [Rule::Fenced].into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_lease_check_the_checker_finds_a_broken_bound() {
    if !is_nightly() {
        return;
    }
    let report = held(BOUNDED, Some((FRESHNESS_HOLDS, &[NODES - 1]))).await;
    assert_eq!(report.broken(), [Rule::Bounded].into());
    assert!(report.latest_acceptance > Some(Duration::from_secs(2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_checker_finds_a_fence_that_does_not_wait() {
    if !is_nightly() {
        return;
    }
    let all: Vec<usize> = (0..NODES).collect();
    let report = held(FENCED, Some((NODE_HAS_IT, &all))).await;
    assert_eq!(report.broken(), [Rule::Fenced].into());
}
