//! How many logins are tried: at one account, and from one address (GCRA).

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock as GovernorClock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use moka::sync::Cache;

use crate::meters::{Counters, Login};
use crate::time::Clock;

/// For how many accounts and networks it is remembered that they belong together. Forgetting one costs its
/// owner a place of their own in a flood, and nothing else.
const REMEMBERED: u64 = 100_000;

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
        rate.quota().map(|_| rate)
    }

    fn quota(self) -> Option<Quota> {
        Quota::with_period(self.window / self.burst.get())
            .map(|quota| quota.allow_burst(self.burst))
    }
}

/// The rates of logins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginRates {
    /// From one address; of IPv6, from one /64.
    pub address: Rate,
    /// At one account.
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

/// The time that the limits go by: it counts suspension, and no step of the wall clock opens them.
#[derive(Clone, Debug)]
struct Uptime(Arc<dyn Clock>);

impl GovernorClock for Uptime {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.uptime()
    }
}

type Limiter<K> = RateLimiter<K, DashMapStateStore<K>, Uptime, NoOpMiddleware<Duration>>;

/// Counts logins. Nobody is locked out by them, only slowed: an account whose limit a stranger uses up
/// still has one of its own for each network that its owner has logged in from before.
pub struct LoginLimits {
    rates: LoginRates,
    addresses: Limiter<IpAddr>,
    accounts: Limiter<(String, Option<IpAddr>)>,
    known: Cache<(String, IpAddr), ()>,
    uptime: Uptime,
    logins: Counters<Login>,
}

impl fmt::Debug for LoginLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginLimits")
            .field("rates", &self.rates)
            .finish_non_exhaustive()
    }
}

impl LoginLimits {
    /// Limits of these rates. None if one of them cannot be kept.
    #[must_use]
    pub fn new(rates: LoginRates, clock: Arc<dyn Clock>) -> Option<Self> {
        let uptime = Uptime(clock);
        Some(Self {
            addresses: RateLimiter::new(
                rates.address.quota()?,
                DashMapStateStore::default(),
                uptime.clone(),
            ),
            accounts: RateLimiter::new(
                rates.account.quota()?,
                DashMapStateStore::default(),
                uptime.clone(),
            ),
            rates,
            known: Cache::new(REMEMBERED),
            uptime,
            logins: Counters::default(),
        })
    }

    /// As [`admit`](Self::admit), for a login.
    ///
    /// # Errors
    /// [`TooMany`]: it must not be tried now.
    pub fn admit_login(&self, account: &str, address: Option<IpAddr>) -> Result<(), TooMany> {
        self.admit(account, address)
            .inspect_err(|_| self.logins.count(Login::Limited))
    }

    /// Counts an attempt at `account`, whether or not there is one of that name. The address comes first:
    /// one that has used up its own limit cannot use up an account's.
    ///
    /// # Errors
    /// [`TooMany`]: it must not be tried now.
    pub fn admit(&self, account: &str, address: Option<IpAddr>) -> Result<(), TooMany> {
        let network = address.map(network);
        if let Some(network) = network {
            self.check(&self.addresses, &network, "address", self.rates.address)?;
        }
        let account = account.to_owned();
        let known = network.filter(|network| self.known.contains_key(&(account.clone(), *network)));
        let key = (account, known);
        self.check(&self.accounts, &key, "account", self.rates.account)
    }

    /// Remembers that the owner of `account` is to be found at that address.
    pub fn succeeded(&self, account: &str, address: Option<IpAddr>) {
        if let Some(address) = address {
            self.known
                .insert((account.to_owned(), network(address)), ());
        }
    }

    /// Forgets those who have not been counted for as long as it takes to be let through again. Call it now
    /// and then: nothing else keeps the memory small.
    pub fn tidy(&self) {
        self.addresses.retain_recent();
        self.accounts.retain_recent();
        self.addresses.shrink_to_fit();
        self.accounts.shrink_to_fit();
    }

    fn check<K: std::hash::Hash + Eq + Clone>(
        &self,
        limiter: &Limiter<K>,
        key: &K,
        policy: &'static str,
        rate: Rate,
    ) -> Result<(), TooMany> {
        limiter.check_key(key).map_err(|not_until| {
            let now = self.uptime.now();
            TooMany {
                policy,
                rate,
                retry_after: not_until.earliest_possible().duration_since(now).into(),
            }
        })
    }
}

