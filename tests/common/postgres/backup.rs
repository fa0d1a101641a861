//! Backups of a server, and their restoration.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Postgres, ROLE};

impl Postgres {
    /// Dumps the database with `pg_dump` while the server runs.
    pub fn dump(&self) -> PathBuf {
        let file = self.folder.path().join("dump");
        let mut dump = self.tool("pg_dump");
        dump.args(["-Fc", "-f"]).arg(&file).arg(ROLE);
        succeeds(dump);
        file
    }

    /// Replaces the database with an empty one and terminates its connections.
    pub fn empty(&self) {
        for sql in [
            format!("DROP DATABASE {ROLE} WITH (FORCE)"),
            format!("CREATE DATABASE {ROLE} OWNER {ROLE}"),
        ] {
            self.try_sql_in("postgres", &sql).unwrap();
        }
    }

    /// Replaces the database with a dump.
    pub fn restore(&self, dump: &Path) {
        self.empty();
        let mut restore = self.tool("pg_restore");
        restore.args(["--single-transaction", "-d", ROLE]).arg(dump);
        succeeds(restore);
    }

    /// Copies the server's files while it is stopped.
    pub fn keep_files(&self) -> PathBuf {
        assert!(!self.is_running());
        let kept = self.folder.path().join("kept");
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(self.data()).arg(&kept);
        succeeds(copy);
        kept
    }

    /// Restores a copy of the server's files while it is stopped.
    pub fn put_files_back(&self, kept: &Path) {
        assert!(!self.is_running());
        fs::remove_dir_all(self.data()).unwrap();
        fs::rename(kept, self.data()).unwrap();
    }

    fn tool(&self, name: &str) -> Command {
        let mut command = self.command(name);
        command.args(["-U", "postgres", "-p", &self.port.to_string(), "-h"]);
        command.arg(self.folder.path());
        command
    }
}

fn succeeds(mut command: Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}
