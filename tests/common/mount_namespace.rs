//! A mount namespace: file systems that only the processes inside it see.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use super::{ISSUER, Server};

/// A mount namespace. Dropping it ends the namespace.
pub struct MountNamespace {
    keeper: Child,
    enter: &'static [&'static str],
}

impl MountNamespace {
    /// Runs `script` in a new namespace, with `folder` as its `$1`. Prints a note and returns `None` where that is not
    /// permitted. `root_only` rules out the root of a user namespace.
    pub fn new(script: &str, folder: &Path, root_only: bool) -> Option<Self> {
        let ways: [(&str, &'static [&'static str]); 2] = [
            ("-m", &["-m"]),
            ("-rm", &["-m", "-U", "--preserve-credentials"]),
        ];
        let mut why = String::new();
        for (flag, enter) in &ways[..if root_only { 1 } else { 2 }] {
            // The process terminates when its standard input closes, at the latest when this process does.
            let keeper = Command::new("unshare")
                .args([flag, "sh", "-c"])
                .arg(format!("{{ {script}; }} && echo ready && exec cat"))
                .arg("sh")
                .arg(folder)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn();
            let mut keeper = match keeper {
                Ok(keeper) => keeper,
                Err(cause) => {
                    why = cause.to_string();
                    continue;
                }
            };
            let mut line = String::new();
            let mut lines = BufReader::new(keeper.stdout.take().unwrap());
            lines.read_line(&mut line).unwrap();
            if line == "ready\n" {
                return Some(Self { keeper, enter });
            }
            drop(keeper.stdin.take());
            let mut said = String::new();
            keeper
                .stderr
                .take()
                .unwrap()
                .read_to_string(&mut said)
                .unwrap();
            keeper.wait().unwrap();
            why = said;
        }
        eprintln!(
            "LEFT OUT: a file system of its own is not permitted here: {}",
            why.trim()
        );
        None
    }

    /// Maps a path inside the namespace to one that this process can use.
    pub fn see(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.keeper.id()));
        root.join(path.strip_prefix("/").unwrap())
    }

    /// Builds a command that runs inside the namespace. Its working directory is `/`.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["-t", &self.keeper.id().to_string()])
            .args(self.enter)
            .args(["--", program]);
        without_settings(&mut command);
        command
    }

    pub fn sh(&self, script: &str, folder: &Path) -> Output {
        let mut command = self.command("sh");
        command.args(["-c", script, "sh"]).arg(folder);
        command.output().unwrap()
    }

    /// Builds a command that runs the program inside the namespace on the folders of `place`.
    pub fn program(&self, place: &Path, arguments: &[&str]) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_waxseal"));
        on_folders(&mut command, place, arguments);
        command
    }

    pub fn serve(&self, place: &Path) -> Server {
        Server::start(self.program(place, &["serve"]))
    }
}

/// Removes `WAXSEAL_` variables: a test's settings come only from its flags.
pub fn without_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WAXSEAL_") {
            command.env_remove(name);
        }
    }
}

/// Adds the flags that let the program find the folders of `place` from any working directory.
pub fn on_folders(command: &mut Command, place: &Path, arguments: &[&str]) {
    command
        .args(arguments)
        .args(["--listen", "127.0.0.1:0", "--issuer", ISSUER])
        .arg("--data-dir")
        .arg(place.join("data"))
        .arg("--keys-dir")
        .arg(place.join("keys"))
        .arg("--mark-dir")
        .arg(place.join("mark"));
}

impl Drop for MountNamespace {
    fn drop(&mut self) {
        // The process may already have exited.
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}
