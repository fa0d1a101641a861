//! Sign-up of users.

use std::fmt;
use std::time::Duration;

use secrecy::SecretString;

use super::Issuer;
use crate::account::password::{BadPassword, Class, HashingFailed};
use crate::account::{AddUserError, INITIAL_PASSWORD_LIFETIME, User, Username};
use crate::id::UserId;
use crate::report::report;
use crate::revocation::log::StoreError;

/// The reason why a user was not added.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum SignUpError {
    /// The text cannot be a username: see [`Username`].
    #[error("a username has 1 to 64 characters of a-z, 0-9 and . _ - @ +")]
    Username,
    /// The password breaks a rule for new passwords.
    #[error(transparent)]
    Password(#[from] BadPassword),
    /// A user with that name exists.
    #[error("there is a user of that name already")]
    Taken,
    /// The password could not be hashed.
    #[error(transparent)]
    Hashing(#[from] HashingFailed),
    /// The store failed. It is unknown whether the user was added.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Prints the causes too, because a program whose `main` returns the error prints the `Debug` form.
impl fmt::Debug for SignUpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&report(self), f)
    }
}

impl From<AddUserError> for SignUpError {
    fn from(error: AddUserError) -> Self {
        match error {
            AddUserError::Taken => Self::Taken,
            AddUserError::Store(cause) => Self::Store(cause),
        }
    }
}

impl Issuer {
    /// Adds a user who may log in at once. White space around the name is removed. The password must satisfy the rules
    /// for new passwords ([`Password::chosen`](crate::account::password::Password::chosen)).
    ///
    /// Calls are not rate-limited, and the result reveals whether a name is taken: an app that lets anybody call this
    /// must limit the calls.
    ///
    /// # Errors
    /// [`SignUpError`] says why the user was not added.
    pub async fn sign_up(
        &self,
        username: &str,
        password: impl Into<SecretString>,
    ) -> Result<User, SignUpError> {
        self.add(username, password.into(), None).await
    }

    /// Adds a user with an initial password that somebody else chose. It expires after one hour
    /// ([`INITIAL_PASSWORD_LIFETIME`]), and until it is changed every login returns the deadline. Otherwise like
    /// [`sign_up`](Self::sign_up).
    ///
    /// # Errors
    /// [`SignUpError`] says why the user was not added.
    pub async fn add_with_initial_password(
        &self,
        username: &str,
        password: impl Into<SecretString>,
    ) -> Result<User, SignUpError> {
        let lifetime = Some(INITIAL_PASSWORD_LIFETIME);
        self.add(username, password.into(), lifetime).await
    }

    async fn add(
        &self,
        username: &str,
        password: SecretString,
        password_lifetime: Option<Duration>,
    ) -> Result<User, SignUpError> {
        let parts = &self.parts;
        let username = Username::typed(username).map_err(|_| SignUpError::Username)?;
        let password = parts
            .hasher
            .choose(Class::Shared, password, username.clone());
        let hash = parts.hasher.hash(password.await??).await?;
        let now = self.now();
        let mut user = User::new(UserId::new(now, &*parts.random), username, now);
        user.password_change_required_by = password_lifetime.map(|lifetime| now.plus(lifetime));
        parts.accounts.add_user(&user, &hash).await?;
        Ok(user)
    }
}
