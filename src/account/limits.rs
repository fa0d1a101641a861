//! How many logins fail: at one account, and from one address.

mod digest;
mod gcra;
mod local;
mod rate;
mod shared;
mod slowdown;

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

pub use digest::Digest;
pub(crate) use digest::account_digest;
use digest::sessions_digest;
use rate::ACCOUNT;
pub use rate::{LoginRates, Rate, TooMany};
pub use shared::{
    Counted, Counting, KeptLimits, KnownNetworks, LimitStores, NETWORKS, REMEMBERED, SharedLimits,
    Whereabouts,
};
pub use slowdown::{KeptFailures, LONGEST_WAIT, Slowdown};
use tokio::sync::Semaphore;

use super::password::{Claim, Class};
use crate::id::UserId;
use crate::meters::{Counters, Login};
use crate::revocation::log::StoreError;
use crate::time::Clock;
use local::Local;

/// Why a login must not be tried now.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotAdmitted {
    /// A limit was reached.
    #[error("too many attempts")]
    TooMany(TooMany),
    /// Too many attempts from unknown networks are being counted.
    #[error("too many attempts are being counted")]
    Busy,
    /// The store could not count the attempt.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<TooMany> for NotAdmitted {
    fn from(too_many: TooMany) -> Self {
        Self::TooMany(too_many)
    }
}

/// An attempt that was let through. It is counted as a failure already: say so if it is none.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Attempt(By);

#[derive(Clone, Copy, Debug)]
enum By {
    /// Somebody at a network that the account's owner is known from.
    Owner(Whereabouts, IpAddr),
    /// Anybody.
    Stranger(Digest, Option<(Whereabouts, IpAddr)>),
    /// Somebody who has a session.
    Session(Digest),
}

impl Attempt {
    /// The class in which its password is hashed.
    #[must_use]
    pub const fn class(&self) -> Class {
        let Self(by) = self;
        match by {
            By::Owner(at, network) => Class::Reserved(Claim {
                of: at.network,
                account: at.account,
                network: Some(*network),
            }),
            By::Session(of) => Class::Reserved(Claim {
                of: *of,
                account: *of,
                network: None,
            }),
            By::Stranger(..) => Class::Shared,
        }
    }
}

/// How many attempts from addresses whose limit is reached ask the store at the same time whether the network is
/// known.
const LOOKUPS: usize = 64;

/// How many attempts from other unknown networks ask it at the same time.
const LOOKUPS_WITHIN_LIMIT: usize = 512;

/// How many attempts from unknown networks are counted in the shared store at the same time, at work or waiting. The
/// store counts two of them at a time, each within milliseconds.
const STRANGERS: usize = 64;

/// How many accounts one write of the store keeps.
const KEPT_AT_ONCE: usize = 512;

/// Limits attempts that fail. An attempt is counted before it is made, and given back if it succeeds: attempts at the
/// same time do not exceed a limit.
///
/// - Whoever logs in from a network that the account's owner is known from has a limit for the two, which nobody
///   elsewhere and no attempt at another account uses up.
/// - Everybody else shares the limit of their address, and is slowed by consecutive failures at the account.
///
/// An account that does not exist is limited as one that does.
#[derive(Debug)]
pub struct LoginLimits {
    local: Local,
    stores: Option<LimitStores>,
    clock: Arc<dyn Clock>,
    lookups: Semaphore,
    lookups_within_limit: Semaphore,
    strangers: Semaphore,
    logins: Counters<Login>,
}

impl LoginLimits {
    /// Limits of these rates, in memory. None if one of them cannot be kept.
    #[must_use]
    pub fn new(rates: LoginRates, clock: Arc<dyn Clock>) -> Option<Self> {
        Some(Self {
            local: Local::new(rates)?,
            stores: None,
            clock,
            lookups: Semaphore::const_new(LOOKUPS),
            lookups_within_limit: Semaphore::const_new(LOOKUPS_WITHIN_LIMIT),
            strangers: Semaphore::const_new(STRANGERS),
            logins: Counters::default(),
        })
    }

