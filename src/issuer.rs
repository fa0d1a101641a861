//! Login, renewal and logout: the service that signs.

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
use crate::session;
use crate::time::{Clock, Timestamp};
use crate::verifier::VerifiedClaims;
use pages::Pages;

/// A new session and its token.
#[derive(Clone)]
pub struct Issued {
    /// The signed text. A secret.
    pub token: String,
    /// What it says.
    pub claims: Claims,
}

/// A session that a login began.
#[derive(Clone)]
pub struct LoggedIn {
    /// The session and its token.
    pub issued: Issued,
    /// Until when the user must change the initial password, if it is one.
    pub password_change_required_by: Option<Timestamp>,
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// No such user, disabled, a wrong password, or a login that lost to a cut-off: one answer for all.
    #[error("the username or the password is wrong")]
    Refused,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The password could not be checked.
    #[error(transparent)]
    Hashing(#[from] HashingFailed),
    /// There is no token for the session.
    #[error(transparent)]
    Signing(#[from] SignError),
}

impl LoginError {
    /// Whether the password was not looked at, because too many wait.
    #[must_use]
    pub const fn is_busy(&self) -> bool {
        matches!(self, Self::Hashing(HashingFailed::Busy))
    }
}

/// Why a logout is not certain. Nothing is lost: the token still works, and the caller can try again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogoutError {
    /// It could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is written, and this node could not read it back.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// It is written, and nobody knows which other nodes have it.
    #[error("it is written as seq {seq}, and which nodes have it cannot be known: {cause}")]
    Fence {
        /// The revocation.
        seq: i64,
        /// Why.
        cause: StoreError,
    },
}

/// Which sessions a logout ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogoutReach {
    /// This one.
    #[default]
    This,
    /// All of the user's but this one.
    Others,
    /// All of the user's.
    All,
}

/// What an [`Issuer`] is made of.
#[derive(Debug)]
pub struct IssuerParts {
    /// Who may log in.
    pub accounts: Arc<dyn Accounts>,
    /// Which services have credentials.
    pub clients: Arc<dyn Clients>,
    /// Checks passwords.
    pub hasher: Hasher,
    /// Where revocations last.
    pub log: Arc<dyn RevocationLog>,
    /// Brings them into the list.
    pub follower: Arc<Follower>,
    /// Waits for the other nodes, where logouts are fenced.
    pub fence: Option<Fence>,
    /// The list.
    pub list: Arc<RevocationList>,
    /// Which sessions there are.
    pub inventory: Arc<dyn Inventory>,
    /// Signs.
    pub keyring: Arc<SharedKeyring>,
    /// What tokens are written in.
    pub format: Format,
    /// The rules.
    pub policy: Policy,
    /// How long a client's token is good.
    pub client_token_lifetime: Duration,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The randomness.
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

/// How long the log's head is waited for when it is measured.
const HEAD_TIMEOUT: Duration = Duration::from_secs(1);

impl Issuer {
    /// An issuer of these parts.
    #[must_use]
    pub fn new(parts: IssuerParts) -> Self {
        Self {
            parts,
            pages: Pages::default(),
            meters: IssuerMetrics::default(),
        }
    }

    /// The time that the issuer goes by: the latest that its clock has shown.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let parts = &self.parts;
        parts
            .list
            .observe(parts.clock.now(), parts.policy.timeouts().leeway)
    }

    /// Begins a session. Unknown and disabled users, wrong passwords and initial passwords that are dead take the
    /// same work and get the same answer. A login that races a cut-off, a disabling or a new password loses. White space around
    /// the username is ignored.
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

    /// As [`login`](Self::login), with the class in which the password waits to be checked.
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
            Ok(_) => begun.ended(Login::LetIn),
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
        // The time comes before what is read: a cut-off in between is then never before the lineage.
        let now = self.now();
        let start = parts.accounts.start_login(&name).await?;
        // Whoever may not log in is nobody: a right password must not be found sooner than a wrong one.
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

    /// Measures how the log, the signing key and the hashing of passwords are, for a recorder of the crate
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
        // A store that hangs must not take the other metrics along.
        let read = tokio::time::timeout(HEAD_TIMEOUT, parts.log.read(0, 0)).await;
        let head = read
            .ok()
            .and_then(Result::ok)
            .map(|page| page.head.cursor.seq);
        issuing.head.set(head.map_or(f64::NAN, |seq| seq as f64));
    }

    /// A user's sessions that may be alive, the newest first. One that was idle for too long is left out
    /// as soon as its renewal is overdue by so much, not before: touching writes nothing.
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
        // The idle timeout may be another one now than when its tokens were signed.
        let idle_end = session.idle_end.max(session.renew_at.plus(timeouts.idle));
        let end = session.session_expiry.min(idle_end).plus(timeouts.leeway);
        self.now() < end && !parts.list.session_over(session.lineage, user)
    }

    /// Ends one session of a user. False if the user has no such session that may be alive.
    ///
    /// # Errors
    /// [`LogoutError`]: nothing is certain, try again.
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

    /// Ends a session because its user has logged in again in its place.
    ///
    /// # Errors
    /// [`LogoutError`]: nothing is certain, try again.
    pub async fn replace(&self, session: &VerifiedClaims) -> Result<(), LogoutError> {
        let claims = session.claims();
        let lineage = claims.session_id.lineage;
        self.end(lineage, claims.session_expiry, Reason::LoggedInAgain)
            .await
            .map(drop)
    }

    /// Ends one session for good, on disk and in the list.
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

    /// Applies what was written as `seq` here and, where logouts are fenced, waits for the other nodes.
    async fn settle(&self, seq: i64) -> Result<Option<Fenced>, LogoutError> {
        let parts = &self.parts;
        let committed = parts.clock.uptime();
        parts.follower.catch_up().await?;
        if parts.list.applied() < seq {
            // It was read at a server that has less than the one that it was written to.
            return Err(FollowError::Broken(Broken(seq)).into());
        }
        let Some(fence) = &parts.fence else {
            return Ok(None);
        };
        let fenced = fence.wait(seq, committed).await;
        let fenced = fenced.map_err(|cause| LogoutError::Fence { seq, cause })?;
        if !fenced.outlasted.is_empty() {
            tracing::warn!(seq, nodes = ?fenced.outlasted, "nodes did not acknowledge a logout before their lease expired");
        }
        Ok(Some(fenced))
    }

    /// Waits, where logouts are fenced, until no other node accepts what is revoked here already.
    ///
    /// # Errors
    /// [`LogoutError`]: nothing is certain of the other nodes, try again.
    pub async fn settle_known(&self) -> Result<(), LogoutError> {
        let parts = &self.parts;
        parts.follower.catch_up().await?;
        self.settle(parts.list.applied()).await.map(drop)
    }

    /// Ends sessions. When it answers `Ok`, the revocation is on disk and this node refuses them; where logouts
    /// are fenced no other node accepts them any more, and it says for whom it waited.
    ///
    /// # Errors
    /// [`LogoutError`]: nothing is certain, try again.
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
                    // The store has no such user, and it must not be left at that: the token is good.
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
