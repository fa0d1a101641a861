//! The log lines of one test.

use std::fs::{self, File};
use std::sync::Arc;

use tempfile::NamedTempFile;
use tracing::subscriber::{DefaultGuard, NoSubscriber};
use tracing::{Dispatch, Level};

/// What this thread logs. A test that runs on one thread alone hears everything of its own.
pub struct Heard {
    file: NamedTempFile,
    _second: Dispatch,
    _guard: DefaultGuard,
}

impl Heard {
    /// Listens until it is dropped.
    ///
    /// With one dispatcher in the process, tracing asks only the dispatcher of the thread that meets a log statement
    /// first, and remembers its answer for all threads: a test without a dispatcher would silence the statement for this
    /// one. With a second dispatcher tracing asks both.
    pub fn from(level: Level) -> Self {
        let second = Dispatch::new(NoSubscriber::default());
        let file = NamedTempFile::new().unwrap();
        let writer: Arc<File> = Arc::new(file.reopen().unwrap());
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(level)
            .with_writer(writer)
            .finish();
        Self {
            file,
            _second: second,
            _guard: tracing::subscriber::set_default(subscriber),
        }
    }

    pub fn text(&self) -> String {
        fs::read_to_string(self.file.path()).unwrap()
    }
}
