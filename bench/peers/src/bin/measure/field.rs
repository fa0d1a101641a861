//! All that is measured side by side: started, and checked.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use peers::{ISSUER, variable};
use reqwest::Client;
use serde_json::json;
use waxseal::random::OsRandom;

use crate::check::{Credentials, check};
use crate::process::{Process, free_port};
use crate::service::{LONG, Place, Service};
use crate::tokens::{Signer, secret};
use crate::{Result, Setup};

/// Users of the service.
pub const USERS: usize = 10;

/// One that is asked.
pub struct Contender {
    pub name: String,
    pub url: String,
    /// The headers that are sent in turns, one a line.
    pub headers: PathBuf,
    /// Whose processor time counts.
    pub processes: Vec<Rc<Process>>,
}

/// Those that take turns, and why others are not there.
pub struct Field {
    pub contenders: Vec<Contender>,
    pub left_out: Vec<(String, String)>,
    /// The service, for what is asked of it alone.
    pub service: String,
}

struct Start<'a> {
    setup: &'a Setup,
    http: &'a Client,
    field: Field,
}

/// The names of the service's own rows.
pub const HELLO: &str = "a bare axum hello";
pub const LIVEZ: &str = "waxseal `/livez`";
pub const READYZ: &str = "waxseal `/readyz`";
pub const VERIFY: &str = "waxseal `/verify`";
pub const FORGETFUL: &str = "waxseal `/verify` with `--token-cache 0`";
pub const SESSION: &str = "waxseal `/session`";

impl Field {
    pub async fn start(setup: &Setup, http: &Client) -> Result<Self> {
        let mut start = Start {
            setup,
            http,
            field: Self {
                contenders: Vec::new(),
                left_out: Vec::new(),
                service: String::new(),
            },
        };
        let bearers = start.service().await?;
        let hello = start.peer(&["hello"], &[], "/").await?;
        start.add(HELLO, &hello.1, &bearers, vec![hello.0]);
        start.in_rust().await?;
        start.sessions().await?;
        start.others().await?;
        Ok(start.field)
    }
}

