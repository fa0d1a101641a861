//! One issuer, and two verifiers that follow it: one in Rust, and one in JavaScript (`web/verifier`). Their verdicts
//! must always be equal.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use waxseal::Verifier;
use waxseal::verifier::{Refusal, Verified};

use super::common::{ISSUER, Place, Server, program};
use super::service::{Client, http, until};
use super::wire::Wire;

/// The audience that both verifiers accept, beside the issuer's own.
pub const ORDERS: &str = "https://orders.example";

/// The time without an answer after which both verifiers refuse to judge.
pub const BOUND: Duration = Duration::from_secs(2);

/// The clock difference that both verifiers allow.
pub const LEEWAY: Duration = Duration::from_secs(5);

/// How long a session ID stays valid after its renewal.
pub const GRACE: Duration = Duration::from_secs(2);

/// The verdict on a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Session,
    Client,
    /// Status 401.
    Refused,
    /// Status 503.
    Unavailable,
}

/// The JavaScript verifier in its own process, which is killed on drop.
struct Node {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Node {
    fn start(options: &Value) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("web/verifier");
        assert!(
            folder.join("node_modules/jose").exists(),
            "the packages of {} are missing; run scripts/test-setup first",
            folder.display()
        );
        let mut child = Command::new("node")
            // Debian 12's Node hides Web Crypto behind this flag; later versions accept the flag but do not need it.
            .arg("--experimental-global-webcrypto")
            .arg(folder.join("test/judge.js"))
            // Node warns that its Ed25519 is experimental.
            .env("NODE_NO_WARNINGS", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|cause| panic!("node: {cause}; run scripts/test-setup first"));
        let mut node = Self {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
        };
        node.say(options);
        node
    }

    fn say(&mut self, line: &Value) {
        writeln!(self.input, "{line}").unwrap();
        self.input.flush().unwrap();
    }

    fn judge(&mut self, token: &str) -> (Verdict, Value) {
        self.say(&json!({ "token": token }));
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).expect("the verifier in JavaScript answers");
        let verdict = match said["verdict"].as_str() {
            Some("session") => Verdict::Session,
            Some("client") => Verdict::Client,
            Some("invalid_token") => Verdict::Refused,
            Some("unavailable") => Verdict::Unavailable,
            _ => panic!("{said}"),
        };
        (verdict, said)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The issuer and the two verifiers, which reach it over a wire.
pub struct Both {
    pub place: Place,
    pub issuer: Server,
    pub http: reqwest::Client,
    pub wire: Wire,
    reader: Client,
    rust: Arc<Verifier>,
    node: RefCell<Node>,
}

fn verifiers(wire: &Wire, reader: &Client) -> (Arc<Verifier>, Node) {
    let rust = Verifier::remote(ISSUER, &reader.id, reader.secret.clone())
        .at(&wire.url)
        .audience(ISSUER)
        .audience(ORDERS)
        .max_staleness(BOUND)
        .leeway(LEEWAY)
        .start()
        .unwrap();
    let node = Node::start(&json!({
        "issuer": ISSUER, "at": wire.url, "clientId": reader.id, "clientSecret": reader.secret,
        "audience": [ISSUER, ORDERS], "maxStaleness": BOUND.as_secs(), "leeway": LEEWAY.as_secs(),
    }));
    (rust, node)
}

impl Both {
    /// Starts an issuer whose new keys are of that algorithm and whose sessions are due for renewal after `renewal`.
    pub async fn new(algorithm: &str, renewal: &str) -> Self {
        let place = Place::new();
        let reader = Client::reader(&place, "reader");
        let mut command = program();
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--issuer", ISSUER])
            .args(["--algorithm", algorithm])
            .args(["--renewal-timeout", renewal, "--renewal-grace", "2s"])
            .args(["--touch-interval", "1s", "--idle-timeout", "15m"])
            .current_dir(place.path());
        let issuer = Server::start(command);
        let wire = Wire::to(&issuer.url).await;
        let (rust, node) = verifiers(&wire, &reader);
        Self {
            place,
            issuer,
            http: http(),
            wire,
            reader,
            rust,
            node: RefCell::new(node),
        }
    }

    /// The same issuer, with verifiers that have read nothing yet.
    pub fn with_new_verifiers(self) -> Self {
        let (rust, node) = verifiers(&self.wire, &self.reader);
        Self {
            rust,
            node: RefCell::new(node),
            ..self
        }
    }

    /// Returns the verdicts of the Rust and the JavaScript verifier, and asserts that they name the same subject.
    pub fn judge(&self, token: &str) -> [Verdict; 2] {
        let (verdict, subject) = match self.rust.verify_any(token) {
            Ok(Verified::Session(session)) => {
                (Verdict::Session, Some(session.subject().to_string()))
            }
            Ok(Verified::Client(client)) => (Verdict::Client, Some(client.client().to_string())),
            Err(Refusal::Stale) => (Verdict::Unavailable, None),
            Err(_) => (Verdict::Refused, None),
        };
        let (theirs, said) = self.node.borrow_mut().judge(token);
        if let (Some(subject), Some(same)) = (subject, said["subject"].as_str()) {
            assert_eq!(subject, same);
        }
        [verdict, theirs]
    }

    /// Waits until both verifiers give that verdict.
    pub async fn until(&self, what: &str, token: &str, verdict: Verdict) {
        let says = async || self.judge(token) == [verdict; 2];
        until(&format!("{what}: {verdict:?}"), says).await;
    }

    /// Asserts that both verifiers give that verdict as soon as they can judge: slowness is not a different verdict.
    pub async fn is(&self, what: &str, token: &str, verdict: Verdict) {
        let said = RefCell::new([Verdict::Unavailable; 2]);
        let tell = async || {
            *said.borrow_mut() = self.judge(token);
            verdict == Verdict::Unavailable || !said.borrow().contains(&Verdict::Unavailable)
        };
        until(what, tell).await;
        assert_eq!(said.into_inner(), [verdict; 2], "{what}: {token}");
    }

    pub async fn post(&self, path: &str, token: &str, body: Option<Value>) -> reqwest::Response {
        let request = self
            .http
            .post(format!("{}{path}", self.issuer.url))
            .bearer_auth(token);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {answer:?}");
        answer
    }

    /// Exchanges the token until the claims of the new one satisfy `wanted`. Returns it, and the time of the request.
    pub async fn renewed(&self, token: &str, wanted: impl Fn(&Value) -> bool) -> (String, Instant) {
        for _ in 0..1000 {
            let asked = now();
            let answer = self.post("/session/renew", token, None).await;
            let answer: Value = answer.json().await.unwrap();
            let renewed = answer["access_token"].as_str().unwrap();
            if wanted(&claims(renewed)) {
                return (renewed.to_owned(), asked);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("never renewed: {token}");
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "real processes are measured on the real clock"
)]
pub fn now() -> Instant {
    Instant::now()
}

/// A token's claims, unverified.
pub fn claims(token: &str) -> Value {
    let [_, claims] = super::forger::header_and_claims(token);
    serde_json::from_slice(&claims).unwrap()
}

/// The ID of the key that signed the token.
pub fn kid(token: &str) -> String {
    let [header, _] = super::forger::header_and_claims(token);
    let header: Value = serde_json::from_slice(&header).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}
