//! `waxseal keys rotate`, killed at any point, and run several times at once.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;
use waxseal::key::Format;
use waxseal::random::{OsRandom, Random, SeededRandom};
use waxseal::store::key_folder;
use waxseal::time::{Clock, SystemClock};

use super::common::{Place, campaign, program};
use super::folder::{age, names, scheduled};

const HOUR: Duration = Duration::from_secs(3600);

/// The number of commands that are killed.
fn kills() -> u32 {
    campaign(20, 100)
}

fn seed() -> u64 {
    let seed = std::env::var("TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| number(&OsRandom::new()) % 1_000_000_000);
    println!("TEST_SEED={seed}");
    seed
}

fn number(random: &dyn Random) -> u64 {
    let mut bytes = [0; 8];
    random.fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

fn start(place: &Place, format: &str) -> Child {
    let mut command = program();
    command
        .args(["keys", "rotate", "--json", "--token-format", format])
        .current_dir(place.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn parse(format: &str) -> Format {
    match format {
        "jwt" => Format::Jwt,
        _ => Format::Paseto,
    }
}

/// Starts a rotation and kills it: at any time of the run, or in the part in which it writes. Returns `true` if it had
/// not ended before.
fn start_and_kill(place: &Place, format: &str, took: Duration, random: &dyn Random) -> bool {
    let keys = place.path().join("keys");
    let changed_at = || fs::metadata(&keys).and_then(|keys| keys.modified()).ok();
    let before = changed_at();
    let mut child = start(place, format);
    let micros = u64::try_from(took.as_micros()).unwrap();
    let mut delay = number(random) % micros;
    if number(random).is_multiple_of(2) {
        while changed_at() == before && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        delay /= 3;
    }
    std::thread::sleep(Duration::from_micros(delay));
    child.kill().unwrap();
    child.wait().unwrap().signal() == Some(9)
}

fn finish(child: Child) -> Value {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn count(timeline: &Value, state: &str) -> usize {
    let rows = timeline["timeline"].as_array().unwrap();
    rows.iter().filter(|row| row["state"] == state).count()
}

#[derive(Debug, Default)]
struct Tally {
    killed: u32,
    finished_first: u32,
    with_partial_file: u32,
    with_leftover_key: u32,
    after_the_new_schedule: u32,
}

#[test]
fn a_rotation_that_is_killed_leaves_a_keyring_and_the_next_run_finishes() {
    for format in ["jwt", "paseto"] {
        killed(format);
    }
}

fn killed(format: &str) {
    let random = SeededRandom::new(seed());
    let place = Place::new();
    let keys = place.path().join("keys");
    finish(start(&place, format));
    let mut took = Duration::ZERO;
    for _ in 0..4 {
        age(&keys, 2 * HOUR);
        let began = SystemClock.uptime();
        finish(start(&place, format));
        took = took.max(SystemClock.uptime() - began);
    }
    let (mut tally, kills) = (Tally::default(), kills());
    while tally.killed < kills {
        assert!(tally.finished_first < 20 * kills, "{tally:?}");
        age(&keys, 2 * HOUR);
        let before = fs::read(keys.join("keyring.json")).unwrap();
        let killed = start_and_kill(&place, format, took, &random);
        tally.killed += u32::from(killed);
        tally.finished_first += u32::from(!killed);
        let ring = key_folder::keyring(&keys).unwrap();
        let (jwt_or_paseto, now) = (parse(format), SystemClock.now());
        assert!(ring.signing(jwt_or_paseto, now, |_| false).is_some());
        let changed = fs::read(keys.join("keyring.json")).unwrap() != before;
        let leftover = names(&keys, ".pem").len() - scheduled(&keys).len();
        tally.with_partial_file += u32::from(!names(&keys, ".partial").is_empty());
        tally.with_leftover_key += u32::from(leftover > 0);
        tally.after_the_new_schedule += u32::from(changed && killed);

        let timeline = finish(start(&place, format));
        assert_eq!(count(&timeline, "successor"), 1, "{timeline}");
        assert_eq!(count(&timeline, "signs"), 1, "{timeline}");
        let after = key_folder::keyring(&keys).unwrap();
        assert_eq!(
            after.plan().len() - ring.plan().len(),
            usize::from(!changed),
            "one rotation, whether the first run or the second made it: {timeline}"
        );
        assert_eq!(
            names(&keys, ".pem"),
            scheduled(&keys),
            "what was left behind is used, once"
        );
        assert!(names(&keys, ".partial").is_empty());
        place.ok(&["keys", "prune"], "");
    }
    println!("{format}, a run takes {took:?}: {tally:?}");
}

#[test]
fn the_first_rotation_of_all_that_is_killed_leaves_a_keyring_too() {
    let (random, kills) = (SeededRandom::new(seed()), kills());
    for format in ["jwt", "paseto"] {
        let mut tally = Tally::default();
        let began = SystemClock.uptime();
        finish(start(&Place::new(), format));
        let took = SystemClock.uptime() - began;
        while tally.killed < kills / 4 {
            assert!(tally.finished_first < 20 * kills, "{tally:?}");
            let place = Place::new();
            let keys = place.path().join("keys");
            let killed = start_and_kill(&place, format, took, &random);
            tally.killed += u32::from(killed);
            tally.finished_first += u32::from(!killed);
            key_folder::keyring(&keys).unwrap();
            if keys.exists() {
                let leftover = names(&keys, ".pem").len() > scheduled(&keys).len();
                tally.with_leftover_key += u32::from(leftover);
                let partial = !names(&keys, ".partial").is_empty();
                tally.with_partial_file += u32::from(partial);
            }
            let timeline = finish(start(&place, format));
            assert_eq!(count(&timeline, "successor"), 1, "{timeline}");
            assert_eq!(count(&timeline, "signs"), 1, "{timeline}");
            let ring = key_folder::keyring(&keys).unwrap();
            let mut plan = ring.plan().iter();
            assert!(plan.all(|key| key.algorithm.format() == parse(format)));
            assert_eq!(names(&keys, ".pem"), scheduled(&keys));
            assert!(names(&keys, ".partial").is_empty());
        }
        println!("{format}, on an empty folder: {tally:?}");
    }
}

#[test]
fn concurrent_rotations_make_one_change() {
    for format in ["jwt", "paseto"] {
        let place = Place::new();
        let keys = place.path().join("keys");
        finish(start(&place, format));
        // At first the successor is new and does not sign yet; later it signs at once.
        for by in [HOUR / 60, HOUR, 2 * HOUR, 2 * HOUR] {
            age(&keys, by);
            let before = key_folder::load(&keys).unwrap().len();
            let children: Vec<_> = (0..4).map(|_| start(&place, format)).collect();
            let done: Vec<_> = children.into_iter().map(finish).collect();
            let made = done
                .iter()
                .filter(|done| !done["done"].as_str().unwrap().contains("nothing to do"));
            assert_eq!(made.count(), 1, "{done:#?}");
            assert_eq!(key_folder::load(&keys).unwrap().len(), before + 1);
            assert_eq!(names(&keys, ".pem"), scheduled(&keys));
            key_folder::keyring(&keys).unwrap();
        }
    }
}

#[test]
fn a_key_that_left_the_schedule_does_not_come_back_as_a_new_one() {
    for format in ["jwt", "paseto"] {
        let place = Place::new();
        let keys = place.path().join("keys");
        finish(start(&place, format));
        age(&keys, 2 * HOUR);
        finish(start(&place, format));
        age(&keys, 48 * HOUR);
        let files = key_folder::load(&keys).unwrap();
        let contents = files
            .iter()
            .map(|file| (&file.path, fs::read(&file.path).unwrap()));
        let contents: Vec<_> = contents.collect();
        place.ok(&["keys", "prune"], "");
        let (gone, content) = contents.iter().find(|(path, _)| !path.exists()).unwrap();
        // As after a kill before the run removed the file, whose age exceeds what its name says, as that of the
        // schedule does.
        let name = gone.file_name().unwrap().to_str().unwrap();
        let (millis, rest) = name.split_once('-').unwrap();
        let millis: u128 = millis.parse().unwrap();
        let millis = millis - (50 * HOUR).as_millis();
        let left = keys.join(format!("{millis:013}-{rest}"));
        fs::write(&left, content).unwrap();
        fs::set_permissions(&left, PermissionsExt::from_mode(0o600)).unwrap();
        finish(start(&place, format));
        let now = key_folder::load(&keys).unwrap();
        assert_eq!(now.len(), 3);
        assert!(now.iter().all(|file| file.path != left));
    }
}
