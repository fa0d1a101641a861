//! Rate limits for clients: failed authentications per network (GCRA), and requests per client.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use moka::ops::compute::Op;
use moka::sync::Cache;

use super::limits::{Rate, network};
use crate::id::ClientId;
use crate::time::Clock;

/// The limit of failed authentications per network: a burst of 20, and 20 a minute.
const FAILURES: Rate = rate(20, 60);

/// How long a client stays known at a network after it authenticated there. A client in use authenticates every few
/// minutes, because its tokens are that short-lived.
const KNOWN_FOR: Duration = Duration::from_secs(24 * 3600);

/// The maximum number of entries in each cache of networks and clients: about 2 MB each. The entries seen least often
/// are evicted first.
const REMEMBERED: u64 = 10_000;

/// The number of clients from which idle ones are dropped.
const TIDY_FROM: usize = 256;

const fn rate(burst: u32, seconds: u64) -> Rate {
    Rate {
        burst: NonZeroU32::MIN.saturating_add(burst - 1),
        window: Duration::from_secs(seconds),
    }
}

/// The time until the next attempt is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryAfter(pub Duration);

impl RetryAfter {
    /// Returns whole seconds, at least one, as the `Retry-After` header has them (RFC 9110, section 10.2.3).
    #[must_use]
    pub fn seconds(self) -> u64 {
        let Self(time) = self;
        time.as_secs() + u64::from(time.subsec_nanos() > 0 || time.is_zero())
    }
}

/// The theoretical arrival time of the next attempt (GCRA). It is in the past if nothing was counted recently.
#[derive(Clone, Copy, Debug, Default)]
struct Arrival(Duration);

impl Arrival {
    fn check(self, rate: Rate, now: Duration) -> Result<(), RetryAfter> {
        let Self(next) = self;
        let ahead = next.saturating_sub(now);
        let allowed = rate.period() * (rate.burst.get() - 1);
        match ahead.checked_sub(allowed) {
            None | Some(Duration::ZERO) => Ok(()),
            Some(wait) => Err(RetryAfter(wait)),
        }
    }

    fn counted(self, rate: Rate, now: Duration) -> Self {
        let Self(next) = self;
        // Caps the count at the limit plus the wait for one attempt, even if many fail at the same time.
        let most = now + rate.period() * rate.burst.get();
        Self((next.max(now) + rate.period()).min(most))
    }

    fn is_over(self, now: Duration) -> bool {
        let Self(next) = self;
        next <= now
    }
}

/// Limits failed authentications by source network.
///
/// Only failures count, so clients behind one address do not use up each other's limit. A neighbour who guesses
/// credentials locks none of them out:
///
/// - A client that authenticated from a network within the last day is not limited there. Secrets have 256 random bits
///   and keys cannot be guessed, so a limit would protect nothing.
/// - Any other existing client has its own limit at each network. Client IDs have 74 random bits, so guessing does not
///   find one.
/// - Attempts that name no client known to exist share the network's limit.
#[derive(Debug)]
pub struct ClientLimits {
    clock: Arc<dyn Clock>,
    failures: Cache<(IpAddr, Option<ClientId>), Arrival>,
    existing: Cache<ClientId, ()>,
    known: Cache<(ClientId, IpAddr), Duration>,
}

impl ClientLimits {
    /// Creates limits with no failures. `clients` are the existing clients. A client that is added later is known to
    /// exist once it authenticates.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, clients: impl IntoIterator<Item = ClientId>) -> Self {
        let existing = Cache::new(REMEMBERED);
        for client in clients {
            existing.insert(client, ());
        }
        Self {
            clock,
            failures: Cache::new(REMEMBERED),
            existing,
            known: Cache::new(REMEMBERED),
        }
    }

    /// Checks whether an authentication may be tried, by the client that it names, if any, from `address`, if known.
    ///
    /// # Errors
    /// [`RetryAfter`]: too many attempts from that network failed.
    pub fn admit(
        &self,
        client: Option<ClientId>,
        address: Option<IpAddr>,
    ) -> Result<(), RetryAfter> {
        let Some(network) = address.map(network) else {
            return Ok(());
        };
        let now = self.clock.uptime();
        if self.knows(client, network, now) {
            return Ok(());
        }
        let arrival = self.failures.get(&self.counted(client, network));
        arrival.unwrap_or_default().check(FAILURES, now)
    }

    /// Counts a failed authentication.
    pub fn failed(&self, client: Option<ClientId>, address: Option<IpAddr>) {
        let Some(network) = address.map(network) else {
            return;
        };
        let now = self.clock.uptime();
        if self.knows(client, network, now) {
            return;
        }
        let failures = self.failures.entry(self.counted(client, network));
        failures.and_compute_with(|known| {
            let before = known.map(moka::Entry::into_value).unwrap_or_default();
            Op::Put(before.counted(FAILURES, now))
        });
    }

    /// Remembers that the client exists and that it authenticates from that network.
    pub fn succeeded(&self, client: ClientId, address: Option<IpAddr>) {
        self.existing.insert(client, ());
        if let Some(network) = address.map(network) {
            self.known.insert((client, network), self.clock.uptime());
        }
    }

    /// Returns the key under which an attempt is counted.
    fn counted(&self, client: Option<ClientId>, network: IpAddr) -> (IpAddr, Option<ClientId>) {
        let exists = |client: &ClientId| self.existing.contains_key(client);
        (network, client.filter(exists))
    }

    fn knows(&self, client: Option<ClientId>, network: IpAddr, now: Duration) -> bool {
        let seen = client.and_then(|client| self.known.get(&(client, network)));
        seen.is_some_and(|seen| now.saturating_sub(seen) < KNOWN_FOR)
    }
}

