//! Password changes by the users themselves.

use std::net::IpAddr;

use secrecy::SecretString;

use super::{Issued, Issuer, LogoutError, SignError};
use crate::account::limits::whereabouts;
use crate::account::password::{BadPassword, Checked, Claim, Class, HashingFailed, Password};
use crate::account::{INITIAL_PASSWORD_LIFETIME, LoginUser, OwnPassword, OwnPasswordChange};
use crate::inventory::Raise;
use crate::revocation::log::StoreError;
use crate::session;
use crate::time::Timestamp;
use crate::verifier::VerifiedClaims;

/// The reason why a password is not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// The current password is wrong, or it or the user changed meanwhile.
    #[error("the current password is wrong")]
    Refused,
    /// The session ended, or got a newer session ID, while the request was processed. Nothing changed.
    #[error("the session is over, or has a newer session ID")]
    SessionOver,
    /// The new password is not acceptable.
    #[error(transparent)]
    Unacceptable(#[from] BadPassword),
    /// The store failed. If it failed during the write, the change may or may not be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The change is stored, and it is uncertain whether every node refuses the old tokens. The new token is not
    /// returned: the user logs in with the new password.
    #[error(transparent)]
    Settle(#[from] LogoutError),
    /// A password could not be hashed.
    #[error(transparent)]
    Hashing(#[from] HashingFailed),
    /// The token for the new session ID could not be signed. Nothing changed.
    #[error(transparent)]
    Signing(#[from] SignError),
}

impl Issuer {
    /// Returns whether an initial password with this deadline has expired. The deadline is compared with the latest
    /// time that the clock has ever shown, so setting the clock back revives no password.
    #[must_use]
    pub fn initial_password_is_over(&self, change_required_by: Timestamp) -> bool {
        let parts = &self.parts;
        let set = change_required_by.minus(INITIAL_PASSWORD_LIFETIME);
        let leeway = parts.policy.timeouts().leeway;
        let now = self.now();
        // The password was set while the clock was ahead, so its real deadline is unknown.
        let is_from_the_future = now.plus(leeway) < set;
        is_from_the_future || parts.list.seen(set, now, leeway) >= change_required_by
    }

    pub(super) fn password_lives(&self, user: &LoginUser) -> bool {
        let by = user.password_change_required_by;
        !by.is_some_and(|by| self.initial_password_is_over(by))
    }

    /// Changes a user's own password and returns the token with which the session continues.
    ///
    /// The token has the session's next generation. On `Ok`, all earlier tokens of the session and the user's other
    /// sessions are ended on disk and refused by this node. For other nodes the same holds as for a logout. An earlier
    /// token that is presented afterwards is refused and ends nothing.
    ///
    /// `address` is the user's current address. Its network stays known for the account, and all others are forgotten.
    ///
    /// If the response is lost, the client has only the old token, which is refused: the user logs in with the new
    /// password.
    ///
    /// # Errors
    /// [`PasswordError`] says whether the change may be stored.
    pub async fn change_password(
        &self,
        session: &VerifiedClaims,
        current: Password,
        new: SecretString,
        address: Option<IpAddr>,
    ) -> Result<Issued, PasswordError> {
        let parts = &self.parts;
        let user = parts.accounts.login_user(session.subject()).await?;
        let user = user.ok_or(PasswordError::Refused)?;
        // An expired initial password is refused here too.
        let lives = self.password_lives(&user);
        let hash = lives.then(|| user.password_hash.clone());
        let class = Class::Reserved(Claim::session_of(session.subject()));
        let presented = current.clone();
        let checked = parts.hasher.check_in(class, current, hash).await?;
        if matches!(checked, Checked::Wrong) {
            return Err(PasswordError::Refused);
        }
        let network = address.map(|address| whereabouts(user.username.as_str(), address).network);
        let new = parts.hasher.choose(class, new, user.username).await??;
        if user.password_change_required_by.is_some() && new.is_same_as(&presented) {
            return Err(BadPassword::Initial.into());
        }
        let hash = parts.hasher.hash_in(class, new).await?;

        let (claims, at) = (session.claims(), self.now());
        let (timeouts, presented) = (parts.policy.timeouts(), claims.session_id);
        // The token was valid when the request arrived, and hashing takes long.
        let dead = parts.list.dead(claims, session.kid(), at, timeouts.leeway);
        let seen = parts
            .list
            .seen(presented.lineage.created_at(), at, timeouts.leeway);
        if dead.is_some() || seen >= claims.expires_at {
            return Err(PasswordError::SessionOver);
        }
        let methods = session::login_methods(claims).ok_or(PasswordError::SessionOver)?;
        let renew_at = session::renew_at(timeouts, at);
        let of_generation = |generation| {
            let random = &*parts.random;
            let claims = session::renew(claims, timeouts, generation, renew_at, at, random);
            self.sign(claims, at)
        };
        // The token is signed before the change is written: if signing fails, nothing changes.
        let expected = presented.generation.saturating_add(1);
        let issued = of_generation(expected)?;
        let change = OwnPassword {
            user: user.id,
            hash,
            version: user.version,
            session: Raise {
                presented,
                user: claims.subject,
                auth_time: claims.auth_time,
                session_expiry: claims.session_expiry,
                methods,
                at,
                renew_at,
                idle_end: session::idle_end(timeouts, renew_at, claims.session_expiry),
            },
            network,
        };
        let (seq, generation) = match parts.accounts.change_own_password(change).await? {
            OwnPasswordChange::Done { seq, generation } => (seq, generation),
            OwnPasswordChange::Lost => return Err(PasswordError::Refused),
            OwnPasswordChange::SessionOver => return Err(PasswordError::SessionOver),
        };
        self.settle(seq).await?;
        if generation == expected {
            return Ok(issued);
        }
        // The presented token was in the grace of a renewal.
        Ok(of_generation(generation)?)
    }
}
