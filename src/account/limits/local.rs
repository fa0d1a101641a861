//! What this node counts by itself, in memory.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock as GovernorClock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use moka::sync::Cache;

use super::{ACCOUNT, ADDRESS, LoginRates, Rate, TooMany};
use crate::time::Clock;

/// For how many accounts and networks it is remembered that they belong together. Forgetting one costs its
/// owner a place of their own in a flood, and nothing else.
const REMEMBERED: u64 = 100_000;

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

pub(super) struct Local {
    rates: LoginRates,
    addresses: Limiter<IpAddr>,
    accounts: Limiter<(String, Option<IpAddr>)>,
    known: Cache<(String, IpAddr), ()>,
    uptime: Uptime,
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local")
            .field("rates", &self.rates)
            .finish_non_exhaustive()
    }
}

/// None if it is no rate that can be kept.
pub(super) fn quota(rate: Rate) -> Option<Quota> {
    Quota::with_period(rate.period()).map(|quota| quota.allow_burst(rate.burst))
}

impl Local {
    pub(super) fn new(rates: LoginRates, clock: Arc<dyn Clock>) -> Option<Self> {
        let uptime = Uptime(clock);
        Some(Self {
            addresses: RateLimiter::new(
                quota(rates.address)?,
                DashMapStateStore::default(),
                uptime.clone(),
            ),
            accounts: RateLimiter::new(
                quota(rates.account)?,
                DashMapStateStore::default(),
                uptime.clone(),
            ),
            rates,
            known: Cache::new(REMEMBERED),
            uptime,
        })
    }

    pub(super) const fn rates(&self) -> LoginRates {
        self.rates
    }

    pub(super) fn count_address(&self, network: IpAddr) -> Result<(), TooMany> {
        self.check(&self.addresses, &network, ADDRESS, self.rates.address)
    }

    /// At the account, or at what it has for one network that its owner is known from.
    pub(super) fn count_account(
        &self,
        account: &str,
        known: Option<IpAddr>,
    ) -> Result<(), TooMany> {
        let key = (account.to_owned(), known);
        self.check(&self.accounts, &key, ACCOUNT, self.rates.account)
    }

    pub(super) fn knows(&self, account: &str, network: IpAddr) -> bool {
        self.known.contains_key(&(account.to_owned(), network))
    }

    pub(super) fn remember(&self, account: &str, network: IpAddr) {
        self.known.insert((account.to_owned(), network), ());
    }

    pub(super) fn tidy(&self) {
        self.addresses.retain_recent();
        self.accounts.retain_recent();
        self.addresses.shrink_to_fit();
        self.accounts.shrink_to_fit();
    }

    /// For how many addresses and accounts something is kept.
    #[cfg(test)]
    pub(super) fn kept(&self) -> (usize, usize) {
        (self.addresses.len(), self.accounts.len())
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
