//! The tolerated difference between this node's wall clock and the server's.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::time::{Clock, Timestamp};

/// A node's wall clock, compared with the server's. A clock that is off by more than the tolerance must not decide
/// anything: it would begin sessions in the future, or end sessions that are valid elsewhere.
#[derive(Clone, Debug)]
pub struct Skew {
    clock: Arc<dyn Clock>,
    tolerance: Duration,
    /// The milliseconds by which the clock was ahead at the last comparison.
    ahead: Arc<AtomicI64>,
}

/// The initial value: there was no comparison yet.
const NEVER: i64 = i64::MIN;

/// This node's clock differs from the server's by more than the tolerance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this node's clock is {millis} ms {direction} of the database's; set it right, both by NTP"
)]
pub struct ClockOff {
    millis: i64,
    direction: &'static str,
}

impl Skew {
    /// Creates a check with a tolerance of `tolerance`, which is the leeway, or of one second if that is longer.
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

    /// Records the clock's offset, with an error of at most half of the round-trip time.
    pub(super) fn note(&self, asked: Timestamp, server: Timestamp) {
        let took = self.now().millis().saturating_sub(asked.millis());
        let here = asked.millis().saturating_add(took / 2);
        let ahead = here.saturating_sub(server.millis());
        self.ahead.store(ahead, Ordering::Relaxed);
    }

    /// Returns the milliseconds by which the clock was ahead of the server's at the last comparison.
    pub(super) fn ahead(&self) -> Option<i64> {
        let ahead = self.ahead.load(Ordering::Relaxed);
        (ahead != NEVER).then_some(ahead)
    }

    /// Checks that the server's time lies between the time before the question and the time now, within the tolerance.
    /// The round-trip time does not count against the clock.
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
