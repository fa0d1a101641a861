//! Deduplication of log lines that requests cause. A repeated line is written once and then counted. So a stranger who
//! sends requests as fast as possible causes only a few lines, and the operator still reads what happened and how
//! often.

mod episodes;

use std::fmt::{self, Write};
use std::hash::{DefaultHasher, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata};
use tracing_subscriber::layer::{Context, Filter};
use waxseal::http::current::CurrentRequest;
use waxseal::time::{Clock, SystemClock};

use episodes::{Episodes, Told};

/// How many bytes of a line are kept, to write it again with its count.
const KEPT_BYTES: usize = 300;

/// How often the counts that are due are written.
const LOOK: Duration = Duration::from_secs(1);

/// A line that is written again with its count.
#[derive(Clone, Debug)]
struct RepeatedLine {
    level: Level,
    text: String,
}

/// Counts repeated lines. Clones share their counts.
#[derive(Clone, Debug, Default)]
pub struct Repeats(Arc<Mutex<Episodes<Identifier, RepeatedLine>>>);

impl Repeats {
    /// Writes the counts when they are due, for as long as it is polled.
    pub async fn tell(self) {
        loop {
            tokio::time::sleep(LOOK).await;
            let due = self.with(|episodes| episodes.due(SystemClock.uptime()));
            due.into_iter().for_each(write);
        }
    }

    /// Writes all remaining counts, because the program ends.
    pub fn tell_all(&self) {
        let all = self.with(|episodes| episodes.all(SystemClock.uptime()));
        all.into_iter().for_each(write);
    }

    fn with<T>(&self, task: impl FnOnce(&mut Episodes<Identifier, RepeatedLine>) -> T) -> T {
        let Self(episodes) = self;
        task(&mut episodes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<S> Filter<S> for Repeats {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    /// Whether to write the line. A line outside of a request always passes: it comes from the service's own tasks,
    /// which a stranger cannot cause at will.
    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        if CurrentRequest::get().is_none() {
            return true;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let detail = fields.hash.finish();
        let line = || RepeatedLine {
            level: *metadata.level(),
            text: fields.text(),
        };
        let now = SystemClock.uptime();
        self.with(|episodes| episodes.begins(metadata.callsite(), detail, now, line))
    }
}

/// Writes a count at the level of the first line, so that an operator who reads only errors reads it too.
fn write(told: Told<RepeatedLine>) {
    let RepeatedLine { level, text } = told.what;
    let (more, seconds) = (told.more, told.within.as_secs().max(1));
    let times = if more == 1 { "time" } else { "times" };
    let state = if told.over { "ended" } else { "continuing" };
    let end = format_args!("{more} more {times} in {seconds} s, {state}");
    match level {
        Level::ERROR => tracing::error!("{text} ({end})"),
        Level::WARN => tracing::warn!("{text} ({end})"),
        _ => tracing::info!("{text} ({end})"),
    }
}

/// The message of an event, its other fields, and a hash of both.
#[derive(Default)]
struct Fields {
    message: String,
    others: String,
    hash: DefaultHasher,
}

impl Fields {
    fn text(self) -> String {
        self.message + &self.others
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let Self {
            message,
            others,
            hash,
        } = self;
        let (text, name) = match field.name() {
            "message" => (message, None),
            name => (others, Some(name)),
        };
        let mut text = Kept { text, hash };
        // `Kept` never fails.
        let _ = match name {
            None => write!(text, "{value:?}"),
            Some(name) => write!(text, " {name}={value:?}"),
        };
    }
}

/// A writer that hashes everything and keeps only the beginning.
struct Kept<'a> {
    text: &'a mut String,
    hash: &'a mut DefaultHasher,
}

impl Write for Kept<'_> {
    fn write_str(&mut self, written: &str) -> fmt::Result {
        self.hash.write(written.as_bytes());
        let room = KEPT_BYTES.saturating_sub(self.text.len());
        let end = written.floor_char_boundary(room);
        self.text.push_str(&written[..end]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_line_is_truncated_and_its_hash_covers_all_of_it() {
        let mut hashes = Vec::new();
        for end in ["1", "2"] {
            let (mut text, mut hash) = (String::new(), DefaultHasher::new());
            let mut kept = Kept {
                text: &mut text,
                hash: &mut hash,
            };
            for written in ["ä".repeat(100_000).as_str(), end] {
                kept.write_str(written).unwrap();
            }
            assert_eq!(text.len(), KEPT_BYTES);
            hashes.push(hash.finish());
        }
        assert_ne!(hashes[0], hashes[1]);
    }
}
