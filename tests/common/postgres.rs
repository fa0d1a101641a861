//! A real PostgreSQL server per test, and the faults that can happen to it.
//!
//! The calls block: in a single-threaded test they block everything else.

mod backup;
pub mod crowd;
pub mod disk;
mod process;
mod standby;
mod template;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::mount_namespace::MountNamespace;
use super::ports;
use super::wire::Wire;

use process::Process;

/// The role, and the name of the database that it owns.
pub const ROLE: &str = "waxseal";
/// The role's password, with characters that a URL must escape.
pub const PASSWORD: &str = "an:open@sea/100%";
const PASSWORD_IN_URL: &str = "an%3Aopen%40sea%2F100%25";
const END_CONNECTIONS: &str =
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'waxseal'";
/// The number of tries before a wait fails the test.
const TRIES: usize = 3000;
const BETWEEN: Duration = Duration::from_millis(10);

/// A server with an empty database. Dropping it stops the server and removes its folder.
pub struct Postgres {
    folder: TempDir,
    port: u16,
    namespace: Option<MountNamespace>,
    running: Mutex<Option<Running>>,
}

struct Running {
    postmaster: Child,
    /// Kills the server if this process dies without cleaning up: it waits for the end of its standard input.
    guard: Child,
}

impl Postgres {
    /// Starts a new server and waits until it is ready.
    pub fn start() -> Self {
        let server = Self::in_folder(None);
        template::copy_to(&server.data());
        server.start_again();
        server
    }

