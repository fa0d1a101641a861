//! How old the list may be: proven in round trips to the log, never guessed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Until when the revocation list can be believed, by a clock that counts suspension.
#[derive(Debug)]
pub struct Freshness {
    bound: Duration,
    // Milliseconds of uptime; 0 is "never proven".
    until: AtomicU64,
}

impl Freshness {
    /// A list that was never read, and may be at most `bound` old.
    #[must_use]
    pub const fn new(bound: Duration) -> Self {
        Self {
            bound,
            until: AtomicU64::new(0),
        }
    }

    /// Everything up to the log's head is applied, and the head was asked for at `asked`.
    pub fn prove(&self, asked: Duration) {
        self.until
            .fetch_max(millis(asked + self.bound), Ordering::SeqCst);
    }

    /// Nothing is believed any more until it is proven again.
    pub fn end(&self) {
        self.until.store(0, Ordering::SeqCst);
    }

    /// How old the list may be.
    #[must_use]
    pub const fn bound(&self) -> Duration {
        self.bound
    }

    /// How old the list may be at `uptime`: the time since the head was asked for. None if it was never proven.
    #[must_use]
    pub fn age(&self, uptime: Duration) -> Option<Duration> {
        let until = self.until.load(Ordering::SeqCst);
        let proven = Duration::from_millis(until).checked_sub(self.bound)?;
        (until > 0).then(|| uptime.saturating_sub(proven))
    }

    /// Whether the list can be believed at `uptime`.
    // A test overwrites the function in the program that was built, to see that its absence is noticed.
    #[cfg_attr(debug_assertions, inline(never))]
    #[must_use]
    pub fn holds(&self, uptime: Duration) -> bool {
        millis(uptime) < self.until.load(Ordering::SeqCst)
    }

    /// For how long after `uptime` it can be believed if nothing is proven meanwhile.
    #[must_use]
    pub fn left(&self, uptime: Duration) -> Duration {
        let until = Duration::from_millis(self.until.load(Ordering::SeqCst));
        until.saturating_sub(uptime)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
