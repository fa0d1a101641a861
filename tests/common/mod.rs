//! Shared by the test programs: a service in this process under a manual clock, and the real program.

pub mod cargo;
pub mod certificate;
pub mod chromium;
pub mod heard;
pub mod mount_namespace;
pub mod ports;
pub mod postgres;
pub mod wire;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;
use waxseal::account::limits::{LoginRates, Rate};
use waxseal::account::password::{Cost, Hasher, Password};
use waxseal::account::{User, UserChange, Username};
use waxseal::id::UserId;
use waxseal::key::Format;
use waxseal::random::SeededRandom;
use waxseal::store::key_folder;
use waxseal::time::{Clock, ManualClock, Timestamp};
use waxseal::{Settings, Waxseal};

/// Returns whether long campaigns run, as in `.ci/nightly`. Prints a note if they do not.
pub fn is_nightly() -> bool {
    let is_nightly = std::env::var_os("WAXSEAL_NIGHTLY").is_some();
    if !is_nightly {
        eprintln!("LEFT OUT: it takes long, and WAXSEAL_NIGHTLY=1 runs it");
    }
    is_nightly
}

/// Returns the size of a campaign: `by_day` in the test command, and `by_night` in `.ci/nightly`.
pub fn campaign<T>(by_day: T, by_night: T) -> T {
    if is_nightly() { by_night } else { by_day }
}

/// The issuer and the audience of the service in this process.
pub const ISSUER: &str = "https://issuer.example";
/// The password of every test user.
pub const PASSWORD: &str = "correct horse battery";
/// The initial time of the manual clock.
pub const START: Timestamp = Timestamp::from_secs(1_800_000_000);
/// A password hashing cost far too low for production, for tests about something else.
pub const CHEAP: Cost = Cost {
    memory_kib: 64,
    passes: 1,
};

/// Login rates for tests that log in more often than people do.
pub fn unlimited() -> LoginRates {
    let rate = Rate::new(1_000_000, Duration::from_secs(1)).unwrap();
    LoginRates {
        address: rate,
        account: rate,
    }
}

/// An HTTP response, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// Returns the stable code of a problem document.
    pub fn code(&self) -> String {
        assert_eq!(
            self.headers["content-type"], "application/problem+json",
            "{self:?}"
        );
        self.json()["code"].as_str().unwrap().to_owned()
    }
}

/// The service in this process, on real files, under a manual clock.
pub struct TestServer {
    pub waxseal: Waxseal,
    pub clock: Arc<ManualClock>,
    pub settings: Settings,
    pub router: Router,
    folder: Arc<TempDir>,
}

