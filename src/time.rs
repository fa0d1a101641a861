//! The only source of time. All other code takes a [`Clock`] as an argument.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Datelike, NaiveDate, SecondsFormat, Timelike};
use serde::{Serialize, Serializer};

/// A wall-clock instant in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// The form that [`Timestamp::parse_second`] accepts, without the zone.
const FORM: &[u8] = b"0000-00-00T00:00:00";

impl Timestamp {
    /// An instant that never comes, for things that never expire.
    pub const NEVER: Self = Self(i64::MAX);
    /// An instant before every time that a token can name.
    pub const EPOCH: Self = Self(0);

    /// Creates a timestamp from milliseconds since the epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Creates a timestamp from whole seconds since the epoch (RFC 7519 NumericDate), saturating.
    #[must_use]
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Returns the milliseconds since the epoch.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Returns the whole seconds since the epoch, rounded down.
    #[must_use]
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Returns the instant rounded down to a whole second, as a NumericDate can carry it.
    #[doc(hidden)]
    #[must_use]
    pub const fn whole_second(self) -> Self {
        Self::from_secs(self.secs())
    }

    /// Parses `YYYY-MM-DDThh:mm:ss` followed by `Z` or `+00:00`: RFC 3339 in UTC, in whole seconds, in its strict form
    /// only.
    pub(crate) fn parse_second(text: &str) -> Option<Self> {
        let (local, zone) = text.as_bytes().split_at_checked(FORM.len())?;
        let fits = local.iter().zip(FORM).all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            _ => byte == form,
        });
        if !fits || !matches!(zone, b"Z" | b"+00:00") {
            return None;
        }
        let number = |at: Range<usize>| {
            let digits = local[at].iter().map(|digit| u32::from(digit - b'0'));
            digits.fold(0, |number, digit| number * 10 + digit)
        };
        let year = number(0..4).cast_signed();
        let time = NaiveDate::from_ymd_opt(year, number(5..7), number(8..10))?.and_hms_opt(
            number(11..13),
            number(14..16),
            number(17..19),
        )?;
        Some(Self::from_secs(time.and_utc().timestamp()))
    }

    /// Parses RFC 3339 with any offset, to the millisecond.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        DateTime::parse_from_rfc3339(text)
            .ok()
            .map(|time| Self(time.timestamp_millis()))
    }

    /// Returns the instant `by` later, saturating at [`Timestamp::NEVER`].
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// Returns the instant `by` earlier, saturating.
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)),
        )
    }
}

impl Timestamp {
    /// Formats the timestamp, into `place` if it fits.
    pub(crate) fn written(self, place: &mut [u8; 24]) -> Cow<'_, str> {
        if let Some(text) = self.usual(place) {
            return Cow::Borrowed(text);
        }
        let format = if self.0 % 1000 == 0 {
            SecondsFormat::Secs
        } else {
            SecondsFormat::Millis
        };
        match DateTime::from_timestamp_millis(self.0) {
            Some(time) => Cow::Owned(time.to_rfc3339_opts(format, true)),
            None => Cow::Borrowed("never"),
        }
    }

    /// Formats as `YYYY-MM-DDThh:mm:ss`, with milliseconds if there are any, and `Z`. `None` if the year does not have
    /// four digits.
    ///
    /// Perf: a response has about six timestamps, and chrono's formatting costs more than the rest of it.
    fn usual(self, text: &mut [u8; 24]) -> Option<&str> {
        let time = DateTime::from_timestamp_millis(self.0)?.naive_utc();
        let year = u32::try_from(time.year())
            .ok()
            .filter(|year| *year <= 9999)?;
        let millis = time.and_utc().timestamp_subsec_millis();
        *text = *b"0000-00-00T00:00:00.000Z";
        for (at, number) in [
            (0..4, year),
            (5..7, time.month()),
            (8..10, time.day()),
            (11..13, time.hour()),
            (14..16, time.minute()),
            (17..19, time.second()),
            (20..23, millis),
        ] {
            let mut left = number;
            for digit in text[at].iter_mut().rev() {
                *digit = b'0' + (left % 10) as u8;
                left /= 10;
            }
        }
        let length = match millis {
            0 => {
                text[19] = b'Z';
                20
            }
            _ => 24,
        };
        str::from_utf8(&text[..length]).ok()
    }
}

/// Formats as RFC 3339 in UTC, with milliseconds if there are any. [`Timestamp::NEVER`] is `never`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written(&mut [0; 24]))
    }
}

/// Serializes as RFC 3339 text.
impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.written(&mut [0; 24]))
    }
}

/// Measures durations for metrics only. Nothing else depends on its time.
#[cfg(feature = "server")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(std::time::Instant);

#[cfg(feature = "server")]
impl Stopwatch {
    /// Starts the stopwatch.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "a stopwatch, not a clock, and cheaper than one"
    )]
    pub(crate) fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// Returns the seconds since the start.
    pub(crate) fn seconds(self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

/// A source of time.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Returns the wall-clock time, which may step in either direction.
    fn now(&self) -> Timestamp;
    /// Returns the time since an arbitrary start. It never steps, and it includes the time for which the machine is
    /// suspended.
    fn uptime(&self) -> Duration;
}

/// The operating system's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the wall clock"
    )]
    fn now(&self) -> Timestamp {
        let (now, epoch) = (SystemTime::now(), SystemTime::UNIX_EPOCH);
        let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        Timestamp(match now.duration_since(epoch) {
            Ok(since) => millis(since),
            Err(before) => -millis(before.duration()),
        })
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the monotonic clock"
    )]
    fn uptime(&self) -> Duration {
        #[cfg(target_os = "linux")]
        let clock = rustix::time::ClockId::Boottime;
        #[cfg(not(target_os = "linux"))]
        let clock = rustix::time::ClockId::Monotonic;
        Duration::try_from(rustix::time::clock_gettime(clock)).unwrap_or_default()
    }
}

/// A clock for tests that advances only when told to. The wall clock and the uptime advance together unless the wall
/// clock is stepped.
#[derive(Debug)]
pub struct ManualClock {
    wall: AtomicI64,
    uptime: AtomicU64,
}

impl ManualClock {
    /// Creates a clock that stands at `now`.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self {
            wall: AtomicI64::new(now.0),
            uptime: AtomicU64::new(1_000_000),
        }
    }

    /// Advances the wall clock and the uptime.
    pub fn advance(&self, by: Duration) {
        let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.uptime.fetch_add(millis, Ordering::SeqCst);
        self.wall
            .fetch_add(i64::try_from(millis).unwrap_or(i64::MAX), Ordering::SeqCst);
    }

    /// Steps only the wall clock, as an operator or NTP may.
    pub fn step_to(&self, now: Timestamp) {
        self.wall.store(now.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.wall.load(Ordering::SeqCst))
    }

    fn uptime(&self) -> Duration {
        Duration::from_millis(self.uptime.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_time_is_written_as_chrono_writes_it(
            secs in prop_oneof![-62_167_219_200_i64..=253_402_300_799, -9_000_000_000_000_i64..9_000_000_000_000],
            millis in prop_oneof![Just(0_i64), 0..1000_i64],
        ) {
            let millis = secs * 1000 + millis;
            let time = DateTime::from_timestamp_millis(millis);
            let written = Timestamp::from_millis(millis).to_string();
            let format = if millis % 1000 == 0 { SecondsFormat::Secs } else { SecondsFormat::Millis };
            let expected = time.map_or("never".to_owned(), |time| time.to_rfc3339_opts(format, true));
            prop_assert_eq!(written, expected);
        }
    }
}
