//! How a command fails: what happened and what to do on stderr, and the exit code.

use std::fmt::Display;
use std::process::ExitCode;

use serde_json::json;

use crate::streams;

/// The exit code of something that is due: for monitoring, neither a success nor a failure.
const DUE: u8 = 3;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub enum Failure {
    /// Exit code 1: it was refused, or it failed.
    Refused(String),
    /// Exit code 1: the store failed, and whether the change was made is not known.
    Unknown(String),
    /// Exit code 1: standard output could not be written. The message says what was changed.
    Output(String),
    /// Exit code 2: it was asked wrongly, in a flag, a variable or the file.
    Usage(String),
    /// Exit code 3: it is in order, and something is due.
    Due(String),
}

impl Failure {
    /// A refusal for the reason given.
    pub fn refused(why: impl Display) -> Self {
        Self::Refused(why.to_string())
    }

    /// The store failed to make a change, for the reason given.
    pub fn unknown(why: impl Display) -> Self {
        Self::Unknown(why.to_string())
    }

    /// What happened, and what to do.
    pub fn message(&self) -> &str {
        let (Self::Refused(why)
        | Self::Unknown(why)
        | Self::Output(why)
        | Self::Usage(why)
        | Self::Due(why)) = self;
        why
    }

    /// The same failure, with more to say.
    pub fn with(mut self, more: &str) -> Self {
        let (Self::Refused(why)
        | Self::Unknown(why)
        | Self::Output(why)
        | Self::Usage(why)
        | Self::Due(why)) = &mut self;
        why.push_str(more);
        self
    }

    /// Says it on stderr, as one line of JSON if `json` is set, and gives the exit code. It is the same whether or
    /// not stderr can be written.
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