    /// The same, with stores: what was counted before goes on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn stored(self, stores: LimitStores) -> Result<Self, StoreError> {
        if let Counting::Here(kept) = &stores.counting {
            let kept = kept.kept().await?;
            let (now, wall) = (self.clock.uptime(), self.clock.now());
            self.local.failures().resume(&kept, now, wall);
        }
        let stores = Some(stores);
        Ok(Self { stores, ..self })
    }

    fn shared(&self, by: &By) -> Option<&dyn SharedLimits> {
        match (&self.stores.as_ref()?.counting, by) {
            (Counting::Here(_), _) => None,
            (Counting::Together { owners, .. }, By::Owner(..) | By::Session(_)) => Some(&**owners),
            (Counting::Together { strangers, .. }, By::Stranger(..)) => Some(&**strangers),
        }
    }

    const fn is_shared(&self) -> bool {
        matches!(
            &self.stores,
            Some(LimitStores {
                counting: Counting::Together { .. },
                ..
            })
        )
    }

    /// Counts a login at `account`, whether or not there is one of that name.
    ///
    /// # Errors
    /// [`NotAdmitted`]: it must not be tried now.
    pub async fn admit_login(
        &self,
        account: &str,
        address: Option<IpAddr>,
    ) -> Result<Attempt, NotAdmitted> {
        let admitted = self.admit(account, address).await;
        admitted.inspect_err(|cause| {
            self.logins.count(match cause {
                NotAdmitted::TooMany(_) => Login::Limited,
                NotAdmitted::Busy | NotAdmitted::Store(_) => Login::Failed,
            });
        })
    }

    /// The address comes first: one that has used up its own limit cannot slow an account. What it takes up is given
    /// back to an owner who is known there.
    async fn admit(&self, account: &str, address: Option<IpAddr>) -> Result<Attempt, NotAdmitted> {
        let now = self.clock.uptime();
        let Some(network) = address.map(network) else {
            return self.admit_stranger(account_digest(account), None).await;
        };
        let at = Whereabouts::of(account, network);
        if self.local.knows(&at) {
            return self.admit_owner(at, network).await;
        }
        let counted = self.local.count_address(network, now);
        if self.learn(&at, counted).await? {
            if counted.is_ok() {
                self.local.give_back_address(network, now);
            }
            return self.admit_owner(at, network).await;
        }
        counted?;
        self.admit_stranger(at.account, Some((at, network))).await
    }

    async fn admit_owner(&self, at: Whereabouts, network: IpAddr) -> Result<Attempt, NotAdmitted> {
        self.local.count_owner(&at, self.clock.uptime())?;
        self.count(By::Owner(at, network)).await
    }

    async fn admit_stranger(
        &self,
        account: Digest,
        from: Option<(Whereabouts, IpAddr)>,
    ) -> Result<Attempt, NotAdmitted> {
        self.count_failure(account, self.clock.uptime())?;
        self.count(By::Stranger(account, from)).await
    }

    /// Counts an attempt of somebody who has a session of that user, such as one to change the password. It is a
    /// limit of its own: whoever has no session cannot use it up.
    ///
    /// # Errors
    /// [`NotAdmitted`]: it must not be tried now.
    pub async fn admit_session(&self, user: UserId) -> Result<Attempt, NotAdmitted> {
        let user = sessions_digest(&user.to_string());
        self.count_failure(user, self.clock.uptime())?;
        self.count(By::Session(user)).await
    }

    /// Where nodes count together, one by itself only remembers for a moment whom they refused: a flood at it does
    /// not reach what they share.
    fn count_failure(&self, account: Digest, now: Duration) -> Result<(), TooMany> {
        if self.is_shared() {
            self.local.refused(&account, now)
        } else {
            self.local.count_account(account, now)
        }
    }

    async fn count(&self, by: By) -> Result<Attempt, NotAdmitted> {
        let _place = match by {
            By::Owner(..) | By::Session(_) => None,
            By::Stranger(..) => {
                let place = self.strangers.try_acquire();
                Some(place.map_err(|_| NotAdmitted::Busy)?)
            }
        };
        if let Some(shared) = self.shared(&by)
            && let Some(too_many) = shared.count(&self.counted(&by)).await?
        {
            if let (By::Stranger(account, _) | By::Session(account), ACCOUNT) =
                (by, too_many.policy)
            {
                let now = self.clock.uptime();
                self.local.note_refused(account, too_many, now);
            }
            return Err(too_many.into());
        }
        Ok(Attempt(by))
    }

    /// What nodes count together of such an attempt.
    fn counted(&self, by: &By) -> Vec<Counted> {
        let rates = self.local.rates();
        let failures = |account| Counted::Failures {
            account,
            slowdown: self.local.failures().slowdown(),
        };
        match by {
            By::Owner(at, _) => vec![Counted::owner(&rates, at)],
            By::Session(user) => vec![failures(*user)],
            By::Stranger(account, from) => {
                let address = from.map(|(_, network)| Counted::address(&rates, network));
                let account = failures(*account);
                address.into_iter().chain([account]).collect()
            }
        }
    }

    /// Asks the store whether the owner of that account is known from there. It is asked too if the address is spent,
    /// because owners may be behind it, but then by so many at a time only.
    async fn learn(
        &self,
        at: &Whereabouts,
        counted: Result<(), TooMany>,
    ) -> Result<bool, NotAdmitted> {
        let Some(LimitStores { networks, .. }) = &self.stores else {
            return Ok(false);
        };
        let knows = match counted {
            Ok(()) => {
                let permit = self.lookups_within_limit.try_acquire();
                let _permit = permit.map_err(|_| NotAdmitted::Busy)?;
                networks.knows(at).await?
            }
            Err(too_many) => {
                let permit = self.lookups.try_acquire();
                let _permit = permit.map_err(|_| too_many)?;
                networks.knows(at).await.map_err(|_| too_many)?
            }
        };
        if knows {
            self.local.learned(at);
        }
        Ok(knows)
    }

    /// An attempt succeeded: it does not count, and if it was a stranger's, neither do the failures before it.
    /// Whoever logged in is known at that network from now on. What cannot be told to the store costs the owner
    /// a limit of their own, and is no reason to fail.
    pub async fn succeeded(&self, attempt: Attempt) {
        let Attempt(by) = attempt;
        let now = self.clock.uptime();
        match by {
            By::Owner(at, _) => self.local.give_back_owner(&at, now),
            By::Session(account) => self.local.forgive(&account),
            By::Stranger(account, from) => {
                self.local.forgive(&account);
                if let Some((_, network)) = from {
                    self.local.give_back_address(network, now);
                }
            }
        }
        if let Some(shared) = self.shared(&by)
            && let Err(cause) = shared.forgive(&self.counted(&by)).await
        {
            tracing::warn!(%cause, "a login that succeeded is counted as a failure");
        }
        if let By::Owner(at, _) | By::Stranger(_, Some((at, _))) = by {
            self.remember(&at, now).await;
        }
    }

    async fn remember(&self, at: &Whereabouts, now: Duration) {
        if self.local.note(at, now)
            && let Some(stores) = &self.stores
            && let Err(cause) = stores.networks.remember(at, self.clock.now()).await
        {
            tracing::warn!(%cause, "the network of a login could not be stored");
        }
    }

    /// Writes the failures that have changed, a few at a time: other writes of the store go between.
    async fn keep_failures(&self, store: &dyn KeptLimits) -> Result<(), StoreError> {
        let (now, wall) = (self.clock.uptime(), self.clock.now());
        let failures = self.local.failures();
        let changed = failures.changed(now, wall);
        for (at, some) in changed.chunks(KEPT_AT_ONCE).enumerate() {
            let kept = store.keep(some.to_vec()).await;
            kept.inspect_err(|_| {
                let lost = changed.get(at * KEPT_AT_ONCE..).unwrap_or_default();
                failures.not_kept(lost);
            })?;
        }
        store.drop_expired(wall).await
    }

    /// An attempt was let through and not made.
    pub async fn not_made(&self, attempt: Attempt) {
        let Attempt(by) = attempt;
        let now = self.clock.uptime();
        match by {
            By::Owner(at, _) => self.local.give_back_owner(&at, now),
            By::Session(account) => self.local.failures().give_back(&account, now),
            By::Stranger(account, from) => {
                self.local.failures().give_back(&account, now);
                if let Some((_, network)) = from {
                    self.local.give_back_address(network, now);
                }
            }
        }
        if let Some(shared) = self.shared(&by)
            && let Err(cause) = shared.give_back(&self.counted(&by)).await
        {
            tracing::debug!(%cause, "an attempt that was not made is counted as a failure");
        }
    }

    /// Forgets those who have not been counted for as long as it takes to be let through again, and keeps the
    /// failures at accounts over a restart. Call it now and then, and before the process ends: nothing else keeps
    /// the memory and the tables small.
    pub async fn tidy(&self) {
        let (now, wall) = (self.clock.uptime(), self.clock.now());
        self.local.tidy(now);
        let Some(LimitStores { networks, counting }) = &self.stores else {
            return;
        };
        let kept = match counting {
            Counting::Together { owners, .. } => {
                let slowdown = self.local.failures().slowdown();
                owners.tidy(slowdown.memory()).await
            }
            Counting::Here(store) => self.keep_failures(&**store).await,
        };
        for done in [kept, networks.forget_networks(wall).await] {
            if let Err(cause) = done {
                tracing::warn!(%cause, "login limits could not be stored, or expired ones not removed");
            }
        }
    }
}

/// An account at an address, as stores know the two.
pub(crate) fn whereabouts(account: &str, address: IpAddr) -> Whereabouts {
    Whereabouts::of(account, network(address))
}

/// What one subscriber has: an IPv4 address, the /64 of an IPv6 address.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let prefix = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(prefix))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests;
