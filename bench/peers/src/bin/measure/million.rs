//! From start to ready: with nothing in the revocation log, and with very many.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use reqwest::Client;
use rustix::fs::{Advice, fadvise};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection, QueryBuilder, Row};
use waxseal::id::Lineage;
use waxseal::random::SeededRandom;
use waxseal::revocation::{ALL, LogHash, Reason, Revocation, Target, session_revocation_expiry};
use waxseal::time::{Clock, SystemClock};

use crate::process::free_port;
use crate::rounds::median;
use crate::service::Place;
use crate::{Result, Setup};

/// In seconds, and bytes.
pub struct Start {
    pub program: u64,
    /// Nothing there: keys, a database and a user are made.
    pub first: f64,
    /// With what the first one made.
    pub empty: f64,
    pub revocations: usize,
    pub database: u64,
    /// From a cold cache, and from a warm one.
    pub cold: f64,
    pub warm: f64,
    /// Reading the database's file once, cold.
    pub read: f64,
    /// The median of the cold starts' shares.
    pub share: f64,
}

/// Rows of one statement.
const ROWS: usize = 500;

pub async fn start(setup: &Setup, http: &Client) -> Result<Start> {
    let place = Place::new(&setup.waxseal, setup.work.join("million"))?;
    let first = timed(&place, http).await?;
    let mut empty = Vec::new();
    for _ in 0..setup.size.starts {
        empty.push(timed(&place, http).await?);
    }
    let database = place.folder.join("data/waxseal.db");
    eprintln!(
        "bench: filling a log with {} revocations",
        setup.size.revocations
    );
    fill(&database, setup.size.revocations).await?;
    is_filled(&place, http, setup.size.revocations).await?;
    let (mut cold, mut warm, mut reads) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..setup.size.starts {
        forget(&database)?;
        reads.push(read(&database)?);
        forget(&database)?;
        cold.push(timed(&place, http).await?);
        warm.push(timed(&place, http).await?);
    }
    let shares = reads.iter().zip(&cold).map(|(read, start)| read / start);
    Ok(Start {
        program: fs::metadata(&setup.waxseal)?.len(),
        first,
        empty: median(empty),
        revocations: setup.size.revocations,
        database: fs::metadata(&database)?.len(),
        share: median(shares),
        cold: median(cold),
        warm: median(warm),
        read: median(reads),
    })
}

/// From its start until `/readyz` answers 200; then it is stopped.
async fn timed(place: &Place, http: &Client) -> Result<f64> {
    let started = Instant::now();
    let service = place.serve(http, &[]).await?;
    let time = started.elapsed();
    drop(service);
    Ok(time.as_secs_f64())
}

/// Writes so many logouts of an hour ago as the service would have, each of a session that would live.
async fn fill(database: &Path, count: usize) -> Result<()> {
    let options = SqliteConnectOptions::new().filename(database);
    let mut connection: SqliteConnection = options.connect().await?;
    let mut transaction = connection.begin().await?;
    let head = sqlx::query("SELECT seq, hash FROM head")
        .fetch_one(&mut *transaction)
        .await?;
    let mut seq: i64 = head.try_get("seq")?;
    let mut hash: LogHash = head.try_get::<Vec<u8>, _>("hash")?.as_slice().try_into()?;
    let at = SystemClock.now().minus(Duration::from_secs(3600));
    let random = SeededRandom::new(1);
    for first in (0..count).step_by(ROWS) {
        let entries: Vec<_> = (first..count.min(first + ROWS))
            .map(|_| {
                seq += 1;
                let revocation = Revocation {
                    seq,
                    target: Target::Session(Lineage::new(at, &random)),
                    from: ALL,
                    grace_until: None,
                    spared: None,
                    expires_at: session_revocation_expiry(at.plus(Duration::from_secs(8 * 3600))),
                    reason: Reason::Logout,
                    at,
                };
                hash = revocation.chain(&hash);
                (revocation, hash)
            })
            .collect();
        let mut insert = QueryBuilder::new(
            r#"INSERT INTO revocation (seq, scope, key, "from", expires_at, reason, at, hash) "#,
        );
        insert.push_values(&entries, |mut row, (revocation, hash)| {
            row.push_bind(revocation.seq)
                .push_bind(revocation.target.kind().name())
                .push_bind(revocation.target.key())
                .push_bind(revocation.from)
                .push_bind(revocation.expires_at.millis())
                .push_bind(revocation.reason.name())
                .push_bind(revocation.at.millis())
                .push_bind(hash.as_slice());
        });
        insert.build().execute(&mut *transaction).await?;
    }
    sqlx::query("UPDATE head SET seq = $1, hash = $2")
        .bind(seq)
        .bind(hash.as_slice())
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
        .execute(&mut connection)
        .await?;
    connection.close().await?;
    Ok(())
}

/// All of them are in the list of a service that says that it is ready.
async fn is_filled(place: &Place, http: &Client, count: usize) -> Result<()> {
    let metrics = format!("127.0.0.1:{}", free_port()?);
    let _service = place.serve(http, &["--metrics-listen", &metrics]).await?;
    let answer = http.get(format!("http://{metrics}/metrics")).send().await?;
    let text = answer.text().await?;
    let entries = text
        .lines()
        .find_map(|line| line.strip_prefix("waxseal_list_entries "));
    // An empty log may have an entry of its own.
    let found = entries.and_then(|entries| entries.parse::<f64>().ok());
    if found.is_none_or(|found| found < count as f64) {
        return Err(format!("the list has {entries:?} entries, not {count}").into());
    }
    Ok(())
}

/// Has the system forget what it has of the database in memory. No program may have it open.
fn forget(database: &Path) -> Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let path = PathBuf::from(format!("{}{suffix}", database.display()));
        if let Ok(file) = File::open(path) {
            file.sync_all()?;
            fadvise(&file, 0, None, Advice::DontNeed)?;
        }
    }
    Ok(())
}

/// Reads the file once, and gives the time.
fn read(database: &Path) -> Result<f64> {
    let mut file = File::open(database)?;
    let mut chunk = vec![0; 1 << 20];
    let started = Instant::now();
    while file.read(&mut chunk)? > 0 {}
    Ok(started.elapsed().as_secs_f64())
}
