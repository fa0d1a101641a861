//! The traits of the limits' stores. Stores see digests of accounts and networks, never the text that was typed.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::digest::{Digest, account_digest, digest};
use super::rate::{ACCOUNT, ADDRESS, LoginRates, Rate, TooMany};
use super::slowdown::{KeptFailures, Slowdown};
use crate::revocation::log::StoreError;
use crate::time::Timestamp;

/// How long a network stays known after the owner's last login from there.
pub const REMEMBERED: Duration = Duration::from_secs(90 * 24 * 3600);
/// The maximum number of known networks per account. The most recent ones are kept.
pub const NETWORKS: i64 = 32;

/// Something that all nodes limit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Attempts at a rate.
    Rate {
        /// `address` or `account`.
        policy: &'static str,
        /// The digest of the rate and of what is counted. Nodes with different rates count separately.
        key: Digest,
        /// The limit.
        rate: Rate,
    },
    /// Consecutive failures at an account.
    Failures {
        /// The account.
        account: Digest,
        /// The slowdown that the failures cause.
        slowdown: Slowdown,
    },
}

/// An account and a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whereabouts {
    /// The digest of the account.
    pub account: Digest,
    /// The digest of the account and the network together.
    pub network: Digest,
}

/// The known networks of accounts: the last [`NETWORKS`] from which each owner logged in, for [`REMEMBERED`].
#[async_trait]
pub trait KnownNetworks: Send + Sync + fmt::Debug {
    /// Returns whether the account's owner is known from that network.
    async fn knows(&self, at: &Whereabouts) -> Result<bool, StoreError>;

    /// Remembers that the account's owner logged in from that network.
    async fn remember(&self, at: &Whereabouts, now: Timestamp) -> Result<(), StoreError>;

    /// Drops networks that are older than [`REMEMBERED`].
    async fn forget_networks(&self, now: Timestamp) -> Result<(), StoreError>;
}

/// The counters that all nodes share, by the clock of the store.
#[async_trait]
pub trait SharedLimits: Send + Sync + fmt::Debug {
    /// Counts one attempt for each item in order, and stops at the first that refuses it.
    async fn count(&self, counted: &[Counted]) -> Result<Option<TooMany>, StoreError>;

    /// Gives back an attempt that was counted and not made.
    async fn give_back(&self, counted: &[Counted]) -> Result<(), StoreError>;

    /// Gives back an attempt that succeeded, and forgets the failures before it.
    async fn forgive(&self, counted: &[Counted]) -> Result<(), StoreError>;

    /// Drops counters that no limit depends on any more. `memory` is how long failures are remembered.
    async fn tidy(&self, memory: Duration) -> Result<(), StoreError>;
}

/// The store of one process's counters, so that they survive a restart.
#[async_trait]
pub trait KeptLimits: Send + Sync + fmt::Debug {
    /// Returns the stored failures, the accounts with the most failures first.
    async fn kept(&self) -> Result<Vec<KeptFailures>, StoreError>;

    /// Stores these failures.
    async fn keep(&self, changed: Vec<KeptFailures>) -> Result<(), StoreError>;

    /// Drops failures that expired before `now`.
    async fn drop_expired(&self, now: Timestamp) -> Result<(), StoreError>;
}

/// Where attempts are counted.
#[derive(Clone, Debug)]
pub enum Counting {
    /// In this process, which is the only one.
    Here(Arc<dyn KeptLimits>),
    /// In a database, for all nodes.
    Together {
        /// For attempts from a known network and of sessions.
        owners: Arc<dyn SharedLimits>,
        /// For all other attempts. They do not delay those of owners.
        strangers: Arc<dyn SharedLimits>,
    },
}

/// The stores that the limits use.
#[derive(Clone, Debug)]
pub struct LimitStores {
    /// The known networks of accounts.
    pub networks: Arc<dyn KnownNetworks>,
    /// The counters of attempts.
    pub counting: Counting,
}

impl Counted {
    pub(super) fn address(rates: &LoginRates, network: IpAddr) -> Self {
        Self::of(ADDRESS, rates.address, network.to_string().as_bytes())
    }

    /// Returns the limit of an account at one network that its owner is known from.
    pub(super) fn owner(rates: &LoginRates, at: &Whereabouts) -> Self {
        Self::of(ACCOUNT, rates.account, &at.network)
    }

    fn of(policy: &'static str, rate: Rate, what: &[u8]) -> Self {
        let (burst, window) = (rate.burst.get().to_be_bytes(), rate.window.as_nanos());
        let key = digest(policy, &[&burst, &window.to_be_bytes(), what]);
        Self::Rate { policy, key, rate }
    }
}

impl Whereabouts {
    pub(super) fn of(account: &str, network: IpAddr) -> Self {
        let (name, network) = (account.as_bytes(), network.to_string());
        Self {
            account: account_digest(account),
            network: digest("whereabouts", &[name, network.as_bytes()]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::digest::sessions_digest;
    use super::*;

    #[test]
    fn each_thing_has_a_key_of_its_own() {
        let (rates, home) = (LoginRates::default(), "192.0.2.1".parse().unwrap());
        let other = LoginRates {
            address: rates.account,
            account: rates.address,
        };
        let key = |counted| match counted {
            Counted::Rate { key, .. } => key,
            Counted::Failures { account, .. } => account,
        };
        let mut keys = BTreeSet::new();
        let names = ["alice", "alice192.0.2.1", "", "192.0.2.1"];
        for rates in [rates, other] {
            keys.insert(key(Counted::address(&rates, home)));
            for name in names {
                let at = Whereabouts::of(name, home);
                keys.insert(key(Counted::owner(&rates, &at)));
            }
        }
        for name in names {
            let Whereabouts { account, network } = Whereabouts::of(name, home);
            keys.extend([account, network, sessions_digest(name)]);
        }
        assert_eq!(keys.len(), 2 * 5 + 3 * 4);
        assert_eq!(
            Whereabouts::of("alice", home),
            Whereabouts::of("alice", home)
        );
    }
}
