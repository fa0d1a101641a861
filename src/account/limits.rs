//! Rate limits for failed logins, per account and per address.

mod digest;
mod gcra;
mod local;
mod rate;
mod shared;
mod slowdown;

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

#[doc(hidden)]
pub use digest::Digest;
pub(crate) use digest::account_digest;
use digest::sessions_digest;
use rate::ACCOUNT;
pub use rate::{LoginRates, Rate, TooMany};
#[doc(hidden)]
pub use shared::{
    Counted, Counting, KeptLimits, KnownNetworks, LimitStores, NETWORKS, REMEMBERED, SharedLimits,
    Whereabouts,
};
#[doc(hidden)]
pub use slowdown::{KeptFailures, LONGEST_WAIT, Slowdown};
use tokio::sync::Semaphore;

use super::password::{Claim, Class};
use crate::id::UserId;
use crate::meters::{Counters, Login};
use crate::report::report;
use crate::revocation::log::StoreError;
use crate::time::Clock;
use local::Local;

/// The reason why a login must not be tried now.
#[doc(hidden)]
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotAdmitted {
    /// A rate limit was reached.
    #[error("too many attempts")]
    TooMany(TooMany),
    /// Too many attempts from unknown networks are being counted at the moment.
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

/// An admitted attempt. It is already counted as a failure: call [`LoginLimits::succeeded`] or
/// [`LoginLimits::not_made`] if it is not one.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Attempt(By);

#[derive(Clone, Copy, Debug)]
enum By {
    /// Somebody at a network that the account's owner has logged in from.
    Owner(Whereabouts, IpAddr),
    /// Anybody else.
    Stranger(Digest, Option<(Whereabouts, IpAddr)>),
    /// Somebody with a session of the user.
    Session(Digest),
}

impl Attempt {
    /// Returns the class in which the attempt's password is hashed.
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

/// How many attempts from addresses over their limit may look up at the same time whether the network is known.
const LOOKUPS: usize = 64;

/// How many attempts from other unknown networks may do that lookup at the same time.
const LOOKUPS_WITHIN_LIMIT: usize = 512;

/// How many attempts from unknown networks may be counted in the shared store at the same time, running or waiting. The
/// store counts two of them at a time, each within milliseconds.
const STRANGERS: usize = 64;

/// The maximum number of session attempts counted in the shared store at the same time, waiting ones included. They
/// share connections with the logins of owners, which they must not delay.
const SESSIONS: usize = 16;

/// How many accounts one write to the store covers.
const KEPT_AT_ONCE: usize = 512;

/// Limits failed attempts. An attempt is counted before it is made and given back if it succeeds, so concurrent
/// attempts cannot exceed a limit.
///
/// - An attempt from a network that the account's owner is known from has a limit of its own for that account and
///   network. Attempts from elsewhere or at other accounts do not use it up.
/// - All other attempts share the limit of their address, and consecutive failures at the account slow them down.
///
/// The limits do not depend on whether the account exists.
#[doc(hidden)]
#[derive(Debug)]
pub struct LoginLimits {
    local: Local,
    stores: Option<LimitStores>,
    clock: Arc<dyn Clock>,
    lookups: Semaphore,
    lookups_within_limit: Semaphore,
    strangers: Semaphore,
    sessions: Semaphore,
    logins: Counters<Login>,
}

impl LoginLimits {
    /// Creates in-memory limits with these rates. Returns `None` if a rate is too high to be counted.
    #[must_use]
    pub fn new(rates: LoginRates, clock: Arc<dyn Clock>) -> Option<Self> {
        Some(Self {
            local: Local::new(rates)?,
            stores: None,
            clock,
            lookups: Semaphore::const_new(LOOKUPS),
            lookups_within_limit: Semaphore::const_new(LOOKUPS_WITHIN_LIMIT),
            strangers: Semaphore::const_new(STRANGERS),
            sessions: Semaphore::const_new(SESSIONS),
            logins: Counters::default(),
        })
    }

    /// Attaches the stores and resumes the counts that they kept.
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

    /// Counts a login attempt at `account`, whether or not the account exists.
    ///
    /// # Errors
    /// [`NotAdmitted`]: the login must not be tried now.
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

    /// Checks the address first, so an address over its limit cannot slow an account down. An owner who turns out to be
    /// known there gets the address's count back.
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
        let (is_owner, admitted) = match self.learn(&at, counted).await {
            Ok(true) => (true, self.admit_owner(at, network).await),
            Ok(false) => match counted {
                Ok(()) => (
                    false,
                    self.admit_stranger(at.account, Some((at, network))).await,
                ),
                Err(too_many) => (false, Err(too_many.into())),
            },
            Err(cause) => (false, Err(cause)),
        };
        if counted.is_ok() && (is_owner || is_undecided(&admitted)) {
            self.local.give_back_address(network, now);
        }
        admitted
    }

    async fn admit_owner(&self, at: Whereabouts, network: IpAddr) -> Result<Attempt, NotAdmitted> {
        let now = self.clock.uptime();
        self.local.count_owner(&at, now)?;
        let admitted = self.count(By::Owner(at, network)).await;
        if is_undecided(&admitted) {
            self.local.give_back_owner(&at, now);
        }
        admitted
    }

    async fn admit_stranger(
        &self,
        account: Digest,
        from: Option<(Whereabouts, IpAddr)>,
    ) -> Result<Attempt, NotAdmitted> {
        self.count_failure(account, self.clock.uptime())?;
        self.count(By::Stranger(account, from)).await
    }

    /// Counts an attempt by the holder of a session, such as a password change. Session attempts have a limit of their
    /// own, which nobody without a session can use up.
    ///
    /// # Errors
    /// [`NotAdmitted`]: the attempt must not be made now.
    pub async fn admit_session(&self, user: UserId) -> Result<Attempt, NotAdmitted> {
        let user = sessions_digest(&user.to_string());
        self.count_failure(user, self.clock.uptime())?;
        self.count(By::Session(user)).await
    }

    /// Counts a failure locally. With a shared store, only checks whether that store refused the account a moment ago:
    /// a flood at one node then does not reach the shared counters.
    fn count_failure(&self, account: Digest, now: Duration) -> Result<(), TooMany> {
        if self.is_shared() {
            self.local.refused(&account, now)
        } else {
            self.local.count_account(account, now)
        }
    }

    async fn count(&self, by: By) -> Result<Attempt, NotAdmitted> {
        let Some(shared) = self.shared(&by) else {
            return Ok(Attempt(by));
        };
        let places = match by {
            By::Owner(..) => None,
            By::Session(_) => Some(&self.sessions),
            By::Stranger(..) => Some(&self.strangers),
        };
        let place = places.map(Semaphore::try_acquire).transpose();
        let _place = place.map_err(|_| NotAdmitted::Busy)?;
        if let Some(too_many) = shared.count(&self.counted(&by)).await? {
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

    /// Returns what the shared store counts for such an attempt.
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

    /// Asks the store whether the account's owner is known from that network. Attempts from an address over its limit
    /// are looked up too, because owners may be behind it, but fewer of them at the same time.
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

    /// Reports that an attempt succeeded. The attempt no longer counts. If it came from an unknown network or a
    /// session, the failures before it are forgotten too. The network of a login becomes a known network.
    ///
    /// If the store cannot record the network, a warning is logged and the owner has no limit of their own there. The
    /// login succeeds all the same.
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
            tracing::warn!(cause = %report(&cause), "a login that succeeded is counted as a failure");
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
            tracing::warn!(cause = %report(&cause), "the network of a login could not be stored");
        }
    }

    /// Writes the failures that changed, in small batches, so that other writes can run in between.
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

    /// Gives back an attempt that was admitted and not made.
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
            tracing::debug!(cause = %report(&cause), "an attempt that was not made is counted as a failure");
        }
    }

    /// Drops entries whose limits have fully recovered, and stores the accounts' failures, so that they survive a
    /// restart. Call it regularly and before the process ends: nothing else keeps the memory and the tables small.
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
                tracing::warn!(cause = %report(&cause), "login limits could not be stored, or expired ones not removed");
            }
        }
    }
}

/// Whether nothing refused the attempt, and it cannot be made all the same.
const fn is_undecided(admitted: &Result<Attempt, NotAdmitted>) -> bool {
    matches!(admitted, Err(NotAdmitted::Busy | NotAdmitted::Store(_)))
}

/// The digests by which stores know an account and a network.
pub(crate) fn whereabouts(account: &str, address: IpAddr) -> Whereabouts {
    Whereabouts::of(account, network(address))
}

/// Returns the network of one subscriber: an IPv4 address, or the /64 of an IPv6 address.
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
