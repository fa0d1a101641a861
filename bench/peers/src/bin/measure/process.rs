//! The programs that are measured. Each leads a process group of its own, for its workers.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use reqwest::Client;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::Result;

/// How long a program may take until it answers, or until it has ended.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program that runs; it is ended, with its workers, when this is dropped.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it. What it says goes into that file.
    pub fn start(mut command: Command, log: &Path) -> Result<Self> {
        let file = File::create(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0)
            .spawn()?;
        Ok(Self {
            child,
            log: log.to_owned(),
        })
    }

    /// Waits until it answers a GET, with that status or any.
    pub async fn answers(&self, http: &Client, url: &str, status: Option<u16>) -> Result<()> {
        let started = Instant::now();
        loop {
            if let Ok(answer) = http.get(url).send().await
                && status.is_none_or(|status| answer.status() == status)
            {
                return Ok(());
            }
            if self.has_ended() || started.elapsed() > PATIENCE {
                let said = fs::read_to_string(&self.log)?;
                let last = said.trim_end().lines().last().unwrap_or("nothing");
                return Err(format!("it does not answer; it said last: {last}").into());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// The processor time that it has used, with its workers, in seconds.
    pub fn cpu(&self) -> f64 {
        let group = self.child.id().to_string();
        let ticks: u64 = fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .filter_map(|entry| {
                let stat = stat(&entry.ok()?.path())?;
                let number = |at: usize| stat.get(at)?.parse::<u64>().ok();
                // Of proc(5): pgrp, and utime and stime.
                (stat.get(2)? == &group).then(|| Some(number(11)? + number(12)?))?
            })
            .sum();
        ticks as f64 / rustix::param::clock_ticks_per_second() as f64
    }

    /// It is a zombie, whose name nobody else can have until it is waited for.
    fn has_ended(&self) -> bool {
        let path = PathBuf::from(format!("/proc/{}", self.child.id()));
        stat(&path).is_none_or(|stat| stat[0] == "Z")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let group = Pid::from_child(&self.child);
        // Each may have ended already.
        let _ = kill_process_group(group, Signal::TERM);
        let told = Instant::now();
        while !self.has_ended() && told.elapsed() < PATIENCE / 10 {
            thread::sleep(Duration::from_millis(5));
        }
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.child.wait();
    }
}

/// What `/proc` says of a process, from its state on.
fn stat(process: &Path) -> Option<Vec<String>> {
    let text = fs::read_to_string(process.join("stat")).ok()?;
    // Its name may have any character in it.
    let (_, fields) = text.rsplit_once(") ")?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

/// A port that was free just now.
pub fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    Ok(listener.local_addr()?.port())
}
