//! Users whom the app adds itself.

use std::sync::Arc;

use axum::extract::FromRef;
use secrecy::SecretString;

use super::Waxseal;
use crate::account::User;
use crate::encoding::base64url;
use crate::issuer::SignUpError;
use crate::verifier::Verifier;

impl Waxseal {
    /// Adds a user who may log in at once, for an app's own sign-up. White space around the
    /// name is left out. The password has 8 characters to 1024 bytes and is not a common one.
    ///
    /// It does not limit how often it is called, and it says whether a name is taken: an app that lets anybody call
    /// it must limit that.
    ///
    /// # Errors
    /// [`SignUpError`]. As a [`Problem`](crate::http::problem::Problem) it is a refusal for the caller of a handler:
    /// 400 `unacceptable_username`, 400 `unacceptable_password`, 409 `username_taken` or 503 `unavailable`.
    pub async fn sign_up(
        &self,
        username: &str,
        password: impl Into<SecretString>,
    ) -> Result<User, SignUpError> {
        self.issuer.sign_up(username, password).await
    }

    /// Adds a user with an initial password, for a first user. The password is good for one hour; the answer of each
    /// login says by when it must be changed. After the hour it is refused as a wrong one is, and an operator sets
    /// another. Show the password before the user is added: one whose password nobody has seen is of no use.
    ///
    /// # Errors
    /// [`SignUpError`].
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

    /// A password of 22 characters that nobody guesses: 128 random bits.
    #[must_use]
    pub fn random_password(&self) -> String {
        let mut bytes = [0; 16];
        self.random.fill(&mut bytes);
        base64url::encode(&bytes)
    }
}

/// Handlers with [`Waxseal`] as their state take a [`Session`](crate::Session) too.
impl FromRef<Waxseal> for Arc<Verifier> {
    fn from_ref(waxseal: &Waxseal) -> Self {
        waxseal.verifier()
    }
}
