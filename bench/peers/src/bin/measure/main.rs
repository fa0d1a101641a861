//! What the service costs through HTTP, beside what people put into an app instead: the half of
//! `scripts/bench` that needs running servers. It writes the page.
//!
//! Everything is on this machine's loopback, bounded in count and time, and ended when this ends.

mod check;
mod field;
mod flood;
mod load;
mod million;
mod page;
mod process;
mod rounds;
mod service;
mod tokens;

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Client;
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use crate::field::Field;
use crate::page::Page;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// How much is measured.
pub struct Size {
    /// Live tokens.
    pub tokens: usize,
    /// How often the contenders take turns, and for how many seconds each.
    pub rounds: usize,
    pub seconds: u32,
    /// How often it is measured under a flood of logins.
    pub floods: usize,
    /// Revocations to start with, and how often.
    pub revocations: usize,
    pub starts: usize,
}

/// A measurement, of about ten minutes.
const FULL: Size = Size {
    tokens: 1_000,
    // A machine that others use too is slow for seconds at a time: many short turns see more of that than few long ones.
    rounds: 30,
    seconds: 1,
    floods: 5,
    revocations: 1_000_000,
    starts: 5,
};

/// A proof that it works.
const QUICK: Size = Size {
    tokens: 20,
    rounds: 1,
    seconds: 1,
    floods: 1,
    revocations: 20_000,
    starts: 1,
};

/// What there is to measure with.
pub struct Setup {
    pub quick: bool,
    pub size: Size,
    /// The service's program.
    pub waxseal: PathBuf,
    /// The peers' program.
    pub peer: PathBuf,
    /// The folder with what the peers in other languages are made of.
    pub bench: PathBuf,
    /// Where their packages are.
    pub tools: PathBuf,
    /// A folder for this run.
    pub work: PathBuf,
    /// Tools that are not here, and why.
    pub left_out: Vec<(String, String)>,
    /// What `cargo bench` said.
    pub micro: String,
    /// The commit, as the page has it.
    pub commit: String,
    /// The share of the processors that others had just before.
    pub busy: f64,
    /// How it was built, if not as it is built for people.
    pub built: String,
}

impl Setup {
    fn from_arguments(work: &Path) -> Result<Self> {
        let mut arguments = std::env::args().skip(1);
        let mut setup = Self {
            quick: false,
            size: FULL,
            waxseal: "target/release/waxseal".into(),
            peer: std::env::current_exe()?.with_file_name("peer"),
            bench: "bench".into(),
            tools: "target/bench".into(),
            work: work.canonicalize()?,
            left_out: Vec::new(),
            micro: String::new(),
            commit: String::new(),
            busy: 0.0,
            built: String::new(),
        };
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{name}: what?"));
            match name.as_str() {
                "--quick" => (setup.quick, setup.size) = (true, QUICK),
                "--left-out" => setup.left_out.push((value()?, value()?)),
                "--micro" => setup.micro = std::fs::read_to_string(value()?)?,
                "--commit" => setup.commit = value()?,
                "--built" => setup.built = value()?,
                _ => return Err(format!("{name} is unknown").into()),
            }
        }
        for path in [&mut setup.waxseal, &mut setup.bench, &mut setup.tools] {
            *path = path.canonicalize()?;
        }
        Ok(setup)
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // On a disk, which the system's folder for temporary files may not be.
    let work = TempDir::new_in("target/bench")?;
    let mut setup = Setup::from_arguments(work.path())?;
    setup.busy = busy(Duration::from_secs(if setup.quick { 1 } else { 5 })).await?;
    // What is dropped ends the programs that it started.
    tokio::select! {
        page = measure(&setup) => print!("{}", page?),
        _ = terminate.recv() => return Err("told to stop".into()),
        _ = interrupt.recv() => return Err("told to stop".into()),
    }
    Ok(())
}

/// The share of the processors that is in use, or that the host of this machine keeps from it.
async fn busy(time: Duration) -> Result<f64> {
    let ticks = || -> Result<(u64, u64)> {
        let text = std::fs::read_to_string("/proc/stat")?;
        let line = text.lines().next().unwrap_or_default();
        // Of proc(5): user, nice, system, idle, iowait, irq, softirq, steal.
        let ticks = line.split_whitespace().skip(1).take(8).map(str::parse);
        let ticks = ticks.collect::<std::result::Result<Vec<u64>, _>>()?;
        Ok((ticks.iter().sum(), ticks[3] + ticks[4]))
    };
    let (before, idle_before) = ticks()?;
    tokio::time::sleep(time).await;
    let (after, idle) = ticks()?;
    let share = idle.saturating_sub(idle_before) as f64 / (after - before).max(1) as f64;
    Ok(1.0 - share)
}

async fn measure(setup: &Setup) -> Result<Page> {
    let http = Client::builder()
        .timeout(Duration::from_secs(10))
        .no_proxy()
        .build()?;
    let start = million::start(setup, &http).await?;
    let field = Field::start(setup, &http).await?;
    let rounds = rounds::take_turns(setup, &field.contenders).await?;
    let floods = flood::floods(setup, &field).await?;
    Page::new(setup, &field, &rounds, &floods, &start)
}
