//! Waxseal, a proxy, and a service behind it, each a process or a server of its own.

use std::ops::Deref;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::common::{PASSWORD, Place, Server, program};
use super::curl::{Answer, OWN_PAGE, Request};
use super::service::{Seen, Service};

/// The number of polls before a wait fails, and the pause between them.
pub const TRIES: usize = 600;
pub const PAUSE: Duration = Duration::from_millis(100);

/// An issuer on this machine, like the proxies.
pub const ISSUER: &str = "http://127.0.0.1:9";

/// A kind of proxy, and how to start it.
pub struct Kind {
    /// The configuration in `examples/proxies`.
    pub configuration: &'static str,
    /// `http`, or `https` if the test adds TLS.
    pub scheme: &'static str,
    /// The configuration's syntax for an address.
    pub written: fn(ip: &str, port: &str) -> String,
    /// Whether the proxy removes unknown headers that begin with `X-Waxseal-`.
    pub strips_unknown: bool,
    /// Whether the proxy passes a 503's `Retry-After` to the client.
    pub says_when: bool,
    /// Changes what a test must change besides addresses: the default paths and listeners.
    pub change: fn(&mut String, folder: &Path, ip: &str),
    /// Builds the command that runs the proxy in the foreground.
    pub command: fn(configuration: &Path, folder: &Path) -> Command,
}

/// Returns the path of a program in the virtual environment.
pub fn installed(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target/edges/venv/bin")
        .join(name);
    assert!(
        path.exists(),
        "{} is missing; run scripts/test-setup first",
        path.display()
    );
    path
}

/// A proxy process. Dropping it kills its process group: nginx's workers would outlive their master.
struct Proxy(Child);

impl Drop for Proxy {
    fn drop(&mut self) {
        // The process has not been reaped, so its PID is still its own; it may already have exited.
        let group = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.0.wait();
    }
}

/// A proxy, and the service behind it.
pub struct Edge {
    pub url: String,
    pub service: Service,
    _proxy: Proxy,
    _folder: TempDir,
}

impl Edge {
    /// Starts a proxy in front of the Waxseal at this address.
    pub fn start(kind: &Kind, waxseal: &str) -> Self {
        let service = Service::start();
        let folder = TempDir::new().unwrap();
        let own = free_address();
        let addresses = [
            ("8000", own.as_str()),
            ("8080", waxseal),
            ("3000", service.address.as_str()),
        ];
        let mut text = std::fs::read_to_string(example(kind.configuration)).unwrap();
        for (port, address) in addresses {
            let written = (kind.written)("127.0.0.1", port);
            assert!(text.contains(&written), "{}: {written}", kind.configuration);
            let (ip, port) = address.split_once(':').unwrap();
            text = text.replace(&written, &(kind.written)(ip, port));
        }
        let (ip, _) = own.split_once(':').unwrap();
        (kind.change)(&mut text, folder.path(), ip);
        let configuration = folder.path().join(kind.configuration);
        std::fs::write(&configuration, text).unwrap();

        let log = folder.path().join("log");
        let file = std::fs::File::create(&log).unwrap();
        let mut command = (kind.command)(&configuration, folder.path());
        command
            .current_dir(folder.path())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file);
        let mut proxy =
            Proxy(command.spawn().unwrap_or_else(|cause| {
                panic!("{command:?}: {cause}; run scripts/test-setup first")
            }));
        let said = || std::fs::read_to_string(&log).unwrap();
        let listens = (0..TRIES).any(|_| {
            assert_eq!(proxy.0.try_wait().unwrap(), None, "{}", said());
            std::net::TcpStream::connect(&own).is_ok() || {
                std::thread::sleep(PAUSE);
                false
            }
        });
        assert!(listens, "{}", said());
        Self {
            url: format!("{}://{own}", kind.scheme),
            service,
            _proxy: proxy,
            _folder: folder,
        }
    }

    pub fn send(&self, path: &str, request: &Request) -> Answer {
        request.send(&format!("{}{path}", self.url))
    }

    /// Asserts that the service answers the request, and returns what it saw.
    pub fn passes(&self, name: &str, path: &str, request: &Request) -> (Answer, Seen) {
        let answer = self.send(path, request);
        let mut seen = self.service.seen();
        assert_eq!((answer.status, seen.len()), (200, 1), "{name}: {answer:?}");
        (answer, seen.remove(0))
    }

    /// Asserts that the request is refused, and that the service did not see it.
    pub fn is_refused(&self, name: &str, path: &str, request: &Request, status: u16) -> Answer {
        let answer = self.send(path, request);
        let seen = self.service.seen();
        assert_eq!(answer.status, status, "{name}: {answer:?}");
        assert!(seen.is_empty(), "{name}: {seen:?}");
        answer
    }
}

/// A proxy in front of the real program.
pub struct Fixture {
    edge: Edge,
    pub waxseal: Server,
    place: Place,
}

impl Deref for Fixture {
    type Target = Edge;

    fn deref(&self) -> &Edge {
        &self.edge
    }
}

impl Fixture {
    pub fn new(kind: &Kind) -> Self {
        Self::with(kind, &[])
    }

    /// Starts a fixture with these server settings.
    pub fn with(kind: &Kind, settings: &[&str]) -> Self {
        let place = Place::new();
        place.add_user("alice");
        let mut command = program();
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--issuer", ISSUER])
            .args(["--trusted-proxies", "127.0.0.1"])
            .args(settings)
            .current_dir(place.path());
        let waxseal = Server::start(command);
        Self {
            edge: Edge::start(kind, waxseal.url.strip_prefix("http://").unwrap()),
            waxseal,
            place,
        }
    }

    /// Logs in through the proxy, as a page on its origin does.
    fn login(&self, delivery: &str) -> Answer {
        let body = json!({ "username": "alice", "password": PASSWORD, "delivery": delivery });
        let answer = self.send("/login", &Request::of("POST").header(OWN_PAGE).json(&body));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer
    }

    pub fn login_for_bearer(&self) -> (String, Value) {
        let mut session = self.login("bearer").json();
        let token = session["access_token"].as_str().unwrap().to_owned();
        (token, session["session"].take())
    }

    pub fn login_for_cookie(&self) -> String {
        self.login("cookie").session_cookie().unwrap().to_owned()
    }

    /// Returns a client's token and the client's ID.
    pub fn service_token(&self) -> (String, String) {
        let add = [
            "client",
            "add",
            "billing",
            "--scope",
            "read write",
            "--json",
        ];
        let client: Value = serde_json::from_str(&self.place.ok(&add, "")).unwrap();
        let [id, secret] = ["client_id", "client_secret"].map(|key| client[key].as_str().unwrap());
        let request = Request::of("POST")
            .header(format!("Authorization: Basic {}", basic(id, secret)))
            .header("Content-Type: application/x-www-form-urlencoded")
            .body(b"grant_type=client_credentials".to_vec());
        let answer = self.send("/oauth/token", &request);
        assert_eq!(answer.status, 200, "{answer:?}");
        let token = answer.json()["access_token"].as_str().unwrap().to_owned();
        (token, id.to_owned())
    }
}

fn basic(id: &str, secret: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}"))
}

pub fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples/proxies")
        .join(name)
}

/// Returns a free address. Proxies do not report a port that the kernel chose, so the test chooses it before. Each
/// fixture has a loopback address of its own, so that nothing else in this program takes the port meanwhile.
fn free_address() -> String {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let own = NEXT.fetch_add(1, Ordering::Relaxed);
    let listener = std::net::TcpListener::bind(format!("127.77.{own}.1:0")).unwrap();
    listener.local_addr().unwrap().to_string()
}
