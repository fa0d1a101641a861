//! Standard output and standard error, whose failures are seen.
//!
//! `println!` and `eprintln!` panic where a write fails, and the standard library takes a write to a closed stream for
//! a success. These functions write to the descriptor itself; `closed.c` has the other half of it.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};

use tracing_subscriber::fmt::MakeWriter;

/// Writes all of it to standard output.
pub fn out(text: &str) -> io::Result<()> {
    file(io::stdout().as_fd())?.write_all(text.as_bytes())
}

/// Writes all of it to standard output, and to the disk if that is a file: a disk may turn out to be full only then.
pub fn out_durably(text: &str) -> io::Result<()> {
    let mut file = file(io::stdout().as_fd())?;
    file.write_all(text.as_bytes())?;
    if file.metadata()?.is_file() {
        file.sync_data()?;
    }
    Ok(())
}

/// Writes all of it to standard error in one piece.
pub fn err(text: &str) -> io::Result<()> {
    file(io::stderr().as_fd())?.write_all(text.as_bytes())
}

/// Says a line on standard error. Nobody can be told when that fails.
pub fn note(text: &str) {
    let _ = err(&format!("waxseal: {text}\n"));
}

fn file(stream: BorrowedFd<'_>) -> io::Result<File> {
    stream.try_clone_to_owned().map(File::from)
}

/// The log's way to standard error. It never fails: a log that nobody reads stops nothing.
#[derive(Clone, Copy, Debug)]
pub struct Log;

impl Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        // One line is one call.
        let _ = io::stderr().write_all(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}
