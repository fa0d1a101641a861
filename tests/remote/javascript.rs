//! One issuer, and two verifiers that follow it: the one in Rust, and the one in JavaScript
//! (`web/verifier`). Whatever they are asked, they must say the same.

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

/// Who takes the tokens, beside the issuer's own audience.
pub const ORDERS: &str = "https://orders.example";

/// After so long without an answer both refuse to judge.
pub const BOUND: Duration = Duration::from_secs(2);

/// How far the clocks may be apart, for both.
pub const LEEWAY: Duration = Duration::from_secs(5);

/// For how long a session ID stays good after it was renewed.
pub const GRACE: Duration = Duration::from_secs(2);

/// What becomes of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Session,
    Client,
    /// 401
    Refused,
    /// 503
    Unavailable,
}

/// The verifier in JavaScript, in a process of its own; it is killed when this is dropped.
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
            // Debian 12's Node hides Web Crypto behind this flag; later ones take it and need it not.
            .arg("--experimental-global-webcrypto")
            .arg(folder.join("test/judge.js"))
            // Node calls its Ed25519 experimental.
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
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The issuer and the two, which reach it over a wire.
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
    /// With an issuer whose new keys are of that algorithm, and which renews sessions after so long.
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

    /// The same issuer, and verifiers that have read nothing yet.
    pub fn with_new_verifiers(self) -> Self {
        let (rust, node) = verifiers(&self.wire, &self.reader);
        Self {
            rust,
            node: RefCell::new(node),
            ..self
        }
    }

    /// What the one in Rust and the one in JavaScript say of a token; of whom they say it must be the same.
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

    /// Waits until both say so.
    pub async fn until(&self, what: &str, token: &str, verdict: Verdict) {
        let says = async || self.judge(token) == [verdict; 2];
        until(&format!("{what}: {verdict:?}"), says).await;
    }

    /// Both say so, as soon as they can tell: what is slow is no other verdict.
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

    /// The token that this one is exchanged for once the issuer finds that it is time for `wanted`.
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

/// What a token says, for a test that need not doubt it.
pub fn claims(token: &str) -> Value {
    let [_, claims] = super::forger::header_and_claims(token);
    serde_json::from_slice(&claims).unwrap()
}

/// The key that signed it.
pub fn kid(token: &str) -> String {
    let [header, _] = super::forger::header_and_claims(token);
    let header: Value = serde_json::from_slice(&header).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}
