//! Users, logins and clients.

pub mod client;
#[doc(hidden)]
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

/// A user as stored.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct User {
    /// The user's identity.
    pub id: UserId,
    /// The username.
    pub username: Username,
    /// Whether the user may log in.
    pub enabled: bool,
    /// When the user was added.
    pub created_at: Timestamp,
    /// The deadline for changing the initial password, which is invalid from then on. `None` once it is changed, and
    /// for a user whose first password does not expire.
    pub password_change_required_by: Option<Timestamp>,
}

impl User {
    /// A user who may log in, with a password that does not expire.
    #[must_use]
    pub const fn new(id: UserId, username: Username, created_at: Timestamp) -> Self {
        Self {
            id,
            username,
            enabled: true,
            created_at,
            password_change_required_by: None,
        }
    }
}

/// The lifetime of an initial password: one that the service generated and showed once (OWASP ASVS 5.0, 6.4.1).
pub const INITIAL_PASSWORD_LIFETIME: Duration = Duration::from_secs(3600);

/// Everything that a login needs before it checks a password, from one read of the store.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct LoginStart {
    /// The user with that name, if there is one.
    pub user: Option<LoginUser>,
    /// The earliest lineage time, in milliseconds, that no cut-off of this user or of everything ends.
    pub first_lineage: i64,
    /// Changes with every cut-off of everything.
    pub everything_version: i64,
}

/// A user who is logging in.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct LoginUser {
    /// The user's identity.
    pub id: UserId,
    /// The username.
    pub username: Username,
    /// The hash of the current password.
    pub password_hash: PasswordHash,
    /// Whether the user may log in.
    pub enabled: bool,
    /// The deadline for changing the initial password, which is invalid from then on. `None` once it is changed, and
    /// for a user whose first password does not expire.
    pub password_change_required_by: Option<Timestamp>,
    /// Changes with every change of the password or of `enabled`, and with every cut-off.
    pub version: i64,
}

/// A session to store, after the password was verified. The login loses to any change of the user since it began.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct BeginSession {
    /// The user who logs in.
    pub user: UserId,
    /// The user's version when the login began.
    pub version: i64,
    /// The version of everything when the login began.
    pub everything_version: i64,
    /// The new session.
    pub session: Entered,
}

/// The reason why a user was not added.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddUserError {
    /// A user with that name exists.
    #[error("there is a user of that name already")]
    Taken,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A change to a user. Every variant ends the user's sessions in the same transaction.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum UserChange {
    /// Sets a new password.
    Password(PasswordHash),
    /// Sets a new password that the user must change.
    InitialPassword {
        /// The password's hash.
        hash: PasswordHash,
        /// The time from which the password is invalid.
        change_required_by: Timestamp,
    },
    /// Stops the user from logging in.
    Disable,
    /// Deletes the user.
    Delete,
    /// Ends all sessions except the spared one, and changes nothing else.
    EndSessions {
        /// The session that continues.
        spared: Option<Lineage>,
        /// The reason for the revocation.
        reason: Reason,
    },
}

/// A new password that the user chose, in a session that continues under a new session ID. The change loses to any
/// change of the user since the old password was read.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct OwnPassword {
    /// The user.
    pub user: UserId,
    /// The new password's hash.
    pub hash: PasswordHash,
    /// The user's version when the old password was read.
    pub version: i64,
    /// The session that continues.
    pub session: Raise,
    /// The user's current network. All other known networks of the account are forgotten.
    pub network: Option<limits::Digest>,
}

/// The outcome of a user's own password change.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnPasswordChange {
    /// The change is stored, with every log entry up to `seq`.
    Done {
        /// The change's last log entry.
        seq: i64,
        /// The generation of the session that continues. Every earlier generation is revoked.
        generation: u32,
    },
    /// The user changed after the old password was read. Nothing is stored.
    Lost,
    /// The session or the presented generation has ended. Nothing is stored.
    SessionOver,
}

/// The durable store of users.
#[async_trait]
pub trait Accounts: Send + Sync + fmt::Debug {
    /// Returns all users, ordered by name.
    async fn users(&self) -> Result<Vec<User>, StoreError>;

    /// Returns the user with that name.
    async fn user(&self, name: &Username) -> Result<Option<User>, StoreError>;

    /// Adds an enabled user.
    async fn add_user(&self, user: &User, password: &PasswordHash) -> Result<(), AddUserError>;

    /// Changes a user and ends every session that began before the change. Sessions that begin later are unaffected.
    ///
    /// Returns the log's `seq` by which these sessions have ended, or `None` if the user does not exist.
    async fn change_user(
        &self,
        user: UserId,
        change: UserChange,
        at: Timestamp,
    ) -> Result<Option<i64>, StoreError>;

    /// Sets the user's own new password, ends the user's other sessions, and raises the current session to its next
    /// generation without a grace, all in one transaction.
    #[doc(hidden)]
    async fn change_own_password(
        &self,
        change: OwnPassword,
    ) -> Result<OwnPasswordChange, StoreError>;

    /// Lets a user log in again. Returns `false` if the user does not exist.
    async fn enable_user(&self, user: UserId) -> Result<bool, StoreError>;

    /// Returns the user with that ID, with the password hash.
    #[doc(hidden)]
    async fn login_user(&self, user: UserId) -> Result<Option<LoginUser>, StoreError>;

    /// Reads everything that a login needs before it checks the credentials.
    #[doc(hidden)]
    async fn start_login(&self, name: &Username) -> Result<LoginStart, StoreError>;

    /// Stores a new session. Returns `false` if the user or everything changed since the login began: the login has
    /// lost.
    #[doc(hidden)]
    async fn begin_session(&self, begin: BeginSession) -> Result<bool, StoreError>;

    /// Replaces the hash `old` with a stronger hash of the same password, unless the password has changed.
    #[doc(hidden)]
    async fn upgrade_hash(
        &self,
        user: UserId,
        old: &PasswordHash,
        new: &PasswordHash,
    ) -> Result<(), StoreError>;
}
