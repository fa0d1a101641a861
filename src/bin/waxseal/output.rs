//! Results on standard output, as text or as JSON. A result that cannot be written is a failure.
//!
//! The order of a change and its output:
//!
//! - Without a secret, the change comes first. If the output then fails, the message says what was done.
//! - With a secret, the secret comes first and the change after it. So a secret that cannot be shown never becomes
//!   valid. The price: if the change fails, the secret that was shown is not valid, and the message says so. The other
//!   order needs an undo, which fails where it is needed most: on a machine that is breaking down. This holds for
//!   `user add`, `user passwd`, `client add`, `client rotate-secret` and the first user of `serve`.

use std::io;

use rustix::io::Errno;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::failure::Failure;
use crate::streams;

/// The format of results: text, or JSON with `--json`.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    pub json: bool,
}

/// The output of a change, which may have shown a secret already.
#[derive(Debug)]
pub struct Receipt {
    output: Output,
    /// The members that the first half of the JSON object has; `None` if no secret was shown.
    shown: Option<Map<String, Value>>,
    secret: &'static str,
}

/// A failure to write to standard output.
#[derive(Debug)]
pub struct Lost {
    cause: io::Error,
}

impl Output {
    /// Prints the result of a command that changes nothing.
    pub fn print(
        self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        self.write(value, text).map_err(Lost::nothing_changed)
    }

    /// Prints a text that is the same with and without `--json`.
    pub fn plain(text: &str) -> Result<(), Failure> {
        streams::out(text).map_err(|cause| Lost { cause }.nothing_changed())
    }

    /// Prints a line of progress. With `--json` it prints nothing.
    pub fn line(self, text: impl FnOnce() -> String) -> Result<(), Lost> {
        if self.json {
            return Ok(());
        }
        streams::out(&(text() + "\n")).map_err(|cause| Lost { cause })
    }

    /// Returns the receipt of a change that makes no secret.
    pub const fn receipt(self) -> Receipt {
        Receipt {
            output: self,
            shown: None,
            secret: "",
        }
    }

    /// Shows a secret before the change that makes it valid. `value` is the first half of a JSON object. The object
    /// stays incomplete until [`Receipt::finish`], so that no program can parse it earlier.
    pub fn show_secret(
        self,
        secret: &'static str,
        value: Map<String, Value>,
        text: &str,
    ) -> Result<Receipt, Failure> {
        let text = if self.json {
            let object = Value::Object(value.clone()).to_string();
            object.strip_suffix('}').unwrap_or(&object).to_owned()
        } else {
            format!("{text}\n")
        };
        streams::out_durably(&text).map_err(|cause| Lost { cause }.nothing_changed())?;
        Ok(Receipt {
            output: self,
            shown: Some(value),
            secret,
        })
    }

    fn write(self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), Lost> {
        let text = if self.json {
            serde_json::json!(value).to_string()
        } else {
            text()
        };
        if text.is_empty() {
            return Ok(());
        }
        streams::out(&(text + "\n")).map_err(|cause| Lost { cause })
    }
}

impl Receipt {
    /// Whether the receipt has shown a secret.
    pub const fn has_secret(&self) -> bool {
        self.shown.is_some()
    }

    /// Prints what was done. If that fails, the error names `see`, a command that shows the result.
    pub fn finish(self, value: &Value, done: &str, see: &str) -> Result<(), Failure> {
        let written = match &self.shown {
            Some(shown) if self.output.json => {
                let new = value.as_object().into_iter().flatten();
                let new = new.filter(|(name, _)| !shown.contains_key(*name));
                let rest: String = new
                    .map(|(name, value)| format!(",{}:{value}", Value::from(name.as_str())))
                    .collect();
                streams::out(&format!("{rest}}}\n")).map_err(|cause| Lost { cause })
            }
            _ => self.output.write(value, || done.to_owned()),
        };
        let shown = match self.secret {
            "" => String::new(),
            secret => format!("; the {secret} that was shown is valid"),
        };
        written.map_err(|lost| lost.after(&format!("{done}{shown}"), see))
    }

    /// Returns the failure of the change. It adds that a secret which was shown is not valid, or that this is unknown.
    pub fn void(self, failure: Failure) -> Failure {
        if self.secret.is_empty() {
            return failure;
        }
        // End the line. The JSON object on it stays incomplete.
        let _ = streams::out(if self.output.json { "\n" } else { "" });
        let secret = self.secret;
        let counts = match failure {
            Failure::Unknown(_) => "may be valid or not: keep it secret, and run the command again",
            _ => "is not valid",
        };
        failure.with(&format!("; the {secret} that was shown {counts}"))
    }
}

impl Lost {
    /// Returns the failure of a command that has changed nothing.
    pub fn nothing_changed(self) -> Failure {
        Failure::Output(format!(
            "standard output {}; nothing was changed: run the command again with an output that can be written",
            self.why()
        ))
    }

    /// Returns the failure of a command that has done `done`. The command `see` shows the result.
    pub fn after(self, done: &str, see: &str) -> Failure {
        Failure::Output(format!(
            "{done}\nThis is done, but standard output {}. Do not run the command again; to see the result: {see}",
            self.why()
        ))
    }

    fn why(&self) -> String {
        match self.cause.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::BADF) => "is closed".to_owned(),
            _ => format!("could not be written: {}", self.cause),
        }
    }
}
