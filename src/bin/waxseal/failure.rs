//! Failures of commands. Each has an exit code, and a message on stderr that says what happened and what to do.

use std::error::Error;
use std::process::ExitCode;

use serde_json::json;
use waxseal::report::report;

use crate::streams;

/// The exit code when an action is due: for monitoring, neither a success nor a failure.
const DUE: u8 = 3;

/// Why a command exits with another code than 0.
#[derive(Debug)]
pub enum Failure {
    /// Exit code 1: the command was refused, or it failed.
    Refused(String),
    /// Exit code 1: the store failed, and it is unknown whether the change was made.
    Unknown(String),
    /// Exit code 1: standard output could not be written. The message says what was changed.
    Output(String),
    /// Exit code 2: an argument, a variable or the settings file is wrong.
    Usage(String),
    /// Exit code 3: everything is in order, and an action is due.
    Due(String),
}

impl Failure {
    /// Returns a refusal for the given reason: a text, or an error, which is shown with its causes.
    pub fn refused(why: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Refused(text(why))
    }

    /// Returns the failure of a change in the store for the given reason. The change may have been made.
    pub fn unknown(why: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unknown(text(why))
    }

    /// Returns what happened, and what to do.
    pub fn message(&self) -> &str {
        let (Self::Refused(why)
        | Self::Unknown(why)
        | Self::Output(why)
        | Self::Usage(why)
        | Self::Due(why)) = self;
        why
    }

    /// Appends `more` to the message.
    pub fn with(mut self, more: &str) -> Self {
        let (Self::Refused(why)
        | Self::Unknown(why)
        | Self::Output(why)
        | Self::Usage(why)
        | Self::Due(why)) = &mut self;
        why.push_str(more);
        self
    }

    /// Writes the message to stderr, as one line of JSON if `json` is set, and returns the exit code. The code is the
    /// same if stderr cannot be written.
    pub fn report(self, json: bool) -> ExitCode {
        let (name, code) = match self {
            Self::Refused(_) | Self::Unknown(_) => ("refused", 1),
            Self::Output(_) => ("output", 1),
            Self::Usage(_) => ("usage", 2),
            Self::Due(_) => ("due", DUE),
        };
        let why = self.message();
        if json {
            let error = json!({ "error": { "code": name, "message": why } });
            let _ = streams::err(&format!("{error}\n"));
        } else {
            streams::note(why);
        }
        ExitCode::from(code)
    }
}

fn text(why: impl Into<Box<dyn Error + Send + Sync>>) -> String {
    let why: Box<dyn Error + Send + Sync> = why.into();
    report(&*why).to_string()
}
