//! Requests sent with curl, which controls the spelling, order and repetition of headers.

use std::fmt::Write as _;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

/// One request.
#[derive(Clone, Default)]
pub struct Request {
    method: Option<String>,
    headers: Vec<String>,
    body: Option<Vec<u8>>,
    from: Option<&'static str>,
}

/// The header of a request from a page of the proxy's own origin.
pub const OWN_PAGE: &str = "Sec-Fetch-Site: same-origin";
/// The header of a request from a page of another site.
pub const OTHER_SITE: &str = "Sec-Fetch-Site: cross-site";

impl Request {
    pub fn get() -> Self {
        Self::default()
    }

    pub fn of(method: &str) -> Self {
        Self {
            method: Some(method.to_owned()),
            ..Self::default()
        }
    }

    pub fn header(mut self, line: impl Into<String>) -> Self {
        self.headers.push(line.into());
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header(format!("Authorization: Bearer {token}"))
    }

    pub fn cookie(self, token: &str) -> Self {
        self.header(format!("Cookie: __Host-Http-waxseal={token}"))
    }

    pub fn body(mut self, body: Vec<u8>) -> Self {
        self.body = Some(body);
        self
    }

    pub fn json(self, body: &Value) -> Self {
        self.header("Content-Type: application/json")
            .body(body.to_string().into_bytes())
    }

    /// Sends the request from this local address.
    pub fn from(mut self, address: &'static str) -> Self {
        self.from = Some(address);
        self
    }

    pub fn send(&self, url: &str) -> Answer {
        let folder = TempDir::new().unwrap();
        let (sent, received) = (folder.path().join("sent"), folder.path().join("received"));
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--noproxy", "*", "--path-as-is"]);
        // The test certificates are self-signed.
        command.args(["--max-time", "60", "--insecure"]);
        if let Some(method) = &self.method {
            match method.as_str() {
                "HEAD" => command.arg("--head"),
                method => command.args(["--request", method]),
            };
        }
        for line in self.headers.iter().map(String::as_str).chain(["Expect:"]) {
            command.args(["--header", line]);
        }
        if let Some(body) = &self.body {
            std::fs::write(&sent, body).unwrap();
            let mut from = std::ffi::OsString::from("@");
            from.push(&sent);
            command.arg("--data-binary").arg(from);
        }
        if let Some(address) = self.from {
            command.args(["--interface", address]);
        }
        command.args(["--write-out", "%{http_code}\n%{header_json}"]);
        let output = command.arg("--output").arg(&received).arg(url).output();
        let output = output.expect("curl; run scripts/test-setup first");
        let text = String::from_utf8(output.stdout).unwrap();
        let mut said = String::new();
        write!(said, "{url}: {}", String::from_utf8_lossy(&output.stderr)).unwrap();
        assert!(output.status.success(), "{said}");
        let (status, headers) = text.split_once('\n').unwrap();
        Answer {
            status: status.parse().unwrap(),
            headers: serde_json::from_str(headers).unwrap(),
            body: std::fs::read(&received).unwrap_or_default(),
        }
    }
}

/// A response.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    headers: Value,
    pub body: Vec<u8>,
}

impl Answer {
    /// Returns the values of a header by its lower-case name.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let values = self.headers[name].as_array();
        values
            .into_iter()
            .flatten()
            .map(|value| value.as_str().unwrap())
            .collect()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// Returns the new value of the session cookie, if the response sets one.
    pub fn session_cookie(&self) -> Option<&str> {
        let cookies = self.all("set-cookie").into_iter();
        let mut ours = cookies.filter_map(|line| line.strip_prefix("__Host-Http-waxseal="));
        let value = ours.next()?.split(';').next();
        assert_eq!(ours.next(), None, "{self:?}");
        assert_eq!(self.all("cache-control"), ["no-store"], "{self:?}");
        value
    }
}