impl Start<'_> {
    /// The service, with its token cache and without; and the file of its tokens.
    async fn service(&mut self) -> Result<PathBuf> {
        let place = Place::new(&self.setup.waxseal, self.setup.work.join("service"))?;
        let users = if self.setup.quick { 2 } else { USERS };
        place.add_users(users)?;
        // Soon over, so that there is a token that is expired.
        let short = place.serve(self.http, &["--idle-timeout=4s"]).await?;
        let ends = short.login(self.http, 0).await?;
        drop(short);
        let service = place.serve(self.http, &LONG).await?;
        let count = self.setup.size.tokens;
        let tokens = service.tokens(self.http, count, users).await?;
        let mut revoked = [
            service.login(self.http, 0).await?,
            service.login(self.http, 1).await?,
        ];
        drop(service);
        // The same tokens are good at both.
        let other = place.copy(self.setup.work.join("forgetful"))?;
        let service = place.serve(self.http, &LONG).await?;
        let forgetful = other
            .serve(self.http, &[&LONG[..], &["--token-cache=0"]].concat())
            .await?;
        let bearers = self.headers("service", tokens.iter().map(|token| bearer(token)))?;
        for (service, revoked) in [&service, &forgetful].into_iter().zip(&mut revoked) {
            let credentials = Credentials {
                good: bearer(&tokens[0]),
                ends: bearer(&ends),
                revoked: Some((format!("{}/logout", service.url), bearer(revoked))),
            };
            check(self.http, &format!("{}/verify", service.url), &credentials).await?;
            let credentials = Credentials {
                revoked: None,
                ..credentials
            };
            check(self.http, &format!("{}/session", service.url), &credentials).await?;
        }
        let Service { process, url } = forgetful;
        let process = Rc::new(process);
        self.add(FORGETFUL, &format!("{url}/verify"), &bearers, vec![process]);
        let Service { process, url } = service;
        let process = Rc::new(process);
        for (name, path) in [
            (LIVEZ, "livez"),
            (READYZ, "readyz"),
            (VERIFY, "verify"),
            (SESSION, "session"),
        ] {
            let processes = vec![Rc::clone(&process)];
            self.add(name, &format!("{url}/{path}"), &bearers, processes);
        }
        self.field.service = url;
        Ok(bearers)
    }

    /// axum and jsonwebtoken.
    async fn in_rust(&mut self) -> Result<()> {
        const PEERS: [(&str, bool, bool); 3] = [
            ("axum + jsonwebtoken, HS256, no revocation", false, false),
            ("axum + jsonwebtoken, EdDSA, no revocation", true, false),
            ("axum + jsonwebtoken, EdDSA, deny list in Redis", true, true),
        ];
        for (name, eddsa, denies) in PEERS {
            let signer = if eddsa {
                Signer::eddsa()?
            } else {
                Signer::hs256()
            };
            let mut variables = verifying(&signer);
            let mut processes = Vec::new();
            if denies {
                let Some((redis, url)) = self.redis(name).await? else {
                    continue;
                };
                processes.push(redis);
                variables.push((variable::REDIS, url));
            }
            let (process, url) = self.peer(&["jwt"], &variables, "/session").await?;
            processes.insert(0, process);
            self.tokens(name, &url, &signer, denies, processes).await?;
        }
        Ok(())
    }

    /// axum-login.
    async fn sessions(&mut self) -> Result<()> {
        let name = "axum-login + tower-sessions, SQLite";
        let database = self.setup.work.join("sessions.db");
        let password = secret(&OsRandom::new());
        let variables = [
            (variable::DATABASE, database.display().to_string()),
            (variable::KEY, password.clone()),
        ];
        let (process, url) = self.peer(&["sessions"], &variables, "/session").await?;
        let login = url.replace("/session", "/login");
        let http = self.http;
        let cookie = async |user: usize, seconds: i64| {
            let user = format!("user{}", user % 10);
            let body = json!({ "username": user, "password": password, "seconds": seconds });
            let answer = http.post(&login).json(&body).send().await?;
            let cookie = answer
                .headers()
                .get("set-cookie")
                .ok_or("a login without a cookie")?;
            let (pair, _) = cookie.to_str()?.split_once(';').ok_or("an odd cookie")?;
            Ok::<_, Box<dyn std::error::Error>>(format!("Cookie: {pair}"))
        };
        let credentials = Credentials {
            good: cookie(0, 3600).await?,
            ends: cookie(0, 1).await?,
            revoked: Some((url.replace("/session", "/logout"), cookie(1, 3600).await?)),
        };
        check(self.http, &url, &credentials).await?;
        let mut cookies = Vec::new();
        for number in 0..self.setup.size.tokens {
            cookies.push(cookie(number, 8 * 3600).await?);
        }
        let headers = self.headers("sessions", cookies.into_iter())?;
        self.add(name, &url, &headers, vec![process]);
        Ok(())
    }

    /// Those that are not in Rust. Each takes as many processes as there are cores.
    async fn others(&mut self) -> Result<()> {
        let cores = std::thread::available_parallelism()?.to_string();
        let tools = self.setup.tools.clone();
        for (name, tool, eddsa, cache) in [
            ("FastAPI + PyJWT, HS256, no revocation", "fastapi", false, 0),
            (
                "fastify + @fastify/jwt, HS256, no revocation",
                "fastify",
                false,
                0,
            ),
            (
                "fastify + @fastify/jwt, EdDSA, its cache on, no revocation",
                "fastify",
                true,
                10_000,
            ),
        ] {
            if self.is_left_out(name, tool) {
                continue;
            }
            let port = free_port()?;
            let mut command = if tool == "fastapi" {
                let mut command = Command::new(tools.join("fastapi/venv/bin/python"));
                command
                    .args(["-m", "uvicorn", "app:app", "--host", "127.0.0.1"])
                    .args(["--port", &port.to_string(), "--workers", &cores])
                    .args(["--no-access-log", "--log-level", "warning", "--app-dir"])
                    .arg(self.setup.bench.join("fastapi"))
                    .env("PYTHONDONTWRITEBYTECODE", "1");
                command
            } else {
                let mut command = Command::new("node");
                command.arg(tools.join("fastify/server.js"));
                command
            };
            let signer = if eddsa {
                Signer::eddsa()?
            } else {
                Signer::hs256()
            };
            command
                .envs(verifying(&signer))
                .env(variable::PORT, port.to_string())
                .env(variable::CACHE, cache.to_string())
                .env("NODE_ENV", "production");
            let process = Process::start(command, &self.setup.work.join(format!("{port}.log")));
            let url = format!("http://127.0.0.1:{port}/session");
            let started = async {
                let process = process?;
                process.answers(self.http, &url, None).await?;
                Result::Ok(process)
            };
            match started.await {
                Ok(process) => {
                    let processes = vec![Rc::new(process)];
                    self.tokens(name, &url, &signer, false, processes).await?;
                }
                Err(failure) => self.leave_out(name, "it does not start here", &failure),
            }
        }
        Ok(())
    }

    async fn redis(&mut self, name: &str) -> Result<Option<(Rc<Process>, String)>> {
        if self.is_left_out(name, "redis") {
            return Ok(None);
        }
        let port = free_port()?.to_string();
        let mut command = Command::new(self.setup.tools.join("redis-server"));
        command
            .args(["--bind", "127.0.0.1", "--port", &port])
            .args(["--save", "", "--appendonly", "no"])
            .current_dir(&self.setup.work);
        match Process::start(command, &self.setup.work.join("redis.log")) {
            Ok(process) => Ok(Some((
                Rc::new(process),
                format!("redis://127.0.0.1:{port}"),
            ))),
            Err(failure) => {
                self.leave_out(name, "Redis does not start here", &failure);
                Ok(None)
            }
        }
    }

    /// Checks one that takes tokens, and adds it.
    async fn tokens(
        &mut self,
        name: &str,
        url: &str,
        signer: &Signer,
        revokes: bool,
        processes: Vec<Rc<Process>>,
    ) -> Result<()> {
        let token = |seconds| Result::Ok(bearer(&signer.token(seconds)?));
        let revoked = if revokes {
            Some((url.replace("/session", "/logout"), token(3600)?))
        } else {
            None
        };
        let credentials = Credentials {
            good: token(3600)?,
            ends: token(-60)?,
            revoked,
        };
        check(self.http, url, &credentials).await?;
        let count = self.setup.size.tokens;
        let tokens: Vec<_> = (0..count).map(|_| token(8 * 3600)).collect::<Result<_>>()?;
        let number = self.field.contenders.len();
        let headers = self.headers(&number.to_string(), tokens.into_iter())?;
        self.add(name, url, &headers, processes);
        Ok(())
    }

    /// Starts one of the peers in Rust.
    async fn peer(
        &self,
        arguments: &[&str],
        variables: &[(&str, String)],
        path: &str,
    ) -> Result<(Rc<Process>, String)> {
        let port = free_port()?;
        let mut command = Command::new(&self.setup.peer);
        command
            .args(arguments)
            .envs(variables.iter().cloned())
            .env(variable::PORT, port.to_string());
        let log = self.setup.work.join(format!("{port}.log"));
        let process = Process::start(command, &log)?;
        let url = format!("http://127.0.0.1:{port}{path}");
        process.answers(self.http, &url, None).await?;
        Ok((Rc::new(process), url))
    }

    fn add(&mut self, name: &str, url: &str, headers: &Path, processes: Vec<Rc<Process>>) {
        eprintln!("bench: checked: {name}");
        self.field.contenders.push(Contender {
            name: name.to_owned(),
            url: url.to_owned(),
            headers: headers.to_owned(),
            processes,
        });
    }

    fn headers(&self, name: &str, headers: impl Iterator<Item = String>) -> Result<PathBuf> {
        let path = self.setup.work.join(format!("{name}.headers"));
        let lines: Vec<String> = headers.collect();
        fs::write(&path, lines.join("\n") + "\n")?;
        Ok(path)
    }

    fn is_left_out(&mut self, name: &str, tool: &str) -> bool {
        let why = self.setup.left_out.iter().find(|(left, _)| left == tool);
        let why = why.map(|(_, why)| why.clone());
        if let Some(why) = &why {
            self.leave_out(name, why, &"as the script says");
        }
        why.is_some()
    }

    fn leave_out(&mut self, name: &str, why: &str, detail: &dyn std::fmt::Display) {
        eprintln!("bench: LEFT OUT: {name}: {why}: {detail}");
        self.field.left_out.push((name.to_owned(), why.to_owned()));
    }
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

fn verifying(signer: &Signer) -> Vec<(&'static str, String)> {
    vec![
        (variable::ALGORITHM, signer.name().to_owned()),
        (variable::KEY, signer.verifies.clone()),
        (variable::ISSUER, ISSUER.to_owned()),
    ]
}
