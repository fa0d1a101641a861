//! The rates of login limits, and a limit that was reached.

use std::num::NonZeroU32;
use std::time::Duration;

/// The policy that limits what comes from one address.
pub(super) const ADDRESS: &str = "address";
/// The policy that limits what is tried at one account.
pub(super) const ACCOUNT: &str = "account";

/// A rate: so many at once, and as many again over a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many at once.
    pub burst: NonZeroU32,
    /// Over which time as many again.
    pub window: Duration,
}

impl Rate {
    /// `burst` at once, and as many again over `window`. None if it is no rate that can be kept.
    #[must_use]
    pub fn new(burst: u32, window: Duration) -> Option<Self> {
        let burst = NonZeroU32::new(burst)?;
        let rate = Self { burst, window };
        rate.can_be_kept().then_some(rate)
    }

    pub(super) fn can_be_kept(self) -> bool {
        !self.period().is_zero()
    }

    /// After which time one more is let through.
    #[must_use]
    pub fn period(self) -> Duration {
        self.window / self.burst.get()
    }
}

/// The rates of logins that fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginRates {
    /// From one address; of IPv6, from one /64.
    pub address: Rate,
    /// At one account: from each network that its owner is known from, and from all others together. The latter are
    /// slowed further by consecutive failures: see [`Slowdown`].
    pub account: Rate,
}

/// 20 a minute from an address, 10 a minute at an account.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany {
    /// `address` or `account`.
    pub policy: &'static str,
    /// The limit.
    pub rate: Rate,
    /// When the next one is let through.
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

    /// An account that consecutive failures have slowed: one attempt each `wait`, of which `left` is left.
    #[must_use]
    pub const fn slowed(wait: Duration, left: Duration) -> Self {
        let rate = Rate {
            burst: NonZeroU32::MIN,
            window: wait,
        };
        Self::of(ACCOUNT, rate, left)
    }
}
