//! What all nodes count together.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;

use super::{ACCOUNT, ADDRESS, LoginRates, Rate};
use crate::crypto::sha256;
use crate::revocation::log::StoreError;

/// What stands for an account, an address or both: the store is told neither, and what was typed into the field
/// of a username may be a password.
pub type Digest = [u8; 32];

/// Something of which only so many are let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// `address` or `account`.
    pub policy: &'static str,
    /// What is counted, and at which rate: nodes with different rates count apart.
    pub key: Digest,
    /// The limit.
    pub rate: Rate,
}

/// An account and a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whereabouts {
    /// The account.
    pub account: Digest,
    /// The account and the network.
    pub network: Digest,
}

/// A limit of those that were asked for is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Which of them.
    pub counted: Counted,
    /// When the next one is let through.
    pub retry_after: Duration,
}

/// What all nodes count together, by one clock that is none of theirs.
#[async_trait]
pub trait SharedLimits: Send + Sync + fmt::Debug {
    /// Counts one of each, in that order and up to the first whose limit is reached.
    async fn count(&self, counted: &[Counted]) -> Result<Option<Reached>, StoreError>;

    /// Whether the account's owner is known from that network.
    async fn knows(&self, whereabouts: &Whereabouts) -> Result<bool, StoreError>;

    /// Remembers that the account's owner was let in from that network.
    async fn remember(&self, whereabouts: &Whereabouts) -> Result<(), StoreError>;

    /// Drops what no limit depends on any more.
    async fn tidy(&self) -> Result<(), StoreError>;
}

impl Counted {
    pub(super) fn address(rates: &LoginRates, network: IpAddr) -> Self {
        Self::of(ADDRESS, rates.address, &[network.to_string().as_bytes()])
    }

    /// At the account, or at what it has for one network that its owner is known from.
    pub(super) fn account(rates: &LoginRates, account: &str, known: Option<IpAddr>) -> Self {
        let known = known.map(|network| network.to_string());
        let mut parts = vec![account.as_bytes()];
        parts.extend(known.as_ref().map(|network| network.as_bytes()));
        Self::of(ACCOUNT, rates.account, &parts)
    }

    fn of(policy: &'static str, rate: Rate, parts: &[&[u8]]) -> Self {
        let (burst, window) = (rate.burst.get().to_be_bytes(), rate.window.as_nanos());
        let window = window.to_be_bytes();
        let mut all: Vec<&[u8]> = vec![&burst, &window];
        all.extend(parts);
        let key = digest(policy, &all);
        Self { policy, key, rate }
    }
}

impl Whereabouts {
    pub(super) fn of(account: &str, network: IpAddr) -> Self {
        let (name, network) = (account.as_bytes(), network.to_string());
        Self {
            account: digest("owner", &[name]),
            network: digest("whereabouts", &[name, network.as_bytes()]),
        }
    }
}

/// Of parts that cannot be mistaken for others: each has its length before it.
fn digest(what: &str, parts: &[&[u8]]) -> Digest {
    let mut bytes = Vec::new();
    for part in [b"waxseal-login".as_slice(), what.as_bytes()]
        .iter()
        .chain(parts)
    {
        bytes.extend((part.len() as u64).to_be_bytes());
        bytes.extend(*part);
    }
    sha256(&bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_thing_has_a_key_of_its_own() {
        let (rates, home) = (LoginRates::default(), "192.0.2.1".parse().unwrap());
        let other = LoginRates {
            address: rates.account,
            account: rates.address,
        };
        let mut keys = BTreeSet::new();
        for rates in [rates, other] {
            keys.insert(Counted::address(&rates, home).key);
            for (account, known) in [
                ("alice", None),
                ("alice", Some(home)),
                ("alice192.0.2.1", None),
                ("", None),
                ("192.0.2.1", None),
            ] {
                keys.insert(Counted::account(&rates, account, known).key);
            }
        }
        let place = Whereabouts::of("alice", home);
        keys.extend([place.account, place.network]);
        assert_eq!(keys.len(), 14);
        assert_eq!(Whereabouts::of("alice", home), place);
    }
}