/// A limit on what one client may request.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    /// The maximum number at the same time.
    pub at_a_time: usize,
    /// The maximum rate, if there is one.
    pub rate: Option<Rate>,
}

impl Quota {
    /// Token requests. A client needs one every few minutes for each of its processes. A burst of 600 covers a large
    /// service that starts everywhere at once.
    pub const TOKENS: Self = Self {
        at_a_time: 64,
        rate: Some(rate(600, 60)),
    };
    /// Token revocations. A service may revoke the tokens of all its users here. Each revocation is a write to disk,
    /// which shares its sync with others.
    pub const REVOCATIONS: Self = Self {
        at_a_time: 64,
        rate: None,
    };
    /// Token introspections. A service that cannot verify tokens sends one per request. 500 a second are more than the
    /// requests that one such process answers.
    pub const INTROSPECTIONS: Self = Self {
        at_a_time: 64,
        rate: Some(rate(30_000, 60)),
    };
    /// Streams of the revocation feed. A verifier holds one, and the replicas of a service share its client. 16 covers
    /// eight replicas and their successors during a rollout. Without a stream a verifier still polls every second.
    pub const STREAMS: Self = Self {
        at_a_time: 16,
        rate: None,
    };
    /// Feed pages that are built and that the client has not read yet: as many as there may be concurrent requests.
    pub const PAGES: Self = Self {
        at_a_time: 512,
        rate: None,
    };
    /// Large feed pages, up to 1.5 MB each, among the unread ones. A client that reads none of them holds 24 MB.
    pub const LARGE_PAGES: Self = Self {
        at_a_time: 16,
        rate: None,
    };
}

#[derive(Debug, Default)]
struct Use {
    now: usize,
    arrival: Arrival,
}

/// Counts the requests of each client. Clients have authenticated, so there are at most as many entries as clients.
#[derive(Debug)]
pub struct Quotas {
    quota: Quota,
    clock: Arc<dyn Clock>,
    uses: Mutex<HashMap<ClientId, Use>>,
}

impl Quotas {
    /// Creates counters with this quota for each client.
    #[must_use]
    pub fn new(quota: Quota, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            quota,
            clock,
            uses: Mutex::default(),
        })
    }

    /// Starts a request of a client. It ends when the returned value is dropped.
    ///
    /// # Errors
    /// [`RetryAfter`]: the client has used up its quota.
    pub fn begin(self: &Arc<Self>, client: ClientId) -> Result<QuotaUse, RetryAfter> {
        let now = self.clock.uptime();
        let mut uses = self.uses();
        if uses.len() >= TIDY_FROM {
            uses.retain(|_, used| used.now > 0 || !used.arrival.is_over(now));
        }
        let used = uses.entry(client).or_default();
        if used.now >= self.quota.at_a_time {
            // The time at which a running request ends is unknown.
            return Err(RetryAfter(Duration::from_secs(1)));
        }
        if let Some(rate) = self.quota.rate {
            used.arrival.check(rate, now)?;
            used.arrival = used.arrival.counted(rate, now);
        }
        used.now += 1;
        drop(uses);
        Ok(QuotaUse {
            quotas: Arc::clone(self),
            client,
        })
    }

    /// Returns the maximum number of concurrent requests per client.
    #[must_use]
    pub const fn at_a_time(&self) -> usize {
        self.quota.at_a_time
    }

    fn uses(&self) -> MutexGuard<'_, HashMap<ClientId, Use>> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running request of a client.
#[derive(Debug)]
pub struct QuotaUse {
    quotas: Arc<Quotas>,
    client: ClientId,
}