    fn in_folder(namespace: Option<MountNamespace>) -> Self {
        Self {
            folder: template::folder(),
            port: ports::free(),
            namespace,
            running: Mutex::new(None),
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the server's URL with the owning role's password.
    pub fn url(&self) -> String {
        Self::url_at(self.port, PASSWORD_IN_URL)
    }

    /// Returns the server's URL through a wire.
    pub fn url_through(&self, wire: &Wire) -> String {
        Self::url_at(wire.port, PASSWORD_IN_URL)
    }

    /// Returns the server's URL with `password`, correct or not.
    pub fn url_with_password(&self, password: &str) -> String {
        Self::url_at(self.port, password)
    }

    /// Returns the URL of another database on this server.
    pub fn url_of(&self, database: &str) -> String {
        let port = self.port;
        format!("postgres://{ROLE}:{PASSWORD_IN_URL}@127.0.0.1:{port}/{database}")
    }

    fn url_at(port: u16, password: &str) -> String {
        format!("postgres://{ROLE}:{password}@127.0.0.1:{port}/{ROLE}")
    }

    /// Enables TLS with a certificate and its key in PEM.
    pub fn use_tls(&self, certificate: &str, key: &str) {
        for (name, text) in [("server.crt", certificate), ("server.key", key)] {
            template::put(&self.data().join(name), text);
        }
        self.sql("ALTER SYSTEM SET ssl = on; SELECT pg_reload_conf();");
        wait("new connections can have TLS", || {
            self.sql("SHOW ssl") == "on"
        });
    }

    /// Returns everything the server has written to standard error.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Builds a command that runs a PostgreSQL program as the user that owns the server.
    fn command(&self, name: &str) -> Command {
        let mut words = template::as_owner(name).into_iter();
        let first = words.next().unwrap();
        let mut command = match &self.namespace {
            Some(namespace) => namespace.command(&first),
            None => Command::new(first),
        };
        template::without_settings(&mut command);
        command.args(words).current_dir(self.folder.path());
        command
    }

    /// Starts the server again on its port, and waits until it answers.
    pub fn start_again(&self) {
        let mut running = self.running.lock().unwrap();
        assert!(running.is_none(), "it runs");
        let log = self.folder.path().join("log");
        let log = OpenOptions::new().create(true).append(true).open(log);
        let mut postmaster = self
            .command("postgres")
            .arg("-D")
            .arg(self.data())
            .args(["-p", &self.port.to_string(), "-k"])
            .arg(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.unwrap())
            .spawn()
            .unwrap();
        let guard = Command::new("sh")
            .args(["-c", "read -r _; kill -CONT $1; kill -QUIT $1", "sh"])
            .arg(postmaster.id().to_string())
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait("the server answers", || {
            if let Some(status) = postmaster.try_wait().unwrap() {
                panic!("PostgreSQL ended with {status}: {}", self.log());
            }
            self.try_sql("SELECT 1").is_ok()
        });
        *running = Some(Running { postmaster, guard });
    }

    /// Returns whether the server has been started and has not terminated.
    pub fn is_running(&self) -> bool {
        let mut running = self.running.lock().unwrap();
        let Some(running) = running.as_mut() else {
            return false;
        };
        running.postmaster.try_wait().unwrap().is_none()
    }

    /// Stops the server as an operator would: it rolls back open transactions.
    pub fn stop(&self) {
        self.end(Signal::INT);
    }

    fn end(&self, signal: Signal) {
        self.resume();
        let mut running = self.running.lock().unwrap();
        let Some(Running { postmaster, .. }) = running.as_mut() else {
            return;
        };
        if postmaster.try_wait().unwrap().is_none() {
            let _ = kill_process(Pid::from_child(postmaster), signal);
        }
        wait("the server stops", || {
            postmaster.try_wait().unwrap().is_some()
        });
        running.take().unwrap().relieve();
    }

    /// Sends SIGKILL to all of the server's processes, as a power cut would, and waits until they are gone.
    pub fn kill(&self) {
        let Some(mut running) = self.running.lock().unwrap().take() else {
            return;
        };
        let pid = running.postmaster.id();
        // The postmaster must not start another child meanwhile.
        let _ = kill_process(Pid::from_child(&running.postmaster), Signal::STOP);
        wait("the postmaster stands", || {
            Process::find(pid).is_none_or(|process| process.stands())
        });
        let children = Process::children_of(pid);
        running.postmaster.kill().unwrap();
        for child in &children {
            child.signal(Signal::KILL);
        }
        running.postmaster.wait().unwrap();
        wait("all of the server's processes are gone", || {
            children.iter().all(Process::is_gone)
        });
        running.relieve();
    }

    /// Sends SIGSTOP to all of the server's processes: connections stay open, and nothing answers.
    pub fn pause(&self) {
        let running = self.running.lock().unwrap();
        let pid = running.as_ref().expect("it runs").postmaster.id();
        wait("all of the server's processes stand", || {
            let mut stand = true;
            // The postmaster first: once stopped, it starts no more children.
            for process in Process::find(pid)
                .into_iter()
                .chain(Process::children_of(pid))
            {
                if !process.stands() {
                    stand = false;
                    process.signal(Signal::STOP);
                }
            }
            stand
        });
    }

    /// Resumes all of the server's processes.
    pub fn resume(&self) {
        let running = self.running.lock().unwrap();
        let Some(running) = running.as_ref() else {
            return;
        };
        let pid = running.postmaster.id();
        for process in Process::children_of(pid)
            .into_iter()
            .chain(Process::find(pid))
        {
            process.signal(Signal::CONT);
        }
    }

    /// Runs `sql` as the superuser, each statement in its own transaction, and returns the output.
    pub fn sql(&self, sql: &str) -> String {
        self.try_sql(sql)
            .unwrap_or_else(|cause| panic!("{sql}: {cause}\n{}", self.log()))
    }

    /// Runs `sql` as [`Self::sql`] does, but returns a failure.
    pub fn try_sql(&self, sql: &str) -> Result<String, String> {
        self.try_sql_in(ROLE, sql)
    }

    /// Runs `sql` as [`Self::try_sql`] does, in another database.
    pub fn try_sql_in(&self, database: &str, sql: &str) -> Result<String, String> {
        let folder = self.folder.path().to_string_lossy();
        self.psql(&["-h", &folder, "-U", "postgres", "-d", database], sql)
    }

    /// Runs `sql` as the role that owns the database, logged in with its password.
    pub fn sql_as_owner(&self, sql: &str) -> Result<String, String> {
        self.psql(&["-h", "127.0.0.1", "-U", ROLE, "-d", ROLE], sql)
    }

    fn psql(&self, who: &[&str], sql: &str) -> Result<String, String> {
        let mut command = self.command("psql");
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]);
        command.args(["-p", &self.port.to_string()]).args(who);
        command.env("PGPASSWORD", PASSWORD);
        if who.contains(&"postgres") {
            // The superuser must be able to undo a read-only setting that applies to everyone.
            command.env("PGOPTIONS", "-c default_transaction_read_only=off");
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A psql that cannot connect does not read its input.
        let _ = child.stdin.take().unwrap().write_all(sql.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err(text(&output.stderr))
        }
    }

    /// Makes the server refuse writes, as one that is being taken out of service does, or accept them again.
    pub fn read_only(&self, read_only: bool) {
        let value = if read_only { "on" } else { "off" };
        self.sql(&format!(
            "ALTER SYSTEM SET default_transaction_read_only = '{value}'; SELECT pg_reload_conf();"
        ));
        wait("new connections have the setting", || {
            let seen = self.sql_as_owner("SHOW default_transaction_read_only");
            seen.unwrap() == value
        });
        self.end_connections();
    }

    /// Denies the owner every connection, or allows them again. A denied connection fails at once, on every try, with
    /// the error of a server that has no free slot.
    pub fn take_room_of_owner(&self, taken: bool) {
        let limit = if taken { "0" } else { "-1" };
        self.sql(&format!("ALTER ROLE {ROLE} CONNECTION LIMIT {limit}"));
        if taken {
            self.end_connections();
        }
    }

    /// Terminates the owner's connections, as an operator can.
    pub fn end_connections(&self) {
        self.sql(END_CONNECTIONS);
    }
}

impl Running {
    fn relieve(mut self) {
        let _ = self.guard.kill();
        let _ = self.guard.wait();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self
            .running
            .get_mut()
            .is_ok_and(|running| running.is_some())
        {
            self.end(Signal::QUIT);
        }
        template::forget_shared_memory(&self.see(&self.data()));
    }
}

fn wait(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..TRIES {
        if done() {
            return;
        }
        std::thread::sleep(BETWEEN);
    }
    panic!("never: {what}");
}
