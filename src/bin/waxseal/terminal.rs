//! Prompts for passwords on a terminal: typed twice, without echo.

use std::io::{self, BufRead, IsTerminal, Write};
use std::os::fd::AsFd;

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use zeroize::Zeroizing;

use crate::failure::Failure;

/// The byte that Ctrl-C sends.
const CANCEL: u8 = 3;

/// Asks twice for a new password on the terminal at standard input.
pub fn new_password(name: &str) -> Result<String, Failure> {
    let failed = |cause: io::Error| {
        Failure::refused(format!(
            "no password could be read from the terminal: {cause}; nothing was changed"
        ))
    };
    let _silent = Silent::begin().map_err(failed)?;
    let first = ask(&format!("New password for {name}: "))?;
    let second = ask("The same password again: ")?;
    if *first != *second {
        return Err(Failure::refused(
            "the two passwords differ; nothing was changed",
        ));
    }
    Ok(first.to_string())
}

fn ask(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    show(prompt);
    let line = read_line();
    show("\n");
    let refused = |why: &str| Failure::refused(format!("{why}; nothing was changed"));
    match line {
        Ok(Some(line)) if line.is_empty() => Err(refused("no password was typed")),
        Ok(Some(line)) => match std::str::from_utf8(&line) {
            Ok(text) => Ok(Zeroizing::new(text.to_owned())),
            Err(_) => Err(refused("the password that was typed is not UTF-8")),
        },
        Ok(None) => Err(refused("no password was typed")),
        Err(cause) => Err(refused(&format!("no password could be read: {cause}"))),
    }
}

/// Writes to standard error, or to the terminal itself if standard error goes elsewhere.
fn show(text: &str) {
    if io::stderr().is_terminal() {
        let _ = crate::streams::err(text);
    } else if let Ok(terminal) = io::stdin().as_fd().try_clone_to_owned() {
        let _ = std::fs::File::from(terminal).write_all(text.as_bytes());
    }
}

/// Reads a line without its end. Returns `None` if the user cancels or the input ends.
fn read_line() -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let mut line = Zeroizing::new(Vec::with_capacity(4096));
    let mut input = io::stdin().lock();
    loop {
        let chunk = input.fill_buf()?;
        let end = chunk.iter().position(|byte| [b'\n', CANCEL].contains(byte));
        let Some(end) = end else {
            let read = chunk.len();
            line.extend_from_slice(chunk);
            input.consume(read);
            if read == 0 {
                return Ok(None);
            }
            continue;
        };
        let cancelled = chunk[end] == CANCEL;
        line.extend_from_slice(&chunk[..end]);
        input.consume(end + 1);
        return Ok((!cancelled).then_some(line));
    }
}

/// Keeps the terminal's echo off until it is dropped.
struct Silent {
    before: Termios,
}

impl Silent {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        // Ctrl-C ends the line, not the process: a process that ends here would leave the shell without echo.
        silent.local_modes.remove(LocalModes::ISIG);
        silent.special_codes[SpecialCodeIndex::VEOL] = CANCEL;
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self { before })
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}
