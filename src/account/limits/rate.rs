//! Rates of login limits, and the error of an exceeded limit.

use std::num::NonZeroU32;
use std::time::Duration;

/// The policy that limits attempts per address.
pub(super) const ADDRESS: &str = "address";
/// The policy that limits attempts per account.
pub(super) const ACCOUNT: &str = "account";

/// A rate: a burst, and as many attempts again per window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The number of attempts allowed at once.
    pub burst: NonZeroU32,
    /// The time in which as many attempts are allowed again.
    pub window: Duration,
}

impl Rate {
    /// Returns the rate of `burst` attempts at once and as many again per `window`. `None` if the burst is 0 or the
    /// rate is too high to be counted.
    #[must_use]
    pub fn new(burst: u32, window: Duration) -> Option<Self> {
        let burst = NonZeroU32::new(burst)?;
        let rate = Self { burst, window };
        rate.can_be_kept().then_some(rate)
    }

    pub(super) fn can_be_kept(self) -> bool {
        !self.period().is_zero()
    }

    /// Returns the time after which one more attempt is allowed.
    #[must_use]
    pub fn period(self) -> Duration {
        self.window / self.burst.get()
    }
}

/// The rates of failed logins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginRates {
    /// The rate per address, or per /64 for IPv6.
    pub address: Rate,
    /// The rate per account: for each known network of the owner separately, and for all other networks together.
    /// Consecutive failures slow the latter further: see [`Slowdown`](super::Slowdown).
    pub account: Rate,
}

/// 20 a minute per address, 10 a minute per account.
impl Default for LoginRates {
    fn default() -> Self {
        let window = Duration::from_secs(60);
        let rate = |burst: u32| Rate {
            burst: NonZeroU32::MIN.saturating_add(burst - 1),
            window,
        };
        Self {
            address: rate(20),
            account: rate(10),
        }
    }
}

/// A limit that was reached.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany {
    /// `address` or `account`.
    pub policy: &'static str,
    /// The limit.
    pub rate: Rate,
    /// The time until the next attempt is allowed.
    pub retry_after: Duration,
}

impl TooMany {
    pub(super) const fn of(policy: &'static str, rate: Rate, retry_after: Duration) -> Self {
        Self {
            policy,
            rate,
            retry_after,
        }
    }

    /// Returns the limit of an account that consecutive failures have slowed: one attempt per `wait`, with `left` still
    /// to go.
    #[must_use]
    pub const fn slowed(wait: Duration, left: Duration) -> Self {
        let rate = Rate {
            burst: NonZeroU32::MIN,
            window: wait,
        };
        Self::of(ACCOUNT, rate, left)
    }
}