impl TestServer {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// Creates a service with settings changed by `change`.
    pub async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = Arc::new(TempDir::new().unwrap());
        let mut settings = Settings::for_issuer(ISSUER).in_folder(folder.path());
        settings.login_rates = unlimited();
        change(&mut settings);
        Self::open(folder, settings, Arc::new(ManualClock::at(START))).await
    }

    async fn open(folder: Arc<TempDir>, settings: Settings, clock: Arc<ManualClock>) -> Self {
        let random = Arc::new(SeededRandom::new(
            u64::try_from(clock.uptime().as_millis()).unwrap(),
        ));
        let waxseal = Waxseal::open_with(&settings, Arc::clone(&clock) as _, random, CHEAP)
            .await
            .unwrap();
        let router = waxseal.router();
        Self {
            waxseal,
            clock,
            settings,
            router,
            folder,
        }
    }

    /// Reopens the same folders, as after a restart, with settings changed by `change`.
    pub async fn restart(self, change: impl FnOnce(&mut Settings)) -> Self {
        let Self {
            waxseal,
            clock,
            mut settings,
            router,
            folder,
        } = self;
        drop((waxseal, router));
        change(&mut settings);
        // A different seed: token IDs must not repeat.
        clock.advance(Duration::from_millis(1));
        Self::open(folder, settings, clock).await
    }

    /// Closes the service, runs `done`, and reopens the same folders.
    pub async fn restart_after(self, done: impl AsyncFnOnce()) -> Self {
        let Self {
            waxseal,
            clock,
            settings,
            router,
            folder,
        } = self;
        drop((waxseal, router));
        done().await;
        clock.advance(Duration::from_millis(1));
        Self::open(folder, settings, clock).await
    }

    /// Advances the clock and refreshes the revocation list, as the service's maintenance does.
    pub async fn pass(&self, time: Duration) {
        self.clock.advance(time);
        self.waxseal.catch_up().await.unwrap();
    }

    pub async fn add_user(&self, name: &str) -> UserId {
        let hasher = Hasher::new(CHEAP, 1, Arc::new(SeededRandom::new(3))).unwrap();
        let hash = hasher
            .hash(Password::chosen(PASSWORD.into(), name).unwrap())
            .await
            .unwrap();
        let id = UserId::new(
            self.clock.now(),
            &SeededRandom::new(name.bytes().map(u64::from).sum()),
        );
        let username: Username = name.parse().unwrap();
        let user = User::new(id, username, self.clock.now());
        self.waxseal
            .accounts()
            .add_user(&user, &hash)
            .await
            .unwrap();
        id
    }

    pub async fn change_user(&self, user: UserId, change: UserChange) {
        self.waxseal
            .accounts()
            .change_user(user, change, self.clock.now())
            .await
            .unwrap()
            .unwrap();
        self.waxseal.catch_up().await.unwrap();
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    pub async fn post(&self, path: &str, token: Option<&str>, body: Option<Value>) -> Answer {
        let mut request = Request::post(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = match body {
            None => Body::empty(),
            Some(body) => {
                request = request.header("content-type", "application/json");
                Body::from(body.to_string())
            }
        };
        self.send(request.body(body).unwrap()).await
    }

    pub async fn get(&self, path: &str, token: &str) -> Answer {
        let request = Request::get(path).header("authorization", format!("Bearer {token}"));
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// Logs in and returns the token.
    pub async fn login(&self, name: &str) -> String {
        let answer = self
            .post(
                "/login",
                None,
                Some(json!({ "username": name, "password": PASSWORD })),
            )
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.json()["access_token"].as_str().unwrap().to_owned()
    }

    /// Returns the status that `/verify` answers for a token.
    pub async fn verify(&self, token: &str) -> StatusCode {
        self.get("/verify", token).await.status
    }
}

/// Returns a command that runs the program under test.
pub fn program() -> Command {
    program_at(Path::new(env!("CARGO_BIN_EXE_waxseal")))
}

/// Returns a command that runs the program at `path`, with the same environment as [`program`].
pub fn program_at(path: &Path) -> Command {
    let mut command = Command::new(path);
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("WAXSEAL_"))
    {
        command.env_remove(name);
    }
    // Tests log in more often than people do.
    command
        .env("WAXSEAL_LOGIN_LIMIT_ADDRESS", "1000000/1s")
        .env("WAXSEAL_LOGIN_LIMIT_ACCOUNT", "1000000/1s");
    command
}

/// A working directory for the program, with `data` and `keys` in it.
pub struct Place(pub TempDir);

impl Place {
    pub fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Runs a command of the program here, with `input` on standard input.
    pub fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = program()
            .args(arguments)
            .current_dir(self.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A program that refuses its arguments does not read its input.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    /// Runs a command that must succeed, and returns its standard output.
    pub fn ok(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run(arguments, input);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn add_user(&self, name: &str) {
        self.ok(&["user", "add", name, "--password-stdin"], PASSWORD);
    }

    /// Starts the server here on a free port.
    pub fn serve(&self) -> Server {
        let mut command = program();
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--issuer", ISSUER])
            .current_dir(self.path());
        Server::start(command)
    }
}

/// A running server. Dropping it kills the process.
pub struct Server {
    pub child: Child,
    pub url: String,
    log: PathBuf,
    _log_folder: TempDir,
}

impl Server {
    /// Starts `command`, and waits until it logs its address.
    pub fn start(command: Command) -> Self {
        Self::try_start(command).unwrap_or_else(|log| panic!("the server ended: {log}"))
    }

    /// Starts `command`, and returns its log if it terminates before it listens.
    pub fn try_start(mut command: Command) -> Result<Self, String> {
        let folder = TempDir::new().unwrap();
        let log = folder.path().join("log");
        let mut child = command
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut file = File::create(&log).unwrap();
        let mut url = None;
        while url.is_none() {
            let mut line = String::new();
            if lines.read_line(&mut line).unwrap() == 0 {
                child.wait().unwrap();
                return Err(std::fs::read_to_string(&log).unwrap());
            }
            file.write_all(line.as_bytes()).unwrap();
            url = line
                .trim_end()
                .split_once("listening on ")
                .map(|(_, url)| url.to_owned());
        }
        std::thread::spawn(move || drain(lines, file));
        Ok(Self {
            child,
            url: url.unwrap(),
            log,
            _log_folder: folder,
        })
    }

    /// Returns what the server has written to standard error.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Waits up to 10 s until the log contains `words`: a thread copies the log.
    pub fn says(&self, words: &str) -> bool {
        (0..1000).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            self.log().contains(words)
        })
    }

    /// Sends SIGKILL, as a sudden crash would end the process.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends SIGTERM, and waits until the process exits.
    pub fn terminate(&mut self) -> std::process::ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap()
    }

    pub async fn login(&self, client: &reqwest::Client, name: &str) -> String {
        let response = client
            .post(format!("{}/login", self.url))
            .json(&json!({ "username": name, "password": PASSWORD }))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        response.json::<Value>().await.unwrap()["access_token"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    pub async fn verify(&self, client: &reqwest::Client, token: &str) -> u16 {
        client
            .get(format!("{}/verify", self.url))
            .bearer_auth(token)
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    }

    pub async fn logout(&self, client: &reqwest::Client, token: &str) -> reqwest::Result<u16> {
        let response = client
            .post(format!("{}/logout", self.url))
            .bearer_auth(token)
            .send()
            .await?;
        Ok(response.status().as_u16())
    }
}

fn drain(mut lines: BufReader<ChildStderr>, mut file: File) {
    let mut chunk = [0; 4096];
    while let Ok(read @ 1..) = lines.read(&mut chunk) {
        // The test's folder may already be gone.
        let _ = file.write_all(&chunk[..read]);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The process may already have exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns, as PEM, the private key in `folder` that signs tokens of `format`.
pub fn signing_pem(folder: &Path, format: Format) -> String {
    let files = key_folder::load(folder).unwrap();
    let mut signers = files.iter().filter(|file| {
        file.key.public().algorithm().format() == format && file.times.signs_from.is_some()
    });
    let signer = signers.next().unwrap();
    assert!(signers.next().is_none(), "more than one has had its turn");
    std::fs::read_to_string(&signer.path).unwrap()
}
