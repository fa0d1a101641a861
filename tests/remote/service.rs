//! The two processes: Waxseal, and the service of `examples/remote.rs`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::common::cargo::without_variables_of_a_test;
use super::common::{ISSUER, Place, Server};

/// A client's credentials.
pub struct Client {
    pub id: String,
    pub secret: String,
}

impl Client {
    /// Adds a client.
    pub fn add(place: &Place, name: &str, scope: &str, audience: Option<&str>) -> Self {
        let mut arguments = vec!["client", "add", name, "--scope", scope, "--json"];
        arguments.extend(
            audience
                .iter()
                .flat_map(|audience| ["--audience", audience]),
        );
        let added: Value = serde_json::from_str(&place.ok(&arguments, "")).unwrap();
        let text = |name: &str| added[name].as_str().unwrap().to_owned();
        Self {
            id: text("client_id"),
            secret: text("client_secret"),
        }
    }

    /// Adds a reader of the feed.
    pub fn reader(place: &Place, name: &str) -> Self {
        Self::add(place, name, "revocations:read", None)
    }

    /// Fetches an access token of the client.
    pub async fn token(&self, http: &reqwest::Client, url: &str) -> String {
        let answer = http
            .post(format!("{url}/oauth/token"))
            .basic_auth(&self.id, Some(&self.secret))
            .header("content-type", "application/x-www-form-urlencoded")
            .body("grant_type=client_credentials")
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        let answer: Value = answer.json().await.unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }
}

/// The program of `examples/remote.rs`, built if necessary.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut cargo = Command::new(env!("CARGO"));
        without_variables_of_a_test(&mut cargo);
        let built = cargo
            .args(["build", "--locked", "--quiet", "--example", "remote"])
            .current_dir(root)
            .status();
        assert!(built.unwrap().success());
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| root.join("target"), |folder| root.join(folder));
        target.join("debug/examples/remote")
    })
}

/// Starts the service, which reaches its issuer at `at`.
pub fn start(at: &str, client: &Client) -> Server {
    let mut command = Command::new(program());
    command
        .env("ISSUER", ISSUER)
        .env("ISSUER_AT", at)
        .env("CLIENT_ID", &client.id)
        .env("CLIENT_SECRET", &client.secret)
        .env("LISTEN", "127.0.0.1:0");
    Server::start(command)
}

pub fn http() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(10))
        .build()
        .unwrap()
}

/// The service's status for a session's token.
pub async fn status(http: &reqwest::Client, service: &Server, token: &str) -> u16 {
    get(http, service, "/orders/mine", token).await
}

pub async fn get(http: &reqwest::Client, service: &Server, path: &str, token: &str) -> u16 {
    let request = http.get(format!("{}{path}", service.url));
    let answer = request.bearer_auth(token).send().await.unwrap();
    answer.status().as_u16()
}

/// Waits until `wanted` holds, and returns how long that took. Only a failing test reaches the limit.
#[expect(
    clippy::disallowed_methods,
    reason = "real processes are measured on the real clock"
)]
pub async fn until(what: &str, wanted: impl AsyncFn() -> bool) -> Duration {
    let began = Instant::now();
    while !wanted().await {
        assert!(began.elapsed() < Duration::from_secs(60), "never: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    began.elapsed()
}

pub async fn ready(http: &reqwest::Client, service: &Server) {
    let is_ready = async || {
        let answer = http.get(format!("{}/readyz", service.url)).send().await;
        answer.is_ok_and(|answer| answer.status() == 200)
    };
    until("the service is ready", is_ready).await;
}
