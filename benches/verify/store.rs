//! Logouts per second.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use waxseal::account::password::Cost;
use waxseal::issuer::LogoutReach;
use waxseal::key::Algorithm;
use waxseal::random::OsRandom;
use waxseal::store::key_folder;
use waxseal::token;
use waxseal::verifier::VerifiedClaims;
use waxseal::{Settings, Waxseal};

use crate::Size;
use crate::harness::{line, median, nanos, ratio, stopwatch, take_turns};
use crate::subject::{Bench, ISSUER};

/// Concurrent callers.
const CALLERS: usize = 64;

/// The size of the file that is synced for comparison: bytes per page, and pages.
const PAGE: usize = 4096;
const PAGES: usize = 256;

/// Durable logouts per second, with one caller and with many, compared with what the disk can sync.
pub fn logouts(size: &Size) {
    // Under target/, because the system's temporary folder can be in memory.
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let runtime = Runtime::new().unwrap();
    let bench = Bench::new(Algorithm::EdDsa);
    let settings = Settings::for_issuer(ISSUER).in_folder(folder.path());
    let open = Waxseal::open_with(
        &settings,
        Arc::clone(&bench.clock) as _,
        Arc::new(OsRandom::new()),
        Cost::default(),
    );
    let waxseal = runtime.block_on(open).unwrap();
    let mut files = key_folder::load(&settings.keys_dir).unwrap();
    files.retain(|file| file.times.signs_from.is_some());
    let key = files.remove(0).key;
    let sessions = |count: usize| -> Vec<VerifiedClaims> {
        let sign = |_| token::sign(&bench.claims(), &key).unwrap();
        let verify = |token: String| waxseal.verifier().verify(&token).unwrap();
        (0..count).map(sign).map(verify).collect()
    };
    let logouts = |callers: usize| {
        let shares: Vec<_> = (0..callers).map(|_| sessions(size.logouts)).collect();
        let logouts = (callers * size.logouts) as f64;
        let start = stopwatch();
        runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for share in shares {
                let issuer = waxseal.issuer();
                tasks.spawn(async move {
                    for session in share {
                        issuer.logout(&session, LogoutReach::This).await.unwrap();
                    }
                });
            }
            tasks.join_all().await;
        });
        logouts / start.elapsed().as_secs_f64()
    };
    // Overwritten in place, as SQLite does with its log, because a growing file costs more.
    let file = File::create(folder.path().join("synced")).unwrap();
    file.write_all_at(&[0; PAGE * PAGES], 0).unwrap();
    let [synced, alone, together] = take_turns(
        size.store_rounds,
        [
            &mut |_| {
                let sync = |index| {
                    let at = index % PAGES * PAGE;
                    file.write_all_at(&[1; PAGE], at as u64).unwrap();
                    file.sync_all().unwrap();
                };
                1e9 / nanos(0..size.logouts, sync)
            },
            &mut |_| logouts(1),
            &mut |_| logouts(CALLERS),
        ],
    );
    line(
        &format!("durable logouts a second, {CALLERS} callers to 1"),
        ratio(&together, &alone),
        None,
        &format!("{:.0} to {:.0}", median(&together), median(&alone)),
    );
    line(
        "durable logouts a second, 1 caller, to bare syncs",
        ratio(&alone, &synced),
        None,
        &format!(
            "{:.0} to {:.0}; SQLite WAL, synchronous=FULL, fsync on {}",
            median(&alone),
            median(&synced),
            file_system(folder.path())
        ),
    );
}

/// Returns the file system that holds `path`.
fn file_system(path: &Path) -> String {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (device, at, kind) = (words.next()?, words.next()?, words.next()?);
        path.starts_with(at)
            .then(|| (at.len(), format!("{kind} ({device})")))
    });
    mounts
        .max_by_key(|(length, _)| *length)
        .map_or_else(|| "?".to_owned(), |(_, name)| name)
}
