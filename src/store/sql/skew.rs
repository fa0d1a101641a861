//! How far this node's wall clock may be off the server's.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::time::{Clock, Timestamp};

/// A clock that is off by more than this is one by which nothing may be decided here: it would begin sessions in
/// the future, or end those that are good elsewhere.
#[derive(Clone, Debug)]
pub struct Skew {
    clock: Arc<dyn Clock>,
    tolerance: Duration,
    /// By how many milliseconds the clock was ahead when that was noted.
    ahead: Arc<AtomicI64>,
}

/// That nothing was noted yet.
const NEVER: i64 = i64::MIN;

/// This node's clock is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this node's clock is {millis} ms {direction} of the database's; set it right, both by NTP"
)]
pub struct ClockOff {
    millis: i64,
    direction: &'static str,
}

impl Skew {
    /// A clock that may be off by `tolerance`: the leeway, and one second at least.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, tolerance: Duration) -> Self {
        let tolerance = tolerance.max(Duration::from_secs(1));
        Self {
            clock,
            tolerance,
            ahead: Arc::new(AtomicI64::new(NEVER)),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Notes how far it is off, to within half of the time that the answer took.
    pub(super) fn note(&self, asked: Timestamp, server: Timestamp) {
        let took = self.now().millis().saturating_sub(asked.millis());
        let here = asked.millis().saturating_add(took / 2);
        let ahead = here.saturating_sub(server.millis());
        self.ahead.store(ahead, Ordering::Relaxed);
    }

    /// By how many milliseconds the clock was ahead of the server's when it was compared last.
    pub(super) fn ahead(&self) -> Option<i64> {
        let ahead = self.ahead.load(Ordering::Relaxed);
        (ahead != NEVER).then_some(ahead)
    }

    /// Compares the time at the server with the time before it was asked for and the time now: how long the
    /// answer took is not held against the clock.
    pub(super) fn check(&self, asked: Timestamp, server: Timestamp) -> Result<(), ClockOff> {
        let behind = server.millis().saturating_sub(self.now().millis());
        let ahead = asked.millis().saturating_sub(server.millis());
        let tolerance = i64::try_from(self.tolerance.as_millis()).unwrap_or(i64::MAX);
        let off = |millis, direction| Err(ClockOff { millis, direction });
        match () {
            () if ahead > tolerance => off(ahead, "ahead"),
            () if behind > tolerance => off(behind, "behind"),
            () => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::ManualClock;

    #[test]
    fn an_answer_that_took_long_is_not_held_against_the_clock() {
        let at = Timestamp::from_millis;
        let clock = Arc::new(ManualClock::at(at(100_000)));
        let skew = Skew::new(Arc::clone(&clock) as _, Duration::from_secs(5));
        assert_eq!(skew.check(at(100_000), at(105_000)), Ok(()));
        assert_eq!(skew.check(at(100_000), at(95_000)), Ok(()));
        let behind = skew.check(at(100_000), at(105_001)).unwrap_err();
        assert!(behind.to_string().contains("5001 ms behind"));
        let ahead = skew.check(at(100_000), at(94_999)).unwrap_err();
        assert!(ahead.to_string().contains("5001 ms ahead"));
        clock.advance(Duration::from_secs(3));
        assert_eq!(skew.check(at(100_000), at(108_000)), Ok(()));
        assert_eq!(skew.ahead(), None);
        skew.note(at(100_000), at(100_500));
        assert_eq!(skew.ahead(), Some(1000), "it took 3 s");
    }
}
