//! The service itself, as it is built for people.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use peers::ISSUER;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::Result;
use crate::process::{Process, free_port};

pub const PASSWORD: &str = "correct horse battery";

/// Longer than a run takes.
pub const LONG: [&str; 3] = [
    "--idle-timeout=8h",
    "--absolute-timeout=8h",
    "--renewal-timeout=8h",
];

/// More logins than people do.
const UNLIMITED: [&str; 2] = [
    "--login-limit-address=1000000/1s",
    "--login-limit-account=1000000/1s",
];

/// The program, and a folder where it keeps its data.
pub struct Place {
    program: PathBuf,
    pub folder: PathBuf,
}

/// It serves.
pub struct Service {
    pub process: Process,
    pub url: String,
}

impl Place {
    pub fn new(program: &Path, folder: PathBuf) -> Result<Self> {
        fs::create_dir(&folder)?;
        Ok(Self {
            program: program.to_owned(),
            folder,
        })
    }

    /// Another with the same data, keys and mark. Nothing may serve here.
    pub fn copy(&self, folder: PathBuf) -> Result<Self> {
        let copy = Self::new(&self.program, folder)?;
        for name in ["data", "keys", "mark"] {
            fs::create_dir(copy.folder.join(name))?;
            for file in fs::read_dir(self.folder.join(name))? {
                let file = file?;
                fs::copy(file.path(), copy.folder.join(name).join(file.file_name()))?;
            }
        }
        Ok(copy)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.folder);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("WAXSEAL_") || text.starts_with("OTEL_") {
                command.env_remove(&name);
            }
        }
        command
    }

    /// Adds `user0` and so on.
    pub fn add_users(&self, count: usize) -> Result<()> {
        for number in 0..count {
            let mut child = self
                .command()
                .args(["user", "add", &format!("user{number}"), "--password-stdin"])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()?;
            if let Some(mut input) = child.stdin.take() {
                input.write_all(PASSWORD.as_bytes())?;
            }
            if !child.wait()?.success() {
                return Err("no user could be added".into());
            }
        }
        Ok(())
    }

    /// Starts to serve, and waits until it is ready.
    pub async fn serve(&self, http: &Client, settings: &[&str]) -> Result<Service> {
        let port = free_port()?;
        let mut command = self.command();
        command
            .args(["serve", "--issuer", ISSUER])
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .args(UNLIMITED)
            .args(settings);
        let process = Process::start(command, &self.folder.join("log"))?;
        let url = format!("http://127.0.0.1:{port}");
        let ready = format!("{url}/readyz");
        process.answers(http, &ready, Some(200)).await?;
        Ok(Service { process, url })
    }
}

impl Service {
    pub async fn login(&self, http: &Client, user: usize) -> Result<String> {
        login(http, &self.url, user).await
    }

    /// As many live tokens, of so many users in turns.
    pub async fn tokens(&self, http: &Client, count: usize, users: usize) -> Result<Vec<String>> {
        // No more at once than it has permits for on most machines: nobody has to wait for long.
        const AT_ONCE: usize = 4;
        let mut tasks = JoinSet::new();
        for first in 0..AT_ONCE {
            let (http, url) = (http.clone(), self.url.clone());
            tasks.spawn(async move {
                let mut tokens = Vec::new();
                for number in (first..count).step_by(AT_ONCE) {
                    let token = login(&http, &url, number % users).await;
                    tokens.push(token.map_err(|failure| failure.to_string())?);
                }
                Ok::<_, String>(tokens)
            });
        }
        let mut tokens = Vec::new();
        while let Some(share) = tasks.join_next().await {
            tokens.extend(share??);
        }
        Ok(tokens)
    }
}

async fn login(http: &Client, url: &str, user: usize) -> Result<String> {
    let body = json!({ "username": format!("user{user}"), "password": PASSWORD });
    let asked = http.post(format!("{url}/login")).json(&body);
    let answer = asked
        .timeout(Duration::from_secs(60))
        .send()
        .await?
        .error_for_status()?;
    let answer: Value = answer.json().await?;
    let token = answer["access_token"]
        .as_str()
        .ok_or("a login without a token")?;
    Ok(token.to_owned())
}
