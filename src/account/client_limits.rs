//! How many failed authentications of clients come from one network (GCRA), and how much one client asks for.

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

/// Failures that one network may cause: 20 at once, and 20 a minute.
const FAILURES: Rate = rate(20, 60);

/// How long a client is known at a network after it authenticated there. A client that is in use authenticates every
/// few minutes, because its tokens are that short.
const KNOWN_FOR: Duration = Duration::from_secs(24 * 3600);

/// How many networks, and how many clients at networks, are remembered: about 2 MB of each. Those that are seen
/// rarely are forgotten first.
const REMEMBERED: u64 = 10_000;

/// From this many clients on those that ask for nothing are forgotten.
const TIDY_FROM: usize = 256;

const fn rate(burst: u32, seconds: u64) -> Rate {
    Rate {
        burst: NonZeroU32::MIN.saturating_add(burst - 1),
        window: Duration::from_secs(seconds),
    }
}

/// When the next one is let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryAfter(pub Duration);

impl RetryAfter {
    /// In whole seconds, at least one, as the header says it (RFC 9110, section 10.2.3).
    #[must_use]
    pub fn seconds(self) -> u64 {
        let Self(time) = self;
        time.as_secs() + u64::from(time.subsec_nanos() > 0 || time.is_zero())
    }
}

/// GCRA: the theoretical arrival time of the next one. It is in the past where nothing was counted lately.
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
        // However many fail at a time, no more is remembered than the limit and the wait for one.
        let most = now + rate.period() * rate.burst.get();
        Self((next.max(now) + rate.period()).min(most))
    }

    fn is_over(self, now: Duration) -> bool {
        let Self(next) = self;
        next <= now
    }
}

/// Limits failed authentications by the network that they come from.
///
/// Only failures count, so clients behind one address do not use up each other's limit. A neighbour who guesses shuts
/// none of them out:
///
/// - A client that authenticated from a network within the last day is not limited there. Secrets have 256 random bits
///   and keys cannot be guessed, so a limit would protect nothing.
/// - Any other client that exists has a limit of its own at each network. Client IDs have 74 random bits: who guesses
///   them does not find it.
/// - All who name no client that is known to exist share the network's limit.
#[derive(Debug)]
pub struct ClientLimits {
    clock: Arc<dyn Clock>,
    failures: Cache<(IpAddr, Option<ClientId>), Arrival>,
    existing: Cache<ClientId, ()>,
    known: Cache<(ClientId, IpAddr), Duration>,
}

impl ClientLimits {
    /// Nothing has failed yet. These clients exist; one that is added later is known to exist once it authenticates.
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

    /// Whether an authentication may be tried: by whom it says, if it says so, from `address`, if that is known.
    ///
    /// # Errors
    /// [`RetryAfter`]: too many from there have failed.
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

    /// Counts one that failed.
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

    /// Remembers that the client is to be found there.
    pub fn succeeded(&self, client: ClientId, address: Option<IpAddr>) {
        self.existing.insert(client, ());
        if let Some(network) = address.map(network) {
            self.known.insert((client, network), self.clock.uptime());
        }
    }

    /// Whose limit it is.
    fn counted(&self, client: Option<ClientId>, network: IpAddr) -> (IpAddr, Option<ClientId>) {
        let exists = |client: &ClientId| self.existing.contains_key(client);
        (network, client.filter(exists))
    }

    fn knows(&self, client: Option<ClientId>, network: IpAddr, now: Duration) -> bool {
        let seen = client.and_then(|client| self.known.get(&(client, network)));
        seen.is_some_and(|seen| now.saturating_sub(seen) < KNOWN_FOR)
    }
}

/// What one client may ask for.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    /// How much at a time.
    pub at_a_time: usize,
    /// How often, if that is limited.
    pub rate: Option<Rate>,
}

impl Quota {
    /// Tokens: a client needs one every few minutes for each of its processes. 600 at once are a large service that
    /// starts everywhere.
    pub const TOKENS: Self = Self {
        at_a_time: 64,
        rate: Some(rate(600, 60)),
    };
    /// Revocations of tokens: a client revokes at most the tokens that it is given. Each is a write to disk.
    pub const REVOCATIONS: Self = Self::TOKENS;
    /// Questions about tokens: a service that cannot verify asks one at each request. 500 a second are more than one
    /// process answers requests that need it.
    pub const INTROSPECTIONS: Self = Self {
        at_a_time: 64,
        rate: Some(rate(30_000, 60)),
    };
    /// Streams of the feed: a verifier has one, and the replicas of a service share its client. 16 are eight replicas
    /// and their successors while they are replaced. Without a stream a verifier still asks every second.
    pub const STREAMS: Self = Self {
        at_a_time: 16,
        rate: None,
    };
    /// Pages of the feed that are made and that the client has not taken yet: as many as there may be questions.
    pub const PAGES: Self = Self {
        at_a_time: 512,
        rate: None,
    };
    /// Those of them that are large, up to 1.5 MB: a client that takes none of them holds 24 MB.
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

/// Counts what each client asks for. There are only as many as there are clients, because they have authenticated.
#[derive(Debug)]
pub struct Quotas {
    quota: Quota,
    clock: Arc<dyn Clock>,
    uses: Mutex<HashMap<ClientId, Use>>,
}

impl Quotas {
    /// That much for each client.
    #[must_use]
    pub fn new(quota: Quota, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            quota,
            clock,
            uses: Mutex::default(),
        })
    }

    /// Begins something for a client, which lasts until what is given is dropped.
    ///
    /// # Errors
    /// [`RetryAfter`]: the client has as much as it may.
    pub fn begin(self: &Arc<Self>, client: ClientId) -> Result<QuotaUse, RetryAfter> {
        let now = self.clock.uptime();
        let mut uses = self.uses();
        if uses.len() >= TIDY_FROM {
            uses.retain(|_, used| used.now > 0 || !used.arrival.is_over(now));
        }
        let used = uses.entry(client).or_default();
        if used.now >= self.quota.at_a_time {
            // Nobody knows when one ends.
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

    /// How much a client may have at a time.
    #[must_use]
    pub const fn at_a_time(&self) -> usize {
        self.quota.at_a_time
    }

    fn uses(&self) -> MutexGuard<'_, HashMap<ClientId, Use>> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Something that a client has begun.
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
        // One that was added meanwhile, and authenticated elsewhere.
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
        // However many more fail that were begun before.
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
        // Without an address nobody can be told apart.
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
            // The neighbour may know its ID.
            limits.failed(Some(good), home);
        }
        assert!(limits.admit(Some(client(2)), home).is_err());
        assert_eq!(limits.admit(Some(good), home), Ok(()));
        assert_eq!(limits.admit(Some(good), at("198.51.100.2")), Ok(()));
        for _ in 0..20 {
            limits.failed(Some(good), at("198.51.100.2"));
        }
        assert!(limits.admit(Some(good), at("198.51.100.2")).is_err());
        // Of a good one alone nothing is counted.
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
    fn what_ended_is_forgotten_and_what_goes_on_is_not() {
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
