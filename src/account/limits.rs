//! How many logins are tried: at one account, and from one address (GCRA).

mod local;
mod shared;

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

pub use shared::{Counted, Digest, Reached, SharedLimits, Whereabouts};

use crate::meters::{Counters, Login};
use crate::revocation::log::StoreError;
use crate::time::Clock;
use local::Local;

/// The policy that limits what comes from one address.
const ADDRESS: &str = "address";
/// The policy that limits what is tried at one account.
const ACCOUNT: &str = "account";

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
        local::quota(rate).map(|_| rate)
    }

    /// After which time one more is let through.
    #[must_use]
    pub fn period(self) -> Duration {
        self.window / self.burst.get()
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

/// Why a login must not be tried now.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotAdmitted {
    /// A limit was reached.
    #[error("too many attempts")]
    TooMany(TooMany),
    /// What the other nodes let through is not known.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<TooMany> for NotAdmitted {
    fn from(too_many: TooMany) -> Self {
        Self::TooMany(too_many)
    }
}

/// Counts logins. Nobody is locked out by them, only slowed: an account whose limit a stranger uses up
/// still has one of its own for each network that its owner has logged in from before.
///
/// One of several nodes counts by itself first, so that a flood at it does not reach what they share, and then
/// with the others.
#[derive(Debug)]
pub struct LoginLimits {
    local: Local,
    shared: Option<Arc<dyn SharedLimits>>,
    logins: Counters<Login>,
}

impl LoginLimits {
    /// Limits of these rates. None if one of them cannot be kept.
    #[must_use]
    pub fn new(rates: LoginRates, clock: Arc<dyn Clock>) -> Option<Self> {
        Some(Self {
            local: Local::new(rates, clock)?,
            shared: None,
            logins: Counters::default(),
        })
    }

    /// The same, counted together with other nodes.
    #[must_use]
    pub fn together(self, shared: Option<Arc<dyn SharedLimits>>) -> Self {
        Self { shared, ..self }
    }

    /// As [`admit`](Self::admit), for a login.
    ///
    /// # Errors
    /// [`NotAdmitted`]: it must not be tried now.
    pub async fn admit_login(
        &self,
        account: &str,
        address: Option<IpAddr>,
    ) -> Result<(), NotAdmitted> {
        let admitted = self.admit(account, address).await;
        admitted.inspect_err(|cause| {
            self.logins.count(match cause {
                NotAdmitted::TooMany(_) => Login::Limited,
                NotAdmitted::Store(_) => Login::Failed,
            });
        })
    }

    /// Counts an attempt at `account`, whether or not there is one of that name. The address comes first:
    /// one that has used up its own limit cannot use up an account's.
    ///
    /// # Errors
    /// [`NotAdmitted`]: it must not be tried now.
    pub async fn admit(&self, account: &str, address: Option<IpAddr>) -> Result<(), NotAdmitted> {
        let (network, rates) = (address.map(network), self.local.rates());
        if let Some(network) = network {
            self.local.count_address(network)?;
        }
        let known = match network {
            Some(network) if self.knows(account, network).await? => Some(network),
            _ => None,
        };
        self.local.count_account(account, known)?;
        let Some(shared) = &self.shared else {
            return Ok(());
        };
        let from = network.map(|network| Counted::address(&rates, network));
        let at = Counted::account(&rates, account, known);
        let counted: Vec<_> = from.into_iter().chain([at]).collect();
        match shared.count(&counted).await? {
            None => Ok(()),
            Some(reached) => Err(TooMany {
                policy: reached.counted.policy,
                rate: reached.counted.rate,
                retry_after: reached.retry_after,
            }
            .into()),
        }
    }

    /// Asks the others only of what is not known here, and before the account is counted: a flood at this node
    /// must not keep an owner out who is known at another.
    async fn knows(&self, account: &str, network: IpAddr) -> Result<bool, StoreError> {
        if self.local.knows(account, network) {
            return Ok(true);
        }
        let Some(shared) = &self.shared else {
            return Ok(false);
        };
        let knows = shared.knows(&Whereabouts::of(account, network)).await?;
        if knows {
            self.local.remember(account, network);
        }
        Ok(knows)
    }

    /// Remembers that the owner of `account` is to be found at that address. What cannot be told to the others
    /// costs the owner a place of their own there, and is no reason to fail.
    pub async fn succeeded(&self, account: &str, address: Option<IpAddr>) {
        let Some(network) = address.map(network) else {
            return;
        };
        self.local.remember(account, network);
        let Some(shared) = &self.shared else {
            return;
        };
        if let Err(cause) = shared.remember(&Whereabouts::of(account, network)).await {
            tracing::warn!(%cause, "the other nodes do not know where a user logged in from");
        }
    }

