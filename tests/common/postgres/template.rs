//! The data directory of a new server: created once per build, then copied.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

use super::crowd::CROWD;
use super::{PASSWORD, ROLE};

/// The version of the template. Raise it when the settings or flags below change.
const LAYOUT: u32 = 2;

/// Small, with the durability of the defaults: a service may refuse a server that can lose acknowledged commits.
const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
max_connections = 60
shared_buffers = 16MB
min_wal_size = 2MB
max_wal_size = 8MB
wal_level = replica
max_wal_senders = 4
max_replication_slots = 4
max_logical_replication_workers = 0
max_parallel_workers = 0
dynamic_shared_memory_type = mmap
jit = off
log_line_prefix = '%m [%p] %u '
password_encryption = scram-sha-256
";

fn access() -> String {
    format!(
        "local all postgres trust\n\
         local replication postgres trust\n\
         local {ROLE} {CROWD} trust\n\
         host all {ROLE} 127.0.0.1/32 scram-sha-256\n"
    )
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Returns the owner of the servers if this process runs as root: PostgreSQL refuses to run as root.
fn owner() -> Option<(u32, u32)> {
    if !is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let line = users.lines().find(|line| line.starts_with("postgres:"));
    let fields: Vec<&str> = line.expect("a user postgres").split(':').collect();
    Some((fields[2].parse().unwrap(), fields[3].parse().unwrap()))
}

/// Returns the command line that runs a PostgreSQL program as the owner of the servers.
pub fn as_owner(name: &str) -> Vec<String> {
    let program = programs().join(name).to_string_lossy().into_owned();
    let mut words = Vec::new();
    if is_root() {
        let setpriv = [
            "setpriv",
            "--reuid=postgres",
            "--regid=postgres",
            "--clear-groups",
        ];
        words.extend(setpriv.map(str::to_owned));
    }
    words.push(program);
    words
}

/// Returns the directory of the newest installed PostgreSQL.
fn programs() -> &'static Path {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
        let versions = versions.filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            let programs = Path::new("/usr/lib/postgresql").join(&name).join("bin");
            let is_server = programs.join("initdb").exists();
            is_server.then_some((name.parse::<u32>().ok()?, programs))
        });
        let (_, programs) = versions.max().expect("PostgreSQL: run scripts/test-setup");
        programs
    })
}

/// Removes PostgreSQL settings of the environment that the tests run in.
pub fn without_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
}

/// Creates a folder that the owner of the servers can write to.
pub fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    if let Some((user, group)) = owner() {
        chown(folder.path(), Some(user), Some(group)).unwrap();
    }
    folder
}

/// Writes a file that only the owner of the servers can read.
pub fn put(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    if let Some((user, group)) = owner() {
        chown(path, Some(user), Some(group)).unwrap();
    }
}

fn run(folder: &Path, name: &str, arguments: &[&str], input: &str) {
    let mut words = as_owner(name).into_iter();
    let mut command = Command::new(words.next().unwrap());
    without_settings(&mut command);
    let mut child = command
        .args(words)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = child.stdin.take().unwrap();
    lines.write_all(input.as_bytes()).unwrap();
    drop(lines);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{name}: {output:?}");
}

/// Copies with `cp -a`, which keeps owners and modes.
fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(done.unwrap().success());
}

fn make(to: &Path) {
    let folder = folder();
    let data = folder.path().join("data");
    let at = data.to_string_lossy();
    // Small WAL segments, so that a disk can fill up quickly.
    let flags = [
        "-U",
        "postgres",
        "-E",
        "UTF8",
        "--no-locale",
        "--wal-segsize=1",
    ];
    let flags = [&["-D", &at][..], &flags, &["--auth=reject"]].concat();
    run(folder.path(), "initdb", &flags, "");
    for (name, text) in [("postgresql.conf", SETTINGS), ("pg_hba.conf", &access())] {
        let mut file = fs::OpenOptions::new()
            .append(true)
            .open(data.join(name))
            .unwrap();
        if name == "pg_hba.conf" {
            file.set_len(0).unwrap();
        }
        file.write_all(text.as_bytes()).unwrap();
    }
    let roles = format!(
        "CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'\nCREATE ROLE {CROWD} LOGIN\n\
         CREATE DATABASE {ROLE} OWNER {ROLE}\n"
    );
    run(
        folder.path(),
        "postgres",
        &["--single", "-D", &at, "postgres"],
        &roles,
    );

    // The first process moves the complete template into place; the others find it there.
    let parent = to.parent().unwrap();
    fs::create_dir_all(parent).unwrap();
    let mine = TempDir::new_in(parent).unwrap();
    copy(&data, &mine.path().join("data"));
    if let Err(cause) = fs::rename(mine.path().join("data"), to) {
        assert!(to.exists(), "{cause}");
    }
}

fn template() -> &'static Path {
    static TEMPLATE: OnceLock<PathBuf> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let version = Command::new(programs().join("postgres"))
            .arg("--version")
            .output();
        let version = String::from_utf8(version.unwrap().stdout).unwrap();
        let version = version.split(' ').nth(2).unwrap().trim().to_owned();
        let user = rustix::process::geteuid().as_raw();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let template = folder.join(format!("postgres-{version}-{user}-{LAYOUT}"));
        if !template.exists() {
            make(&template);
        }
        template
    })
}

/// Copies the files of a new server to a folder that does not exist yet.
pub fn copy_to(data: &Path) {
    copy(template(), data);
}

/// Returns the template's path, for a command that copies it inside a mount namespace.
pub fn source() -> &'static Path {
    template()
}

/// Removes the shared memory segment of a killed server that does not start again. A server that does removes it
/// itself.
pub fn forget_shared_memory(data: &Path) {
    let left = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    if let Some(id) = left
        .lines()
        .nth(6)
        .and_then(|line| line.split_whitespace().nth(1))
    {
        let _ = Command::new("ipcrm")
            .args(["-m", id])
            .stderr(Stdio::null())
            .status();
    }
}

/// Sets the mode that PostgreSQL requires for its data directory.
pub fn close(data: &Path) {
    fs::set_permissions(data, fs::Permissions::from_mode(0o700)).unwrap();
}