impl Drop for QuotaUse {
    fn drop(&mut self) {
        if let Some(used) = self.quotas.uses().get_mut(&self.client) {
            used.now = used.now.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRandom;
    use crate::time::{ManualClock, Timestamp};

    const SECOND: Duration = Duration::from_secs(1);

    fn clock() -> Arc<ManualClock> {
        Arc::new(ManualClock::at(Timestamp::from_secs(1_800_000_000)))
    }

    fn client(seed: u64) -> ClientId {
        ClientId::new(Timestamp::EPOCH, &SeededRandom::new(seed))
    }

    fn at(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn a_client_that_exists_has_a_limit_of_its_own_where_it_is_new() {
        let limits = ClientLimits::new(clock() as _, [client(7)]);
        let home = at("198.51.100.1");
        for n in 100..200 {
            limits.failed(Some(client(n)), home);
        }
        assert!(limits.admit(Some(client(8)), home).is_err());
        assert_eq!(limits.admit(Some(client(7)), home), Ok(()));
        for _ in 0..20 {
            limits.failed(Some(client(7)), home);
        }
        assert!(limits.admit(Some(client(7)), home).is_err());
        assert_eq!(limits.admit(None, at("198.51.100.2")), Ok(()));
        // A client that was added later and authenticated at another network.
        limits.succeeded(client(9), at("198.51.100.2"));
        assert_eq!(limits.admit(Some(client(9)), home), Ok(()));
    }

    #[test]
    fn a_network_fails_so_often_and_then_after_exactly_as_long_as_was_said() {
        let clock = clock();
        let limits = ClientLimits::new(Arc::clone(&clock) as _, [client(7)]);
        for n in 100..120 {
            let from = at(&format!("2001:db8:1:2::{n:x}"));
            assert_eq!(limits.admit(Some(client(n)), from), Ok(()));
            limits.failed(Some(client(n)), from);
        }
        // Further failures of attempts that had begun before the limit was reached.
        for _ in 0..1000 {
            limits.failed(None, at("2001:db8:1:2::1"));
        }
        let (same, other) = (at("2001:db8:1:2:ffff::1"), at("2001:db8:1:3::1"));
        let wait = RetryAfter(3 * SECOND);
        assert_eq!(limits.admit(Some(client(99)), same), Err(wait));
        assert_eq!(limits.admit(None, same), Err(wait));
        assert_eq!(limits.admit(None, other), Ok(()));
        clock.advance(Duration::from_millis(2001));
        let wait = limits.admit(None, same).unwrap_err();
        assert_eq!((wait.0.as_millis(), wait.seconds()), (999, 1));
        clock.advance(Duration::from_millis(999));
        assert_eq!(limits.admit(None, same), Ok(()));
        limits.failed(None, same);
        assert!(limits.admit(None, same).is_err());
        // Without an address, callers cannot be told apart.
        assert_eq!(limits.admit(None, None), Ok(()));
    }

    #[test]
    fn a_client_that_is_known_there_is_not_shut_out_by_a_neighbour() {
        let clock = clock();
        let limits = ClientLimits::new(Arc::clone(&clock) as _, [client(7)]);
        let (home, good) = (at("198.51.100.1"), client(1));
        limits.succeeded(good, home);
        for _ in 0..100 {
            limits.failed(None, home);
            // The neighbour may know the client's ID.
            limits.failed(Some(good), home);
        }
        assert!(limits.admit(Some(client(2)), home).is_err());
        assert_eq!(limits.admit(Some(good), home), Ok(()));
        assert_eq!(limits.admit(Some(good), at("198.51.100.2")), Ok(()));
        for _ in 0..20 {
            limits.failed(Some(good), at("198.51.100.2"));
        }
        assert!(limits.admit(Some(good), at("198.51.100.2")).is_err());
        // Successful authentications are not counted.
        for _ in 0..100 {
            limits.succeeded(good, at("198.51.100.3"));
        }
        assert_eq!(limits.admit(None, at("198.51.100.3")), Ok(()));
        clock.advance(KNOWN_FOR);
        for _ in 0..20 {
            limits.failed(Some(good), home);
        }
        assert!(limits.admit(Some(good), home).is_err());
    }

    #[test]
    fn a_client_has_so_much_at_a_time_and_so_often() {
        let clock = clock();
        let quota = Quota {
            at_a_time: 2,
            rate: Some(rate(4, 8)),
        };
        let quotas = Quotas::new(quota, Arc::clone(&clock) as _);
        let (one, other) = (client(1), client(2));
        let held: Vec<_> = (0..2).map(|_| quotas.begin(one).unwrap()).collect();
        assert_eq!(quotas.begin(one).unwrap_err(), RetryAfter(SECOND));
        assert!(quotas.begin(other).is_ok());
        drop(held);
        for _ in 0..2 {
            assert!(quotas.begin(one).is_ok());
        }
        assert_eq!(quotas.begin(one).unwrap_err(), RetryAfter(2 * SECOND));
        assert!(quotas.begin(other).is_ok());
        clock.advance(2 * SECOND);
        assert!(quotas.begin(one).is_ok());
        assert!(quotas.begin(one).is_err());
    }

    #[test]
    fn ended_counters_are_dropped_and_active_ones_are_kept() {
        let clock = clock();
        let quotas = Quotas::new(Quota::STREAMS, Arc::clone(&clock) as _);
        let held = quotas.begin(client(0)).unwrap();
        for n in 1..5000 {
            drop(quotas.begin(client(n)).unwrap());
        }
        assert!(quotas.uses().len() <= TIDY_FROM);
        assert_eq!(quotas.uses()[&client(0)].now, 1);
        drop(held);
        assert_eq!(quotas.uses()[&client(0)].now, 0);
    }
}
