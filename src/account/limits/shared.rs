//! What stores know and count: digests of accounts and networks, never what was typed.

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

/// How long a network is remembered after the last login of the account's owner from there.
pub const REMEMBERED: Duration = Duration::from_secs(90 * 24 * 3600);
/// From how many networks an account's owner is known at most: the last ones.
pub const NETWORKS: i64 = 32;

/// Something that all nodes limit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// So many over a time.
    Rate {
        /// `address` or `account`.
        policy: &'static str,
        /// What is counted, and at which rate: nodes with different rates count apart.
        key: Digest,
        /// The limit.
        rate: Rate,
    },
    /// Consecutive failures at an account.
    Failures {
        /// The account.
        account: Digest,
        /// How they slow it.
        slowdown: Slowdown,
    },
}

/// An account and a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whereabouts {
    /// The account.
    pub account: Digest,
    /// The account and the network.
    pub network: Digest,
}

/// The networks from which accounts' owners were let in: the last [`NETWORKS`] of each account, for [`REMEMBERED`].
#[async_trait]
pub trait KnownNetworks: Send + Sync + fmt::Debug {
    /// Whether the account's owner is known from that network.
    async fn knows(&self, at: &Whereabouts) -> Result<bool, StoreError>;

    /// Remembers that the account's owner was let in from that network.
    async fn remember(&self, at: &Whereabouts, now: Timestamp) -> Result<(), StoreError>;

    /// Drops those that are too old.
    async fn forget_networks(&self, now: Timestamp) -> Result<(), StoreError>;
}

/// What all nodes count together, by one clock that is none of theirs.
#[async_trait]
pub trait SharedLimits: Send + Sync + fmt::Debug {
    /// Counts one attempt at each, in that order and up to the first that refuses it.
    async fn count(&self, counted: &[Counted]) -> Result<Option<TooMany>, StoreError>;

    /// Gives an attempt back that was counted and not made.
    async fn give_back(&self, counted: &[Counted]) -> Result<(), StoreError>;

    /// Gives an attempt back that succeeded, and forgets the failures before it.
    async fn forgive(&self, counted: &[Counted]) -> Result<(), StoreError>;

    /// Drops what no limit depends on any more; failures are remembered for that long.
    async fn tidy(&self, memory: Duration) -> Result<(), StoreError>;
}

/// Keeps what one process counts over its restart.
#[async_trait]
pub trait KeptLimits: Send + Sync + fmt::Debug {
    /// What was kept, the accounts with the most failures first.
    async fn kept(&self) -> Result<Vec<KeptFailures>, StoreError>;

    /// Keeps these.
    async fn keep(&self, changed: Vec<KeptFailures>) -> Result<(), StoreError>;

    /// Drops what expired before `now`.
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

/// The stores of the limits.
#[derive(Clone, Debug)]
pub struct LimitStores {
    /// Who is known where.
    pub networks: Arc<dyn KnownNetworks>,
    /// What was tried.
    pub counting: Counting,
}

impl Counted {
    pub(super) fn address(rates: &LoginRates, network: IpAddr) -> Self {
        Self::of(ADDRESS, rates.address, network.to_string().as_bytes())
    }

    /// What an account has for one network that its owner is known from.
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
