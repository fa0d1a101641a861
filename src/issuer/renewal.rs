//! The exchange of a valid token for one with a later idle deadline or a new session ID.

use super::{Issued, Issuer, LogoutError, SignError};
use crate::claims::Claims;
use crate::id::SessionId;
use crate::inventory::{Renew, Renewed};
use crate::meters::Exchange;
use crate::report::report;
use crate::revocation::Reason;
use crate::revocation::list::Dead;
use crate::revocation::log::StoreError;
use crate::session::{self, Due, LoginMethods};
use crate::time::Timestamp;
use crate::verifier::{Superseded, VerifiedClaims};

/// The result of an exchange.
#[derive(Clone)]
#[non_exhaustive]
pub enum Exchanged {
    /// Nothing is due: the token stays in use.
    Kept,
    /// A token with the same session ID and a later idle deadline.
    Touched(Issued),
    /// A token with the session's new session ID.
    Renewed(Issued),
}

/// The reason why a token is not exchanged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RenewError {
    /// The token has expired, or its session has ended.
    #[error("the session is over")]
    Over,
    /// The token's session ID has a successor, and its grace ended while the request was processed.
    #[error("the session has a newer session ID")]
    Superseded,
    /// The token's session ID was renewed longer ago than the grace. The session is revoked.
    #[error("a session ID that had been renewed was presented again; the session was ended")]
    Reused,
    /// The store failed. The token stays valid.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is uncertain whether the session was ended.
    #[error(transparent)]
    End(#[from] LogoutError),
    /// The new token could not be signed.
    #[error(transparent)]
    Signing(#[from] SignError),
}

impl Issuer {
    /// Exchanges a token if an exchange is due. `asked` means that the client requested it: the token is then touched
    /// at once. Other tokens are touched at most once per touch interval.
    ///
    /// # Errors
    /// [`RenewError`] says why the token is not exchanged.
    pub async fn exchange(
        &self,
        session: &VerifiedClaims,
        asked: bool,
    ) -> Result<Exchanged, RenewError> {
        let begun = self.meters.exchanges.begun(Exchange::Failed);
        let exchanged = self.exchange_now(session, asked).await;
        match &exchanged {
            Ok(Exchanged::Kept) => begun.ended(Exchange::Kept),
            Ok(Exchanged::Touched(_)) => begun.ended(Exchange::Touched),
            Ok(Exchanged::Renewed(_)) => begun.ended(Exchange::Renewed),
            Err(RenewError::Over | RenewError::Superseded | RenewError::Reused) => {
                begun.ended(Exchange::Refused);
            }
            Err(RenewError::Store(_) | RenewError::End(_) | RenewError::Signing(_)) => {}
        }
        exchanged
    }

    async fn exchange_now(
        &self,
        session: &VerifiedClaims,
        asked: bool,
    ) -> Result<Exchanged, RenewError> {
        let parts = &self.parts;
        let (claims, now) = (session.claims(), self.now());
        let (timeouts, random) = (parts.policy.timeouts(), &*parts.random);
        // The token was valid when the request arrived. It may have been revoked since.
        match parts.list.dead(claims, session.kid(), now, timeouts.leeway) {
            None => {}
            Some(Dead::Superseded) => return Err(RenewError::Superseded),
            Some(Dead::Revoked(_)) => return Err(RenewError::Over),
        }
        let methods = session::login_methods(claims).ok_or(RenewError::Over)?;
        // A token that had expired before the clock was set back stays expired.
        let began = claims.session_id.lineage.created_at();
        let seen = parts.list.seen(began, now, timeouts.leeway);
        let due = match seen < claims.expires_at {
            true => session::due(claims, timeouts, now, asked),
            false => Due::Over,
        };
        match due {
            Due::Over if asked => Err(RenewError::Over),
            Due::Over | Due::Nothing => Ok(Exchanged::Kept),
            // Another node, whose clock is ahead of this one's, has renewed the session: the old session ID must not
            // replace the new one.
            Due::Touch if parts.list.is_renewed(claims.session_id) => Ok(Exchanged::Kept),
            Due::Touch => {
                // A forgery with a leaked key must not live on under another key, and no factor is believed that the
                // login may not have had. Under the same key a token with the password alone claims the least, and
                // dies with the key.
                let is_plain = methods.is_password() && self.signs_with(session.kid(), now);
                if !is_plain && !self.was_begun(claims, &methods).await? {
                    return Err(RenewError::Over);
                }
                let touched = session::touch(claims, timeouts, now, random);
                Ok(Exchanged::Touched(self.sign(touched, now)?))
            }
            Due::Renewal => {
                let renew_at = session::renew_at(timeouts, now);
                let renew = Renew {
                    presented: claims.session_id,
                    user: claims.subject,
                    auth_time: claims.auth_time,
                    session_expiry: claims.session_expiry,
                    methods,
                    at: now,
                    grace: timeouts.renewal_grace,
                    renew_at,
                    idle_end: session::idle_end(timeouts, renew_at, claims.session_expiry),
                };
                match parts.inventory.renew(renew).await? {
                    Renewed::Current {
                        generation,
                        renew_at,
                    } => {
                        // The new session ID is in the log, and its token must reach the client, or the next request
                        // would look like theft. If the list cannot follow the log, it becomes stale.
                        if let Err(cause) = parts.follower.catch_up().await {
                            tracing::warn!(cause = %report(&cause), "a renewal is written and could not be read back");
                        }
                        let renewed =
                            session::renew(claims, timeouts, generation, renew_at, now, random);
                        Ok(Exchanged::Renewed(self.sign(renewed, now)?))
                    }
                    Renewed::Reused => {
                        self.end_reused(claims.session_id, claims.session_expiry)
                            .await?;
                        Err(RenewError::Reused)
                    }
                    Renewed::Superseded => Err(RenewError::Superseded),
                    Renewed::Unknown => Err(RenewError::Over),
                }
            }
        }
    }

    /// Returns whether a session with these claims was begun here, by a login with these methods.
    async fn was_begun(&self, claims: &Claims, methods: &LoginMethods) -> Result<bool, StoreError> {
        let lineage = claims.session_id.lineage;
        let known = self
            .parts
            .inventory
            .session(claims.subject, lineage)
            .await?;
        Ok(known.is_some_and(|known| {
            known.auth_time == claims.auth_time
                && known.session_expiry == claims.session_expiry
                && known.methods == *methods
        }))
    }

    /// Ends a session whose superseded token was presented for exchange: two parties have the token, and it is unknown
    /// which of them is the user. An expired token is ignored.
    ///
    /// A generation that a change of the session ended, such as a new password, ends nothing: the change has decided
    /// who continues, and the holder of an old token must not be able to log the user out.
    ///
    /// # Errors
    /// [`LogoutError`]: the session may still be alive.
    pub async fn reused(&self, superseded: &Superseded) -> Result<(), LogoutError> {
        let parts = &self.parts;
        let session_id = superseded.session_id();
        let at_its_end = self.now() >= superseded.expires_at();
        if at_its_end || parts.list.session_revoked(session_id.lineage) {
            return Ok(());
        }
        if parts.inventory.ended_by_a_change(session_id).await? {
            tracing::debug!(%session_id, "a session ID that a change of the session ended was presented again");
            return Ok(());
        }
        self.end_reused(session_id, superseded.session_expiry())
            .await
    }

    async fn end_reused(
        &self,
        session_id: SessionId,
        session_expiry: Timestamp,
    ) -> Result<(), LogoutError> {
        tracing::warn!(%session_id, "a session ID that had been renewed was presented again: the session is ended");
        self.end(session_id.lineage, session_expiry, Reason::Reused)
            .await
            .map(drop)
    }
}
