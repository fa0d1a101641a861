//! Users that the app adds itself.

use std::sync::Arc;

use axum::extract::FromRef;
use secrecy::SecretString;

use super::Waxseal;
use crate::account::User;
use crate::encoding::base64url;
use crate::issuer::SignUpError;
use crate::verifier::Verifier;

impl Waxseal {
    /// Adds a user, for an app's own sign-up. The user may log in at once. White space around the name is removed. The
    /// password needs at least 8 characters and at most 1024 bytes, and must not be a common one.
    ///
    /// The call has no rate limit, and its error says whether a name is taken: an app that lets anyone call it must
    /// limit it.
    ///
    /// # Errors
    /// [`SignUpError`]. As a [`Problem`](crate::http::problem::Problem) it answers the caller of a handler with 400
    /// `unacceptable_username`, 400 `unacceptable_password`, 409 `username_taken` or 503 `unavailable`.
    pub async fn sign_up(
        &self,
        username: &str,
        password: impl Into<SecretString>,
    ) -> Result<User, SignUpError> {
        self.issuer.sign_up(username, password).await
    }

    /// Adds a user with an initial password, for a first user.
    ///
    /// The password is valid for one hour, and the answer to each login says by when the user must change it. After the
    /// hour a login with it fails like one with a wrong password, and an operator must set another. Show the password
    /// before you add the user: a password that nobody has seen is useless.
    ///
    /// # Errors
    /// [`SignUpError`] if the user cannot be added.
    ///
    /// ```no_run
    /// # use waxseal::{Settings, Waxseal};
    /// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
    /// let waxseal = Waxseal::open(&Settings::default()).await?;
    /// if waxseal.accounts().users().await?.is_empty() {
    ///     let password = waxseal.random_password();
    ///     println!("username admin, password {password}: shown once, good for one hour");
    ///     waxseal.add_with_initial_password("admin", password).await?;
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn add_with_initial_password(
        &self,
        username: &str,
        password: impl Into<SecretString>,
    ) -> Result<User, SignUpError> {
        let added = self.issuer.add_with_initial_password(username, password);
        added.await
    }

    /// Returns a random password of 22 characters with 128 bits of entropy.
    #[must_use]
    pub fn random_password(&self) -> String {
        let mut bytes = [0; 16];
        self.random.fill(&mut bytes);
        base64url::encode(&bytes)
    }
}

/// Lets handlers with [`Waxseal`] as their state take a [`Session`](crate::Session) too.
impl FromRef<Waxseal> for Arc<Verifier> {
    fn from_ref(waxseal: &Waxseal) -> Self {
        waxseal.verifier()
    }
}