    /// Forgets those who have not been counted for as long as it takes to be let through again. Call it now
    /// and then: nothing else keeps the memory and the table small.
    pub async fn tidy(&self) {
        self.local.tidy();
        let Some(shared) = &self.shared else {
            return;
        };
        if let Err(cause) = shared.tidy().await {
            tracing::warn!(%cause, "login limits that are over could not be dropped");
        }
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

    /// What one node by itself says.
    async fn admit(
        limits: &LoginLimits,
        account: &str,
        address: Option<IpAddr>,
    ) -> Result<(), TooMany> {
        match limits.admit(account, address).await {
            Err(NotAdmitted::TooMany(too_many)) => Err(too_many),
            Err(NotAdmitted::Store(cause)) => panic!("it asked nobody: {cause}"),
            Ok(()) => Ok(()),
        }
    }

    #[tokio::test]
    async fn an_address_is_limited_whichever_accounts_it_tries() {
        let (limits, clock) = limits();
        for n in 0..20 {
            assert_eq!(
                admit(&limits, &n.to_string(), at("203.0.113.7")).await,
                Ok(())
            );
        }
        let refused = admit(&limits, "another", at("203.0.113.7"))
            .await
            .unwrap_err();
        assert_eq!(refused.policy, "address");
        assert_eq!(refused.retry_after, Duration::from_secs(3));
        assert_eq!(admit(&limits, "another", at("203.0.113.8")).await, Ok(()));
        clock.advance(Duration::from_millis(2999));
        assert!(admit(&limits, "another", at("203.0.113.7")).await.is_err());
        clock.advance(Duration::from_millis(1));
        assert_eq!(admit(&limits, "another", at("203.0.113.7")).await, Ok(()));
        assert!(admit(&limits, "another", at("203.0.113.7")).await.is_err());
    }

    #[tokio::test]
    async fn of_ipv6_a_subscriber_has_a_whole_64() {
        let (limits, _) = limits();
        for n in 0..20 {
            let address = at(&format!("2001:db8:1:2::{n:x}"));
            assert_eq!(admit(&limits, &n.to_string(), address).await, Ok(()));
        }
        assert!(
            admit(&limits, "x", at("2001:db8:1:2:ffff::1"))
                .await
                .is_err()
        );
        assert_eq!(admit(&limits, "x", at("2001:db8:1:3::1")).await, Ok(()));
        // One and the same address, written in two ways.
        for n in 0..20 {
            assert_eq!(
                admit(&limits, &format!("y{n}"), at("::ffff:192.0.2.1")).await,
                Ok(())
            );
        }
        assert!(admit(&limits, "y", at("192.0.2.1")).await.is_err());
    }

    #[tokio::test]
    async fn a_stranger_slows_an_account_and_does_not_lock_its_owner_out() {
        let (limits, clock) = limits();
        let home = at("198.51.100.1");
        assert_eq!(admit(&limits, ALICE, home).await, Ok(()));
        limits.succeeded(ALICE, home).await;
        for n in 1..10 {
            assert_eq!(
                admit(&limits, ALICE, at(&format!("203.0.113.{n}"))).await,
                Ok(())
            );
        }
        let flood = admit(&limits, ALICE, at("203.0.113.99")).await.unwrap_err();
        assert_eq!(
            (flood.policy, flood.retry_after),
            ("account", Duration::from_secs(6))
        );
        // Whoever is known there has a limit of their own, and the flood goes on.
        for _ in 0..10 {
            assert_eq!(admit(&limits, ALICE, home).await, Ok(()));
        }
        assert!(admit(&limits, ALICE, home).await.is_err());
        assert!(admit(&limits, ALICE, None).await.is_err());
        // And whoever is not waits seconds, not for ever.
        clock.advance(Duration::from_secs(6));
        assert_eq!(admit(&limits, ALICE, at("192.0.2.77")).await, Ok(()));
    }

    #[tokio::test]
    async fn what_is_over_is_forgotten_and_what_is_not_is_kept() {
        let (limits, clock) = limits();
        for n in 0..1000 {
            let address = IpAddr::from([203, 0, (n / 250) as u8, (n % 250) as u8]);
            admit(&limits, &n.to_string(), Some(address)).await.unwrap();
        }
        for _ in 0..10 {
            admit(&limits, ALICE, None).await.unwrap();
        }
        clock.advance(Duration::from_secs(30));
        limits.tidy().await;
        assert_eq!(limits.local.kept(), (0, 1));
        for _ in 0..5 {
            assert_eq!(admit(&limits, ALICE, None).await, Ok(()));
        }
        assert!(admit(&limits, ALICE, None).await.is_err());
    }

    #[test]
    fn a_rate_that_cannot_be_kept_is_none() {
        assert!(Rate::new(0, Duration::from_secs(1)).is_none());
        assert!(Rate::new(1, Duration::ZERO).is_none());
        assert!(Rate::new(u32::MAX, Duration::from_nanos(1)).is_none());
        assert!(Rate::new(1_000_000, Duration::from_secs(1)).is_some());
    }
}
