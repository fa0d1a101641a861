//! What a good token is exchanged for: a later idle deadline, or a new session ID.

use super::{Issued, Issuer, LogoutError, SignError};
use crate::claims::Claims;
use crate::id::SessionId;
use crate::inventory::{Renew, Renewed};
use crate::meters::Exchange;
use crate::revocation::Reason;
use crate::revocation::list::Dead;
use crate::revocation::log::StoreError;
use crate::session::{self, Due};
use crate::time::Timestamp;
use crate::verifier::{Superseded, VerifiedClaims};

/// What a token was exchanged for.
#[derive(Clone)]
#[non_exhaustive]
pub enum Exchanged {
    /// Nothing is due: the token stays in use.
    Kept,
    /// The same session ID with a later idle deadline.
    Touched(Issued),
    /// The session's new session ID.
    Renewed(Issued),
}

/// Why a token is not exchanged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RenewError {
    /// The token is at its end, or its session is over.
    #[error("the session is over")]
    Over,
    /// The token's session ID has a successor, and it ended while the request was answered.
    #[error("the session has a newer session ID")]
    Superseded,
    /// The token's session ID was renewed longer ago than the grace: the session was ended.
    #[error("a session ID that had been renewed was presented again; the session was ended")]
    Reused,
    /// The store failed. The token is as good as before.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The session could not be ended for certain.
    #[error(transparent)]
    End(#[from] LogoutError),
    /// There is no new token.
    #[error(transparent)]
    Signing(#[from] SignError),
}

impl Issuer {
    /// Exchanges a token for what is due to it. `asked` says that the client asked for it, and is then
    /// touched at once; others are touched at most once a touch interval.
    ///
    /// # Errors
    /// [`RenewError`].
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
        // It was good when the request came. What was revoked since gets nothing.
        match parts.list.dead(claims, session.kid(), now, timeouts.leeway) {
            None if session::is_from_login(claims) => {}
            Some(Dead::Superseded) => return Err(RenewError::Superseded),
            None | Some(Dead::Revoked(_)) => return Err(RenewError::Over),
        }
        // What was over by a clock that was set back since is over.
        let began = claims.session_id.lineage.created_at();
        let seen = parts.list.seen(began, now, timeouts.leeway);
        let due = match seen < claims.expires_at {
            true => session::due(claims, timeouts, now, asked),
            false => Due::Over,
        };
        match due {
            Due::Over if asked => Err(RenewError::Over),
            Due::Over | Due::Nothing => Ok(Exchanged::Kept),
            // By this node's clock it is not due, by another's it was: the old one must not be put over the new.
            Due::Touch if parts.list.is_renewed(claims.session_id) => Ok(Exchanged::Kept),
            Due::Touch => {
                // What a key signed that has leaked must not live on under another one.
                if !self.signs_with(session.kid(), now) && !self.was_begun(claims).await? {
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
                        // The new session ID is in the log and its token must reach the client, or the
                        // next request would look like theft. If the list cannot follow, it goes stale.
                        if let Err(cause) = parts.follower.catch_up().await {
                            tracing::warn!(%cause, "a renewal is written and could not be read back");
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

    /// Whether a session with such claims was begun here.
    async fn was_begun(&self, claims: &Claims) -> Result<bool, StoreError> {
        let lineage = claims.session_id.lineage;
        let known = self
            .parts
            .inventory
            .session(claims.subject, lineage)
            .await?;
        Ok(known.is_some_and(|known| {
            known.auth_time == claims.auth_time && known.session_expiry == claims.session_expiry
        }))
    }

    /// Ends a session whose superseded token was presented to be exchanged: two parties have it, and
    /// nobody can tell which of them is the user. One that is at its end is nothing to exchange.
    ///
    /// A token that a change of the session ended, such as a new password, ends nothing: the change has decided
    /// who goes on, and whoever has the old token must not be able to log the user out.
    ///
    /// # Errors
    /// [`LogoutError`]: the session may be alive.
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
