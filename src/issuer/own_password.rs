//! A user's own change of the password.

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

/// Why a password is not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// The current password is wrong, or it or the user changed meanwhile.
    #[error("the current password is wrong")]
    Refused,
    /// The session ended, or got a newer session ID, while the request was answered. Nothing changed.
    #[error("the session is over, or has a newer session ID")]
    SessionOver,
    /// The new one is no good.
    #[error(transparent)]
    Unacceptable(#[from] BadPassword),
    /// The store failed. If it failed while it wrote, the change may be written or not.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The change is written, and it is not certain that every node that must refuse the old tokens does. The new
    /// token is not given: the user logs in with the new password.
    #[error(transparent)]
    Settle(#[from] LogoutError),
    /// A password could not be hashed.
    #[error(transparent)]
    Hashing(#[from] HashingFailed),
    /// There is no token for the session's new session ID. Nothing changed.
    #[error(transparent)]
    Signing(#[from] SignError),
}

impl Issuer {
    /// Whether an initial password that must be changed by then is dead. The latest time that the clock has ever
    /// shown decides: a clock that is set back revives no password.
    #[must_use]
    pub fn initial_password_is_over(&self, change_required_by: Timestamp) -> bool {
        let parts = &self.parts;
        let set = change_required_by.minus(INITIAL_PASSWORD_LIFETIME);
        let leeway = parts.policy.timeouts().leeway;
        let now = self.now();
        // It was set by a clock that was ahead: nobody knows when its hour ends.
        let is_from_the_future = now.plus(leeway) < set;
        is_from_the_future || parts.list.seen(set, now, leeway) >= change_required_by
    }

    pub(super) fn password_lives(&self, user: &LoginUser) -> bool {
        let by = user.password_change_required_by;
        !by.is_some_and(|by| self.initial_password_is_over(by))
    }

    /// Changes a user's own password, and gives the token with which the session goes on.
    ///
    /// The token has the session's next generation. When this answers `Ok`, all earlier tokens of the session and
    /// the user's other sessions are ended on disk and refused by this node; for other nodes the same holds as for a
    /// logout. An earlier token that is presented afterwards is refused and ends nothing.
    ///
    /// `address` is where the user is: that network stays known for the account, and all others are forgotten.
    ///
    /// If the answer is lost, the old token is dead and the new one is unknown: the user logs in with the new
    /// password.
    ///
    /// # Errors
    /// [`PasswordError`].
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
        // A dead password proves nothing here either.
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
        // It was good when the request came, and hashing takes long.
        let dead = parts.list.dead(claims, session.kid(), at, timeouts.leeway);
        let seen = parts
            .list
            .seen(presented.lineage.created_at(), at, timeouts.leeway);
        if dead.is_some() || seen >= claims.expires_at || !session::is_from_login(claims) {
            return Err(PasswordError::SessionOver);
        }
        let renew_at = session::renew_at(timeouts, at);
        let of_generation = |generation| {
            let random = &*parts.random;
            let claims = session::renew(claims, timeouts, generation, renew_at, at, random);
            self.sign(claims, at)
        };
        // Signed before it is written: if nothing can be signed, nothing changes.
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
        // The token that was presented was in the grace of a renewal.
        Ok(of_generation(generation)?)
    }
}
