//! How a command fails: what happened and what to do on stderr, and the exit code.

use std::fmt::Display;
use std::process::ExitCode;

/// The exit code of something that is due: for monitoring, neither a success nor a failure.
const DUE: u8 = 3;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub enum Failure {
    /// Exit code 1: it was refused, or it failed.
    Refused(String),
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

    /// Says it, and gives the exit code.
    pub fn report(self) -> ExitCode {
        let (why, code) = match self {
            Self::Refused(why) => (why, 1),
            Self::Usage(why) => (why, 2),
            Self::Due(why) => (why, DUE),
        };
        eprintln!("waxseal: {why}");
        ExitCode::from(code)
    }
}