/// What one subscriber has: an IPv4 address, the /64 of an IPv6 address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let prefix = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(prefix))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{ManualClock, Timestamp};

    const ALICE: &str = "alice";

    fn limits() -> (LoginLimits, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(Timestamp::from_secs(1_800_000_000)));
        let limits = LoginLimits::new(LoginRates::default(), Arc::clone(&clock) as _).unwrap();
        (limits, clock)
    }

    fn at(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn an_address_is_limited_whichever_accounts_it_tries() {
        let (limits, clock) = limits();
        for n in 0..20 {
            assert_eq!(limits.admit(&n.to_string(), at("203.0.113.7")), Ok(()));
        }
        let refused = limits.admit("another", at("203.0.113.7")).unwrap_err();
        assert_eq!(refused.policy, "address");
        assert_eq!(refused.retry_after, Duration::from_secs(3));
        assert_eq!(limits.admit("another", at("203.0.113.8")), Ok(()));
        clock.advance(Duration::from_millis(2999));
        assert!(limits.admit("another", at("203.0.113.7")).is_err());
        clock.advance(Duration::from_millis(1));
        assert_eq!(limits.admit("another", at("203.0.113.7")), Ok(()));
        assert!(limits.admit("another", at("203.0.113.7")).is_err());
    }

    #[test]
    fn of_ipv6_a_subscriber_has_a_whole_64() {
        let (limits, _) = limits();
        for n in 0..20 {
            let address = at(&format!("2001:db8:1:2::{n:x}"));
            assert_eq!(limits.admit(&n.to_string(), address), Ok(()));
        }
        assert!(limits.admit("x", at("2001:db8:1:2:ffff::1")).is_err());
        assert_eq!(limits.admit("x", at("2001:db8:1:3::1")), Ok(()));
        // One and the same address, written in two ways.
        for n in 0..20 {
            assert_eq!(
                limits.admit(&format!("y{n}"), at("::ffff:192.0.2.1")),
                Ok(())
            );
        }
        assert!(limits.admit("y", at("192.0.2.1")).is_err());
    }

    #[test]
    fn a_stranger_slows_an_account_and_does_not_lock_its_owner_out() {
        let (limits, clock) = limits();
        let home = at("198.51.100.1");
        assert_eq!(limits.admit(ALICE, home), Ok(()));
        limits.succeeded(ALICE, home);
        for n in 1..10 {
            assert_eq!(limits.admit(ALICE, at(&format!("203.0.113.{n}"))), Ok(()));
        }
        let flood = limits.admit(ALICE, at("203.0.113.99")).unwrap_err();
        assert_eq!(
            (flood.policy, flood.retry_after),
            ("account", Duration::from_secs(6))
        );
        // Whoever is known there has a limit of their own, and the flood goes on.
        for _ in 0..10 {
            assert_eq!(limits.admit(ALICE, home), Ok(()));
        }
        assert!(limits.admit(ALICE, home).is_err());
        assert!(limits.admit(ALICE, None).is_err());
        // And whoever is not waits seconds, not for ever.
        clock.advance(Duration::from_secs(6));
        assert_eq!(limits.admit(ALICE, at("192.0.2.77")), Ok(()));
    }

    #[test]
    fn what_is_over_is_forgotten_and_what_is_not_is_kept() {
        let (limits, clock) = limits();
        for n in 0..1000 {
            let address = IpAddr::from([203, 0, (n / 250) as u8, (n % 250) as u8]);
            limits.admit(&n.to_string(), Some(address)).unwrap();
        }
        for _ in 0..10 {
            limits.admit(ALICE, None).unwrap();
        }
        clock.advance(Duration::from_secs(30));
        limits.tidy();
        assert_eq!((limits.addresses.len(), limits.accounts.len()), (0, 1));
        for _ in 0..5 {
            assert_eq!(limits.admit(ALICE, None), Ok(()));
        }
        assert!(limits.admit(ALICE, None).is_err());
    }

    #[test]
    fn a_rate_that_cannot_be_kept_is_none() {
        assert!(Rate::new(0, Duration::from_secs(1)).is_none());
        assert!(Rate::new(1, Duration::ZERO).is_none());
        assert!(Rate::new(u32::MAX, Duration::from_nanos(1)).is_none());
        assert!(Rate::new(1_000_000, Duration::from_secs(1)).is_some());
    }
}
