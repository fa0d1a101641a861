//! The issuer: the service that signs tokens, for login, renewal and logout.

pub mod assertion;
pub mod clients;
pub mod feed;
mod own_password;
mod pages;
mod renewal;
mod sign_up;
mod signing;
mod turns;

pub use own_password::PasswordError;
pub use renewal::{Exchanged, RenewError};
pub use sign_up::SignUpError;
pub use signing::SignError;

use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument;

use crate::account::client::Clients;
use crate::account::password::{Checked, Class, Hasher, HashingFailed, Password};
use crate::account::{Accounts, BeginSession, UserChange, Username};
use crate::claims::Claims;
use crate::id::{KeyId, Lineage, UserId};
use crate::inventory::{Entered, Inventory, LoginOrigin};
use crate::key::Format;
use crate::keyring::SharedKeyring;
use crate::meters::{
    ClientAuthentication, ClientTokens, Counters, Exchange, FeedPages, Issuing, Login,
};
use crate::policy::Policy;
use crate::random::Random;
use crate::revocation::fence::{Fence, Fenced};
use crate::revocation::follower::{FollowError, Follower};
use crate::revocation::list::RevocationList;
use crate::revocation::log::{RevocationLog, Revoke, StoreError};
use crate::revocation::reading::Broken;
use crate::revocation::{Reason, session_revocation_expiry};
use crate::schedule;
use crate::session::{self, LoginMethods};
use crate::time::{Clock, Timestamp};
use crate::verifier::VerifiedClaims;
use pages::Pages;

/// A signed token and its claims.
#[derive(Clone)]
pub struct Issued {
    /// The signed text, which is a secret.
    pub token: String,
    /// The token's claims.
    pub claims: Claims,
}

/// The session that a login began.
#[derive(Clone)]
pub struct LoggedIn {
    /// The session's first token.
    pub issued: Issued,
    /// The deadline for changing the initial password, if the password is one.
    pub password_change_required_by: Option<Timestamp>,
}

/// The reason why a login failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// Unknown user, disabled user, wrong password, or a login that lost to a cut-off. All get the same answer.
    #[error("the username or the password is wrong")]
    Refused,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The password could not be checked.
    #[error(transparent)]
    Hashing(#[from] HashingFailed),
    /// The token could not be signed.
    #[error(transparent)]
    Signing(#[from] SignError),
}

impl LoginError {
    /// Returns whether the password was not checked because the queue is full.
    #[must_use]
    pub const fn is_busy(&self) -> bool {
        matches!(self, Self::Hashing(HashingFailed::Busy))
    }
}

/// The reason why a logout is not certain. The token may still be valid, and the caller can try again with it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogoutError {
    /// The revocation could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The revocation is written, and this node could not read it back.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// The revocation is written, and it is unknown which other nodes have applied it.
    #[error("it is written as seq {seq}, and which nodes have it cannot be known")]
    Fence {
        /// The revocation's `seq`.
        seq: i64,
        /// The store error.
        #[source]
        cause: StoreError,
    },
}

/// The sessions that a logout ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogoutReach {
    /// Only the current session.
    #[default]
    This,
    /// All other sessions of the user.
    Others,
    /// All sessions of the user.
    All,
}

/// The parts of an [`Issuer`].
#[derive(Debug)]
pub struct IssuerParts {
    /// The store of users.
    pub accounts: Arc<dyn Accounts>,
    /// The store of clients.
    pub clients: Arc<dyn Clients>,
    /// The checker of passwords.
    pub hasher: Hasher,
    /// The durable log of revocations.
    pub log: Arc<dyn RevocationLog>,
    /// The follower that applies the log to the list.
    pub follower: Arc<Follower>,
    /// The fence that waits for the other nodes. `None` if logouts are not fenced.
    pub fence: Option<Fence>,
    /// The revocations in memory.
    pub list: Arc<RevocationList>,
    /// The inventory of sessions.
    pub inventory: Arc<dyn Inventory>,
    /// The signing keys.
    pub keyring: Arc<SharedKeyring>,
    /// The format of new tokens.
    pub format: Format,
    /// The issuer, the audience and the timeouts.
    pub policy: Policy,
    /// The lifetime of a client token.
    pub client_token_lifetime: Duration,
    /// The source of time.
    pub clock: Arc<dyn Clock>,
    /// The source of randomness.
    pub random: Arc<dyn Random>,
}

