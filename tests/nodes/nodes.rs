//! Real nodes: one process each, with their own folders and the same keys.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::common::{ISSUER, PASSWORD, Place, Server, ports, program, program_at};
use super::load::Site;

/// How often the harness starts a node that fails to start.
const STARTS: usize = 5;

/// A node that can be stopped and started again at the same address. The calls block.
pub struct Node {
    pub url: String,
    /// The URL of the node's metrics page.
    pub metrics: String,
    pub place: Place,
    settings: Vec<(String, String)>,
    program: Mutex<Option<PathBuf>>,
    server: Mutex<Option<Server>>,
    life: Arc<AtomicUsize>,
}

impl Node {
    fn new(settings: Vec<(String, String)>) -> Self {
        let at = || format!("127.0.0.1:{}", ports::free());
        let (listen, metrics) = (at(), at());
        let mut all = vec![
            ("WAXSEAL_LISTEN".to_owned(), listen.clone()),
            ("WAXSEAL_METRICS_LISTEN".to_owned(), metrics.clone()),
            ("WAXSEAL_ISSUER".to_owned(), ISSUER.to_owned()),
        ];
        all.extend(settings);
        Self {
            url: format!("http://{listen}"),
            metrics: format!("http://{metrics}/metrics"),
            place: Place::new(),
            settings: all,
            program: Mutex::new(None),
            server: Mutex::new(None),
            life: Arc::default(),
        }
    }

    /// A command of the program in this node's directory, with the node's settings.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let other = self.program.lock().unwrap();
        let mut command = other.as_deref().map_or_else(program, program_at);
        command
            .args(arguments)
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .current_dir(self.place.path());
        command
    }

    /// Runs a command that must succeed, and returns its standard output.
    pub fn ok(&self, arguments: &[&str], input: &str) -> String {
        let file = self.place.path().join("input");
        fs::write(&file, input).unwrap();
        let mut command = self.command(arguments);
        let output = command.stdin(fs::File::open(file).unwrap()).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Makes the node run that program from its next start on.
    pub fn becomes(&self, program: &Path) {
        *self.program.lock().unwrap() = Some(program.to_owned());
    }

    pub fn site(&self) -> Site {
        Site {
            url: self.url.clone(),
            life: Arc::clone(&self.life),
        }
    }

    fn server(&self) -> MutexGuard<'_, Option<Server>> {
        self.server.lock().unwrap()
    }

    /// Starts the node, and waits until it listens. Starts it again if it ends, as a service manager does: its database
    /// may be faulty, or the machine very slow.
    pub fn start(&self) {
        let mut server = self.server();
        assert!(server.is_none(), "it runs");
        let mut said = String::new();
        for _ in 0..STARTS {
            self.life.fetch_add(1, Ordering::SeqCst);
            match Server::try_start(self.command(&["serve"])) {
                Ok(started) => {
                    *server = Some(started);
                    return;
                }
                Err(log) => said = log,
            }
        }
        panic!("it does not start: {said}");
    }

    fn signal(&self, signal: Signal) {
        let server = self.server();
        let child = &server.as_ref().expect("it runs").child;
        kill_process(Pid::from_child(child), signal).unwrap();
    }

    /// Stops the process with SIGSTOP, at a moment when it does not hold the lock of its mark: a command in its folder
    /// would wait for that lock until the process continues.
    pub fn pause(&self) {
        let mark = File::open(self.place.path().join("mark")).unwrap();
        loop {
            self.signal(Signal::STOP);
            while !self.is_stopped() {
                std::thread::yield_now();
            }
            if mark.try_lock().is_ok() {
                return;
            }
            self.signal(Signal::CONT);
        }
    }

    fn is_stopped(&self) -> bool {
        let server = self.server();
        let pid = server.as_ref().expect("it runs").child.id();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        // The state follows the name, which ends with the last parenthesis.
        let state = stat.rsplit(") ").next().expect("a state");
        state.starts_with('T')
    }

    /// Sends SIGCONT.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Sends SIGKILL.
    pub fn kill(&self) {
        self.server().take().expect("it runs").kill();
    }

    /// Sends SIGTERM. The node announces its stop if it is configured to, and then stops.
    pub fn give_notice(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends SIGINT, which ends any shutdown delay, and waits until the node has answered its pending requests.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
        let mut server = self.server().take().expect("it runs");
        let status = server.child.wait().unwrap();
        assert!(status.success(), "{}", server.log());
    }

    /// Sends SIGTERM, and waits until the node has answered its pending requests.
    pub fn terminate(&self) {
        let mut server = self.server().take().expect("it runs");
        assert!(server.terminate().success(), "{}", server.log());
    }

    /// The log of the node's process so far.
    pub fn log(&self) -> String {
        let server = self.server();
        server.as_ref().map(Server::log).unwrap_or_default()
    }

    /// Waits until the log of the node's process contains `words`.
    pub fn says(&self, words: &str) -> bool {
        (0..1000).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            self.log().contains(words)
        })
    }
}

/// The nodes of one service.
pub struct Nodes(pub Vec<Arc<Node>>);

impl Nodes {
    /// Starts one node for each of `databases`, with these settings and users.
    pub fn start(databases: &[String], settings: &[(&str, &str)], users: &[String]) -> Self {
        let nodes = Self::prepare(databases, settings, users);
        for node in &nodes.0 {
            node.start();
        }
        nodes
    }

    /// Prepares the same nodes without starting them.
    pub fn prepare(databases: &[String], settings: &[(&str, &str)], users: &[String]) -> Self {
        let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let nodes = databases.iter().map(|database| {
            let mut all = vec![own("WAXSEAL_DATABASE", database)];
            all.extend(settings.iter().map(|(name, value)| own(name, value)));
            Arc::new(Node::new(all))
        });
        let nodes: Vec<Arc<Node>> = nodes.collect();
        let first = &nodes[0];
        if databases[0].starts_with("postgres") {
            first.ok(&["keys", "rotate"], "");
        }
        for user in users {
            first.ok(&["user", "add", user, "--password-stdin"], PASSWORD);
        }
        // The first node makes the keys, and finds an untouched log beside them, which it takes for a lost one.
        first.start();
        first.interrupt();
        for other in &nodes[1..] {
            copy(&first.place.path().join("keys"), other.place.path());
        }
        Self(nodes)
    }

    pub fn sites(&self) -> Vec<Site> {
        self.0.iter().map(|node| node.site()).collect()
    }
}

fn copy(folder: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").args([folder, to]).status();
    assert!(done.unwrap().success());
}
