//! Standard output and standard error, with errors of writing reported.
//!
//! `println!` and `eprintln!` panic when a write fails, and the standard library treats a write to a closed stream as a
//! success. These functions write to the descriptor itself. `closed.c` does the other half.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};

use tracing_subscriber::fmt::MakeWriter;

/// Writes the whole text to standard output.
pub fn out(text: &str) -> io::Result<()> {
    file(io::stdout().as_fd())?.write_all(text.as_bytes())
}

/// Writes the whole text to standard output, and syncs it to disk if that is a file: only then a full disk may show.
pub fn out_durably(text: &str) -> io::Result<()> {
    let mut file = file(io::stdout().as_fd())?;
    file.write_all(text.as_bytes())?;
    if file.metadata()?.is_file() {
        file.sync_data()?;
    }
    Ok(())
}

/// Writes the whole text to standard error in one piece.
pub fn err(text: &str) -> io::Result<()> {
    file(io::stderr().as_fd())?.write_all(text.as_bytes())
}

/// Writes a line to standard error. It ignores a failure, which it could report nowhere.
pub fn note(text: &str) {
    let _ = err(&format!("waxseal: {text}\n"));
}

fn file(stream: BorrowedFd<'_>) -> io::Result<File> {
    stream.try_clone_to_owned().map(File::from)
}

/// The log's writer to standard error. It never fails: the service continues when nobody reads its log.
#[derive(Clone, Copy, Debug)]
pub struct Log;

impl Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        // Each call has one line.
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
