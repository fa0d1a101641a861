//! The age of the revocation list: proven in round trips to the log, never guessed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The time until which the revocation list is fresh, by a clock that counts suspension.
#[derive(Debug)]
pub struct Freshness {
    bound: Duration,
    // Milliseconds of uptime; 0 means "never proven".
    until: AtomicU64,
}

impl Freshness {
    /// The freshness of a list that was never read and may be at most `bound` old.
    #[must_use]
    pub const fn new(bound: Duration) -> Self {
        Self {
            bound,
            until: AtomicU64::new(0),
        }
    }

    /// Proves the list fresh: everything up to the log's head is applied, and the head was asked for at `asked`.
    pub(crate) fn prove(&self, asked: Duration) {
        self.until
            .fetch_max(millis(asked + self.bound), Ordering::SeqCst);
    }

    /// Makes the list stale until the next proof.
    pub(crate) fn end(&self) {
        self.until.store(0, Ordering::SeqCst);
    }

    /// The maximum age of a list that is still fresh.
    #[must_use]
    pub const fn bound(&self) -> Duration {
        self.bound
    }

    /// The age of the list at `uptime`, counted from when the head was asked for. None if it was never proven fresh.
    #[must_use]
    pub fn age(&self, uptime: Duration) -> Option<Duration> {
        let until = self.until.load(Ordering::SeqCst);
        let proven = Duration::from_millis(until).checked_sub(self.bound)?;
        (until > 0).then(|| uptime.saturating_sub(proven))
    }

    /// Whether the list is fresh at `uptime`.
    // A test overwrites this function in the built program, to check that its absence is noticed.
    #[cfg_attr(debug_assertions, inline(never))]
    #[must_use]
    pub fn holds(&self, uptime: Duration) -> bool {
        millis(uptime) < self.until.load(Ordering::SeqCst)
    }

    /// The time after `uptime` for which the list stays fresh without another proof.
    #[must_use]
    pub fn left(&self, uptime: Duration) -> Duration {
        let until = Duration::from_millis(self.until.load(Ordering::SeqCst));
        until.saturating_sub(uptime)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
