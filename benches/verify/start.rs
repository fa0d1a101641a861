//! The start-up time of a service with many live revocations.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection, Executor, QueryBuilder, Sqlite};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use waxseal::account::password::Cost;
use waxseal::random::{OsRandom, SeededRandom};
use waxseal::time::{Clock, SystemClock};
use waxseal::{Settings, Waxseal};

use crate::Size;
use crate::harness::{line, median, stopwatch};
use crate::subject::{ISSUER, revocation};

/// Rows per statement.
const ROWS: usize = 500;

/// From opening the files until the service can verify tokens.
pub fn start(size: &Size) {
    // Under target/, because the system's temporary folder can be in memory.
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let settings = Settings::for_issuer(ISSUER).in_folder(folder.path());
    let runtime = Runtime::new().unwrap();
    let open = async || {
        let (clock, random) = (Arc::new(SystemClock), Arc::new(OsRandom::new()));
        let waxseal = Waxseal::open_with(&settings, clock, random, Cost::default());
        waxseal.await.unwrap()
    };
    drop(runtime.block_on(open()));
    let file = settings.data_dir.join("waxseal.db");
    runtime.block_on(fill(&file, size.large));
    let (mut starts, mut reads) = (Vec::new(), Vec::new());
    for _ in 0..size.starts {
        let began = stopwatch();
        let waxseal = runtime.block_on(async {
            let waxseal = open().await;
            // If reading took longer than the freshness bound, the list must catch up before it counts.
            while !waxseal.verifier().is_fresh() {
                waxseal.catch_up().await.unwrap();
            }
            waxseal
        });
        starts.push(began.elapsed().as_secs_f64());
        let began = stopwatch();
        let mut bytes = Vec::new();
        File::open(&file).unwrap().read_to_end(&mut bytes).unwrap();
        reads.push(began.elapsed().as_secs_f64());
        drop(waxseal);
    }
    line(
        &format!("start with {} live revocations, to 2 s", size.large),
        median(&starts) / 2.0,
        Some(1.0),
        &format!(
            "{:.2} s, of which reading the file takes {:.2} s",
            median(&starts),
            median(&reads)
        ),
    );
}

/// Writes recent logouts, as one node would have written them.
async fn fill(file: &Path, count: usize) {
    let options = SqliteConnectOptions::new().filename(file);
    let mut database = SqliteConnection::connect_with(&options).await.unwrap();
    let at = SystemClock.now().minus(Duration::from_secs(60));
    let random = SeededRandom::new(1);
    let head = sqlx::query_as("SELECT seq, hash FROM head");
    let (first, hash): (i64, Vec<u8>) = head.fetch_one(&mut database).await.unwrap();
    let mut hash = hash.try_into().unwrap();
    let first = usize::try_from(first).unwrap();
    database.execute("BEGIN").await.unwrap();
    for begun in (0..count).step_by(ROWS) {
        let entries = (begun..count.min(begun + ROWS)).map(|number| {
            let entry = revocation(first + 1 + number, at, &random);
            hash = entry.chain(&hash);
            (entry, hash)
        });
        let mut insert = QueryBuilder::<Sqlite>::new(
            r#"INSERT INTO revocation (seq, scope, key, "from", expires_at, reason, at, hash) "#,
        );
        insert.push_values(entries, |mut row, (entry, hash)| {
            row.push_bind(entry.seq)
                .push_bind(entry.target.kind().name())
                .push_bind(entry.target.key())
                .push_bind(entry.from)
                .push_bind(entry.expires_at.millis())
                .push_bind(entry.reason.name())
                .push_bind(entry.at.millis())
                .push_bind(hash.to_vec());
        });
        insert.build().execute(&mut database).await.unwrap();
    }
    let head = sqlx::query("UPDATE head SET seq = $1, hash = $2");
    let head = head.bind(i64::try_from(first + count).unwrap());
    let head = head.bind(hash.to_vec());
    head.execute(&mut database).await.unwrap();
    database.execute("COMMIT").await.unwrap();
    database.close().await.unwrap();
}
