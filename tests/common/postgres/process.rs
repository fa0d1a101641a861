//! Processes as `/proc` shows them.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

/// A process, identified by its PID and start time: the kernel reuses PIDs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    pid: u32,
    started: u64,
    parent: u32,
    state: char,
}

impl Process {
    pub fn find(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The command name before it can contain any character.
        let (_, rest) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        Some(Self {
            pid,
            started: fields.get(19)?.parse().ok()?,
            parent: fields.get(1)?.parse().ok()?,
            state: fields.first()?.chars().next()?,
        })
    }

    pub fn children_of(parent: u32) -> Vec<Self> {
        let entries = fs::read_dir("/proc").unwrap();
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let pids = names.filter_map(|name| name.parse().ok());
        let processes = pids.filter_map(Self::find);
        processes
            .filter(|process| process.parent == parent && process.state != 'Z')
            .collect()
    }

    /// Returns whether the process is stopped or has terminated.
    pub fn stands(&self) -> bool {
        matches!(self.state, 'T' | 'Z' | 'X')
    }

    /// Returns whether the process has terminated, reaped or not.
    pub fn is_gone(&self) -> bool {
        Self::find(self.pid).is_none_or(|now| now.started != self.started || now.state == 'Z')
    }

    pub fn signal(&self, signal: Signal) {
        if !self.is_gone()
            && let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw)
        {
            // The process can terminate at this moment.
            let _ = kill_process(pid, signal);
        }
    }
}
