//! Nodes beside a database, and requests to them.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::common::PASSWORD;
use super::common::postgres::Postgres;
use super::nodes::{Node, Nodes};

/// The timeout of a request: whatever is wrong, there is an answer by then.
pub const PATIENCE: Duration = Duration::from_secs(20);
const BETWEEN: Duration = Duration::from_millis(20);
/// How often a request is retried that may fail on a busy machine.
const SOME: usize = 500;
/// The limit of a loop; only a failing test reaches it.
const TRIES: usize = 6000;

/// The answer to a request.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub retry_after: Option<String>,
    pub server_timing: Option<String>,
    pub body: String,
}

impl Answer {
    /// Asserts a 503 that says when to try again.
    #[track_caller]
    pub fn is_unavailable(&self) {
        assert_eq!(self.status, 503, "{self:?}");
        assert!(self.retry_after.is_some(), "{self:?}");
    }
}

pub async fn ask(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let header = |name: &str| {
        let value = response.headers().get(name)?;
        Some(value.to_str().unwrap().to_owned())
    };
    let (retry_after, server_timing) = (header("retry-after"), header("server-timing"));
    let status = response.status().as_u16();
    Answer {
        status,
        retry_after,
        server_timing,
        body: response.text().await.unwrap(),
    }
}

/// A client of one node.
#[derive(Clone)]
pub struct Caller {
    pub url: String,
    client: Client,
}

impl Caller {
    pub fn at(url: &str) -> Self {
        let client = Client::builder().no_proxy().timeout(PATIENCE);
        Self {
            url: url.to_owned(),
            client: client.build().unwrap(),
        }
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.url))
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url))
    }

    pub async fn verify(&self, token: &str) -> Answer {
        ask(self.get("/verify").bearer_auth(token)).await
    }

    pub async fn logout(&self, token: &str) -> Answer {
        ask(self.post("/logout").bearer_auth(token)).await
    }

    pub async fn renew(&self, token: &str) -> Answer {
        ask(self.post("/session/renew").bearer_auth(token)).await
    }

    pub async fn try_login(&self, name: &str) -> Answer {
        let who = json!({ "username": name, "password": PASSWORD });
        ask(self.post("/login").json(&who)).await
    }

    /// Logs in, and retries while the answer is 503.
    pub async fn login(&self, name: &str) -> String {
        let mut answer = self.try_login(name).await;
        for _ in 0..SOME {
            if answer.status != 503 {
                break;
            }
            answer = self.try_login(name).await;
        }
        assert_eq!(answer.status, 200, "{answer:?}");
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        body["access_token"].as_str().unwrap().to_owned()
    }

    /// Logs out, and retries until the node confirms it, or refuses the token after an answer that was uncertain.
    pub async fn ends(&self, token: &str) {
        let mut unsure = false;
        for _ in 0..SOME {
            let answer = self.logout(token).await;
            match answer.status {
                204 => return,
                401 if unsure => return,
                _ => answer.is_unavailable(),
            }
            unsure = true;
            tokio::time::sleep(BETWEEN).await;
        }
        panic!("it cannot be ended");
    }

    pub async fn is_ready(&self) -> bool {
        ask(self.get("/readyz")).await.status == 200
    }

    /// Waits until the node is ready, or no longer ready.
    pub async fn becomes_ready(&self, ready: bool) {
        for _ in 0..TRIES {
            if self.is_ready().await == ready {
                return;
            }
            tokio::time::sleep(BETWEEN).await;
        }
        panic!("never: ready {ready}");
    }

    /// Waits until the answer for a token has that status.
    pub async fn becomes(&self, token: &str, status: u16) {
        for _ in 0..TRIES {
            if self.verify(token).await.status == status {
                return;
            }
            tokio::time::sleep(BETWEEN).await;
        }
        panic!("never: {status}");
    }
}

/// Waits until the condition holds.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..TRIES {
        if holds().await {
            return;
        }
        tokio::time::sleep(BETWEEN).await;
    }
    panic!("never: {what}");
}

/// Nodes that are not started yet, and the user alice.
pub fn nodes(database: &Postgres, count: usize, settings: &[(&str, &str)]) -> Nodes {
    let urls = vec![database.url(); count];
    Nodes::prepare(&urls, settings, &["alice".to_owned()])
}

/// A process whose output is kept, whether or not it ever serves.
pub struct Process {
    pub child: Child,
    log: PathBuf,
    _folder: TempDir,
}

impl Process {
    pub fn start(mut command: Command) -> Self {
        let folder = TempDir::new().unwrap();
        let log = folder.path().join("log");
        let file = File::create(&log).unwrap();
        command.stdin(Stdio::null());
        command.stdout(file.try_clone().unwrap()).stderr(file);
        Self {
            child: command.spawn().unwrap(),
            log,
            _folder: folder,
        }
    }

    pub fn serve(node: &Node) -> Self {
        Self::start(node.command(&["serve"]))
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    #[track_caller]
    pub fn says(&mut self, words: &str) {
        for _ in 0..TRIES {
            if self.log().contains(words) {
                return;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() || self.log().contains(words),
                "it ended: {}",
                self.log()
            );
            std::thread::sleep(BETWEEN);
        }
        panic!("it never said {words}: {}", self.log());
    }

    /// Waits until the process ends.
    #[track_caller]
    pub fn ends(&mut self) -> ExitStatus {
        for _ in 0..TRIES {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            std::thread::sleep(BETWEEN);
        }
        panic!("it never ended: {}", self.log());
    }

    /// Waits until the process fails, and returns its message.
    #[track_caller]
    pub fn is_refused(&mut self) -> String {
        let status = self.ends();
        assert_eq!(status.code(), Some(1), "{}", self.log());
        self.log()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asserts that the text contains no form of a password.
#[track_caller]
pub fn is_secret(text: &str) {
    for secret in ["an:open@sea", "an%3Aopen", "open@sea", "open%40sea"] {
        assert!(!text.contains(secret), "{text}");
    }
}
