//! Users, who may log in, and clients.

pub mod client;
pub mod client_limits;
pub mod limits;
pub mod password;
mod username;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::id::{Lineage, UserId};
use crate::inventory::{Entered, Raise};
use crate::revocation::Reason;
use crate::revocation::log::StoreError;
use crate::time::Timestamp;
use password::PasswordHash;
pub use username::Username;

/// A user as the store has it.
#[derive(Clone, Debug)]
pub struct User {
    /// The user's identity.
    pub id: UserId,
    /// The name to log in with.
    pub username: Username,
    /// Whether the user may log in.
    pub enabled: bool,
    /// When the user was added.
    pub created_at: Timestamp,
    /// Until when the user must have changed the initial password: it is dead from then on. None once it was
    /// changed, and for a user whose first password lasts.
    pub password_change_required_by: Option<Timestamp>,
}

/// For how long an initial password is good: one that the service made and showed once (OWASP ASVS 5.0, 6.4.1).
pub const INITIAL_PASSWORD_LIFETIME: Duration = Duration::from_secs(3600);

/// What a login reads before it checks a password, in one look at the store.
#[derive(Clone, Debug)]
pub struct LoginStart {
    /// The user of that name, if there is one.
    pub user: Option<LoginUser>,
    /// The first lineage time, in milliseconds, that no cut-off of this user or of everything ends.
    pub first_lineage: i64,
    /// Changes with every cut-off of everything.
    pub everything_version: i64,
}

/// A user who is trying to log in.
#[derive(Clone, Debug)]
pub struct LoginUser {
    /// The user's identity.
    pub id: UserId,
    /// The name to log in with.
    pub username: Username,
    /// What the password is checked against.
    pub password_hash: PasswordHash,
    /// Whether the user may log in.
    pub enabled: bool,
    /// Until when the user must have changed the initial password: it is dead from then on. None once it was
    /// changed, and for a user whose first password lasts.
    pub password_change_required_by: Option<Timestamp>,
    /// Changes with every change of the password or of `enabled`, and with every cut-off.
    pub version: i64,
}

/// A login whose password was right, to be written. It loses to whatever changed the user since it
/// began.
#[derive(Clone, Debug)]
pub struct BeginSession {
    /// Who.
    pub user: UserId,
    /// The user's version when the login began.
    pub version: i64,
    /// The version of everything when the login began.
    pub everything_version: i64,
    /// The new session.
    pub session: Entered,
}

/// Why a user was not added.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddUserError {
    /// There is one of that name.
    #[error("there is a user of that name already")]
    Taken,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is changed about a user. Each of them ends the user's sessions, in the same transaction.
#[derive(Clone, Debug)]
pub enum UserChange {
    /// A new password.
    Password(PasswordHash),
    /// A new password that the user must change.
    InitialPassword {
        /// Its hash.
        hash: PasswordHash,
        /// The time from which it does not work.
        change_required_by: Timestamp,
    },
    /// May not log in any more.
    Disable,
    /// Is gone.
    Delete,
    /// Nothing but that all sessions end, but for one that is spared.
    EndSessions {
        /// The session that goes on.
        spared: Option<Lineage>,
        /// Why.
        reason: Reason,
    },
}

/// A new password that the user chose, in a session that goes on under a new session ID. It loses to whatever
/// changed the user since the old password was read.
#[derive(Clone, Debug)]
pub struct OwnPassword {
    /// Who.
    pub user: UserId,
    /// The new one.
    pub hash: PasswordHash,
    /// The user's version when the old one was read.
    pub version: i64,
    /// The session that goes on.
    pub session: Raise,
    /// Where the user is: all other networks that the user was let in from are forgotten.
    pub network: Option<limits::Digest>,
}

/// What became of a user's own change of the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnPasswordChange {
    /// It is written, with every entry of the log up to `seq`.
    Done {
        /// The last of its entries.
        seq: i64,
        /// The generation of the session that goes on. Every earlier one is dead.
        generation: u32,
    },
    /// The user was changed after the old password was read. Nothing is written.
    Lost,
    /// The session is over, or the generation that was presented is. Nothing is written.
    SessionOver,
}

/// What the durable store of users can do.
#[async_trait]
pub trait Accounts: Send + Sync + fmt::Debug {
    /// All users, by name.
    async fn users(&self) -> Result<Vec<User>, StoreError>;

    /// The user of that name.
    async fn user(&self, name: &Username) -> Result<Option<User>, StoreError>;

    /// Adds an enabled user.
    async fn add_user(&self, user: &User, password: &PasswordHash) -> Result<(), AddUserError>;

    /// Changes a user and ends the sessions: every one that began before, none that begins after.
    /// Gives the revocation's `seq`, or none if there is no such user, or it lost.
    async fn change_user(
        &self,
        user: UserId,
        change: UserChange,
        at: Timestamp,
    ) -> Result<Option<i64>, StoreError>;

    /// Sets the user's own new password, ends the user's other sessions, and gives the session that goes on its
    /// next generation without a grace, all in one transaction.
    async fn change_own_password(
        &self,
        change: OwnPassword,
    ) -> Result<OwnPasswordChange, StoreError>;

    /// Lets a user log in again. False if there is no such user.
    async fn enable_user(&self, user: UserId) -> Result<bool, StoreError>;

    /// The user of that identity, with what a password is checked against.
    async fn login_user(&self, user: UserId) -> Result<Option<LoginUser>, StoreError>;

    /// Looks at everything that a login must know before it reads the credentials.
    async fn start_login(&self, name: &Username) -> Result<LoginStart, StoreError>;

    /// Writes that a session begins. False if the user or everything changed since the login began:
    /// the login has lost.
    async fn begin_session(&self, begin: BeginSession) -> Result<bool, StoreError>;

    /// Puts a better hash of the same password in the place of `old`.
    async fn upgrade_hash(
        &self,
        user: UserId,
        old: &PasswordHash,
        new: &PasswordHash,
    ) -> Result<(), StoreError>;
}
