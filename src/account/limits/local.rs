//! The counters of this process, in memory.

use std::net::IpAddr;
use std::time::Duration;

use moka::sync::Cache;

use super::digest::Digest;
use super::gcra::Gcra;
use super::rate::{ACCOUNT, ADDRESS, LoginRates, TooMany};
use super::shared::Whereabouts;
use super::slowdown::{Failures, Slowdown};

/// How many pairs of account and known network are cached. An evicted pair costs a lookup in the store.
const KNOWN: u64 = 100_000;

/// How long a pair is cached. A password change makes the store forget the account's networks, and another process may
/// have made it.
const LEARNED_FOR: Duration = Duration::from_secs(300);

/// How many accounts are cached that the shared store refused. An evicted account costs a query to the store.
const REFUSED: u64 = 10_000;

/// The maximum time for which a refusal is cached, because a login at another node ends the wait.
const REFUSED_FOR: Duration = Duration::from_secs(5);

/// How old the stored time of a network must be before it is written again.
const NOTED: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug)]
pub(super) struct Local {
    rates: LoginRates,
    addresses: Gcra<IpAddr>,
    /// The limits of account and known network.
    owners: Gcra<Digest>,
    failures: Failures,
    /// The pairs of account and known network, with the time at which this process last stored each.
    known: Cache<Digest, Option<Duration>>,
    /// The last refusal of each account by the shared store, and its time.
    refused: Cache<Digest, (Duration, TooMany)>,
}

impl Local {
    /// Returns `None` if a rate is too high to be counted.
    pub(super) fn new(rates: LoginRates) -> Option<Self> {
        if !rates.address.can_be_kept() || !rates.account.can_be_kept() {
            return None;
        }
        Some(Self {
            rates,
            addresses: Gcra::new(rates.address),
            owners: Gcra::new(rates.account),
            failures: Failures::new(Slowdown::of(rates.account)),
            known: Cache::builder()
                .max_capacity(KNOWN)
                .time_to_live(LEARNED_FOR)
                .build(),
            refused: Cache::new(REFUSED),
        })
    }

    pub(super) const fn rates(&self) -> LoginRates {
        self.rates
    }

    pub(super) const fn failures(&self) -> &Failures {
        &self.failures
    }

    pub(super) fn count_address(&self, network: IpAddr, now: Duration) -> Result<(), TooMany> {
        let taken = self.addresses.take(network, now);
        taken.map_err(|wait| TooMany::of(ADDRESS, self.rates.address, wait))
    }

    pub(super) fn count_owner(&self, at: &Whereabouts, now: Duration) -> Result<(), TooMany> {
        let taken = self.owners.take(at.network, now);
        taken.map_err(|wait| TooMany::of(ACCOUNT, self.rates.account, wait))
    }

    pub(super) fn count_account(&self, account: Digest, now: Duration) -> Result<(), TooMany> {
        let counted = self.failures.count(account, now);
        counted.map_err(|waits| TooMany::slowed(waits.wait, waits.left))
    }

    pub(super) fn give_back_address(&self, network: IpAddr, now: Duration) {
        self.addresses.give_back(&network, now);
    }

    pub(super) fn give_back_owner(&self, at: &Whereabouts, now: Duration) {
        self.owners.give_back(&at.network, now);
    }

    /// Returns the shared store's recent refusal of the account, if it still holds.
    pub(super) fn refused(&self, account: &Digest, now: Duration) -> Result<(), TooMany> {
        let Some((at, too_many)) = self.refused.get(account) else {
            return Ok(());
        };
        let passed = now.saturating_sub(at);
        if passed >= REFUSED_FOR.min(too_many.retry_after) {
            return Ok(());
        }
        let retry_after = too_many.retry_after.saturating_sub(passed);
        Err(TooMany {
            retry_after,
            ..too_many
        })
    }

    pub(super) fn note_refused(&self, account: Digest, too_many: TooMany, now: Duration) {
        self.refused.insert(account, (now, too_many));
    }

    /// Forgets the account's failures and refusal after an attempt succeeded.
    pub(super) fn forgive(&self, account: &Digest) {
        self.failures.forgive(account);
        self.refused.invalidate(account);
    }

    pub(super) fn knows(&self, at: &Whereabouts) -> bool {
        self.known.contains_key(&at.network)
    }

    /// Caches that the store knows the network.
    pub(super) fn learned(&self, at: &Whereabouts) {
        self.known.insert(at.network, None);
    }

    /// Returns whether the network must be stored again.
    pub(super) fn note(&self, at: &Whereabouts, now: Duration) -> bool {
        let noted = self.known.get(&at.network).flatten();
        let is_new = noted.is_some_and(|noted| now < noted.saturating_add(NOTED));
        if !is_new {
            self.known.insert(at.network, Some(now));
        }
        !is_new
    }

    pub(super) fn tidy(&self, now: Duration) {
        self.addresses.tidy(now);
        self.owners.tidy(now);
        self.failures.tidy(now);
        self.refused.run_pending_tasks();
    }

    /// Returns the numbers of addresses, owners and accounts with a counter.
    #[cfg(test)]
    pub(super) fn kept(&self) -> (usize, usize, usize) {
        (
            self.addresses.kept(),
            self.owners.kept(),
            self.failures.kept(),
        )
    }
}