/// Begins and ends sessions.
#[derive(Debug)]
pub struct Issuer {
    parts: IssuerParts,
    pages: Pages,
    meters: IssuerMetrics,
}

#[derive(Debug, Default)]
struct IssuerMetrics {
    logins: Counters<Login>,
    exchanges: Counters<Exchange>,
    client_authentications: Counters<ClientAuthentication>,
    client_tokens: Counters<ClientTokens>,
    feed_pages: Counters<FeedPages>,
    issuing: Issuing,
}

/// The timeout for reading the log's head for metrics.
const HEAD_TIMEOUT: Duration = Duration::from_secs(1);

impl Issuer {
    /// Creates an issuer from its parts.
    #[must_use]
    pub fn new(parts: IssuerParts) -> Self {
        Self {
            parts,
            pages: Pages::default(),
            meters: IssuerMetrics::default(),
        }
    }

    /// Returns the time that the issuer uses: the latest that its clock has shown. See [`RevocationList::observe`].
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let parts = &self.parts;
        parts
            .list
            .observe(parts.clock.now(), parts.policy.timeouts().leeway)
    }

    /// Begins a session. White space around the username is ignored.
    ///
    /// Unknown users, disabled users, wrong passwords and expired initial passwords cost the same work and get the same
    /// answer. A login that races a cut-off, a disabling or a password change loses.
    ///
    /// # Errors
    /// [`LoginError`].
    pub async fn login(
        &self,
        username: &str,
        password: Password,
        origin: LoginOrigin,
    ) -> Result<LoggedIn, LoginError> {
        self.login_in(Class::Shared, username, password, origin)
            .await
    }

    /// Like [`login`](Self::login), with the class in which the password waits to be checked.
    ///
    /// # Errors
    /// [`LoginError`].
    pub async fn login_in(
        &self,
        class: Class,
        username: &str,
        password: Password,
        origin: LoginOrigin,
    ) -> Result<LoggedIn, LoginError> {
        let begun = self.meters.logins.begun(Login::Failed);
        let login = self.begin(class, username, password, origin);
        let login = login.instrument(tracing::debug_span!("login")).await;
        match &login {
            Ok(_) => begun.ended(Login::Success),
            Err(LoginError::Refused) => begun.ended(Login::Refused),
            Err(_) => {}
        }
        login
    }

    async fn begin(
        &self,
        class: Class,
        username: &str,
        password: Password,
        origin: LoginOrigin,
    ) -> Result<LoggedIn, LoginError> {
        let parts = &self.parts;
        parts.follower.may_add()?;
        let name = Username::typed(username).unwrap_or_else(|_| Username::nobody());
        // The time is taken before the store is read, so a cut-off in between never precedes the lineage.
        let now = self.now();
        let start = parts.accounts.start_login(&name).await?;
        // A user who may not log in is treated as unknown: a right password must not answer sooner than a wrong one.
        let user = start.user.filter(|user| user.enabled);
        let user = user.filter(|user| self.password_lives(user));
        let hash = user.as_ref().map(|user| user.password_hash.clone());
        let checked = parts.hasher.check_in(class, password, hash).await?;
        let user = user.ok_or(LoginError::Refused)?;
        match checked {
            Checked::Wrong => return Err(LoginError::Refused),
            Checked::Right => {}
            Checked::RightUpgraded(better) => {
                parts
                    .accounts
                    .upgrade_hash(user.id, &user.password_hash, &better)
                    .await?;
            }
        }
        let past_horizon = parts.list.horizon().plus(Duration::from_millis(1));
        let lineage_time = now
            .max(Timestamp::from_millis(start.first_lineage))
            .max(past_horizon);
        let lineage = Lineage::new(lineage_time, &*parts.random);
        let claims = session::begin(&parts.policy, user.id, lineage, now, &*parts.random);
        let begin = BeginSession {
            user: user.id,
            version: user.version,
            everything_version: start.everything_version,
            session: Entered {
                lineage,
                auth_time: claims.auth_time,
                session_expiry: claims.session_expiry,
                renew_at: claims.renew_at,
                idle_end: session::idle_end(
                    parts.policy.timeouts(),
                    claims.renew_at,
                    claims.session_expiry,
                ),
                methods: LoginMethods::password(),
                origin,
            },
        };
        let issued = self.sign(claims, now)?;
        if !parts.accounts.begin_session(begin).await? {
            return Err(LoginError::Refused);
        }
        parts.list.note_lineage(lineage_time);
        Ok(LoggedIn {
            issued,
            password_change_required_by: user.password_change_required_by,
        })
    }

    /// Updates the gauges of the log's head, the signing key and the hashing queue, for a recorder of the crate
    /// `metrics`. Call it when the metrics are read.
    pub async fn measure(&self) {
        let (parts, issuing) = (&self.parts, &self.meters.issuing);
        parts.hasher.measure();
        let now = parts.clock.now();
        let seconds = |from: Timestamp, to: Timestamp| (to.millis() - from.millis()) as f64 / 1e3;
        let keyring = parts.keyring.load_full();
        let revoked = |kid: &KeyId| parts.list.key_revoked(kid);
        let signer = schedule::signer(keyring.plan(), parts.format, now, revoked);
        let since = signer.map(|signer| signer.times.signs_from.unwrap_or(now));
        let until = signer.map_or(Timestamp::NEVER, |signer| signer.times.signs_until);
        issuing
            .key_age
            .set(since.map_or(f64::NAN, |since| seconds(since, now)));
        issuing.rotation.set(match until {
            Timestamp::NEVER => f64::INFINITY,
            until => seconds(now, until),
        });
        let signs = if signer.is_some() { 1.0 } else { 0.0 };
        issuing.signs.set(signs);
        // A store that hangs must not block the other metrics.
        let read = tokio::time::timeout(HEAD_TIMEOUT, parts.log.read(0, 0)).await;
        let head = read
            .ok()
            .and_then(Result::ok)
            .map(|page| page.head.cursor.seq);
        issuing.head.set(head.map_or(f64::NAN, |seq| seq as f64));
    }

    /// Returns a user's sessions that may be alive, newest first. A session that was idle for too long is listed until
    /// its renewal is overdue by the idle timeout, because touching writes nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sessions(&self, user: UserId) -> Result<Vec<Entered>, StoreError> {
        let parts = &self.parts;
        let since = self.now().minus(parts.policy.timeouts().leeway);
        let mut sessions = parts.inventory.sessions(user, since).await?;
        sessions.retain(|session| self.may_live(user, session));
        Ok(sessions)
    }

    fn may_live(&self, user: UserId, session: &Entered) -> bool {
        let parts = &self.parts;
        let timeouts = parts.policy.timeouts();
        // The idle timeout may have changed since the session's tokens were signed.
        let idle_end = session.idle_end.max(session.renew_at.plus(timeouts.idle));
        let end = session.session_expiry.min(idle_end).plus(timeouts.leeway);
        self.now() < end && !parts.list.session_over(session.lineage, user)
    }

    /// Ends one session of a user. Returns `false` if the user has no such session that may be alive.
    ///
    /// # Errors
    /// [`LogoutError`]: the outcome is uncertain, try again.
    pub async fn end_session(&self, user: UserId, lineage: Lineage) -> Result<bool, LogoutError> {
        let parts = &self.parts;
        let known = parts.inventory.session(user, lineage).await?;
        let Some(session) = known.filter(|session| self.may_live(user, session)) else {
            return Ok(false);
        };
        self.end(lineage, session.session_expiry, Reason::Logout)
            .await?;
        Ok(true)
    }

    /// Ends a session that a new login of its user replaces.
    ///
    /// # Errors
    /// [`LogoutError`]: the outcome is uncertain, try again.
    pub async fn replace(&self, session: &VerifiedClaims) -> Result<(), LogoutError> {
        let claims = session.claims();
        let lineage = claims.session_id.lineage;
        self.end(lineage, claims.session_expiry, Reason::LoggedInAgain)
            .await
            .map(drop)
    }

    /// Ends one session permanently, on disk and in the list.
    async fn end(
        &self,
        lineage: Lineage,
        session_expiry: Timestamp,
        reason: Reason,
    ) -> Result<Option<Fenced>, LogoutError> {
        let parts = &self.parts;
        let what = Revoke::Session(lineage, session_revocation_expiry(session_expiry));
        let seq = parts.log.revoke(what, reason, self.now()).await?;
        self.settle(seq).await
    }

    /// Applies the log up to `seq` on this node and, with fenced logout, waits for the other nodes.
    async fn settle(&self, seq: i64) -> Result<Option<Fenced>, LogoutError> {
        let parts = &self.parts;
        let committed = parts.clock.uptime();
        parts.follower.catch_up().await?;
        if parts.list.applied() < seq {
            // The entry was read at a server that is behind the one it was written to.
            return Err(FollowError::Broken(Broken(seq)).into());
        }
        let Some(fence) = &parts.fence else {
            return Ok(None);
        };
        let fenced = fence.wait(seq, committed).await;
        let fenced = fenced.map_err(|cause| LogoutError::Fence { seq, cause })?;
        if !fenced.expired_leases.is_empty() {
            tracing::warn!(seq, nodes = ?fenced.expired_leases, "nodes did not acknowledge a logout before their lease expired");
        }
        Ok(Some(fenced))
    }

    /// With fenced logout, waits until no other node accepts what this node has revoked already.
    ///
    /// # Errors
    /// [`LogoutError`]: the state of the other nodes is uncertain, try again.
    pub async fn settle_known(&self) -> Result<(), LogoutError> {
        let parts = &self.parts;
        parts.follower.catch_up().await?;
        self.settle(parts.list.applied()).await.map(drop)
    }

    /// Ends sessions. On `Ok`, the revocation is on disk and this node refuses the sessions. With fenced logout, no
    /// other node accepts them either, and the value says which nodes it waited for.
    ///
    /// # Errors
    /// [`LogoutError`]: the outcome is uncertain, try again.
    pub async fn logout(
        &self,
        session: &VerifiedClaims,
        scope: LogoutReach,
    ) -> Result<Option<Fenced>, LogoutError> {
        let parts = &self.parts;
        let (claims, at) = (session.claims(), self.now());
        let lineage = claims.session_id.lineage;
        match scope {
            LogoutReach::This => {
                self.end(lineage, claims.session_expiry, Reason::Logout)
                    .await
            }
            LogoutReach::Others | LogoutReach::All => {
                let spared = (scope == LogoutReach::Others).then_some(lineage);
                let change = UserChange::EndSessions {
                    spared,
                    reason: Reason::Logout,
                };
                let changed = parts
                    .accounts
                    .change_user(claims.subject, change, at)
                    .await?;
                let seq = match changed {
                    Some(seq) => seq,
                    // The store has no such user, but the token is valid, so the revocation is written all the same.
                    None => {
                        let what = Revoke::User(claims.subject);
                        parts.log.revoke(what, Reason::Logout, at).await?
                    }
                };
                self.settle(seq).await
            }
        }
    }
}
