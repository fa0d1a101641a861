//! One run of wrk.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::Result;

/// What it found.
#[derive(Clone, Debug)]
pub struct Load {
    pub requests: u64,
    pub seconds: f64,
    /// In milliseconds.
    pub p99: f64,
    /// Answers with another status than 2xx or 3xx.
    pub refused: u64,
    /// Requests without an answer.
    pub failed: u64,
}

impl Load {
    pub fn a_second(&self) -> f64 {
        self.requests as f64 / self.seconds
    }

    /// The same, if every answer was a good one.
    pub fn all_good(self, what: &str) -> Result<Self> {
        if self.refused + self.failed > 0 || self.requests == 0 {
            return Err(format!("{what}: {self:?}").into());
        }
        Ok(self)
    }
}

/// Runs it, with a script and what that takes.
pub async fn run(
    script: &Path,
    url: &str,
    (threads, connections): (u32, u32),
    seconds: u32,
    arguments: &[&str],
) -> Result<Load> {
    let output = Command::new("wrk")
        .args(["--timeout", "30s", "--latency"])
        .args(["-t", &threads.to_string(), "-c", &connections.to_string()])
        .args(["-d", &format!("{seconds}s"), "-s"])
        .arg(script)
        .args([url, "--"])
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await?;
    let text = String::from_utf8(output.stdout)?;
    let said = text.lines().find_map(|line| line.strip_prefix("said "));
    let numbers = said.map(|said| said.split(' ').map(str::parse).collect::<Vec<_>>());
    let Some(
        [
            Ok(requests),
            Ok(micros),
            Ok(_),
            Ok(p99),
            Ok(refused),
            Ok(failed),
        ],
    ) = numbers.as_deref()
    else {
        let complaint = String::from_utf8_lossy(&output.stderr);
        return Err(format!("wrk at {url}: {text}{complaint}").into());
    };
    Ok(Load {
        requests: *requests,
        seconds: *micros as f64 / 1e6,
        p99: *p99 as f64 / 1e3,
        refused: *refused,
        failed: *failed,
    })
}
