//! Verification: one function, one order, no call home.

use std::sync::Arc;

use jsonwebtoken::jwk::JwkSet;

use crate::claims::Claims;
use crate::id::{KeyId, SessionId, UserId};
use crate::key::Format;
use crate::keyring::SharedKeyring;
use crate::policy::{Policy, Unacceptable};
use crate::revocation::Scope;
use crate::revocation::freshness::Freshness;
use crate::revocation::list::{Dead, RevocationList};
use crate::time::{Clock, Timestamp};
use crate::token::{Malformed, UntrustedToken};

/// Why a token is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It is no token of ours.
    #[error("malformed: {0}")]
    Malformed(#[from] Malformed),
    /// No key of that name is known.
    #[error("signed with an unknown key")]
    UnknownKey,
    /// It is authentic, and not good here and now.
    #[error("{0}")]
    Unacceptable(#[from] Unacceptable),
    /// It was revoked.
    #[error("revoked, scope {0}")]
    Revoked(Scope),
    /// Its session ID was renewed, and the grace is over.
    #[error("superseded: the session has a newer session ID")]
    Superseded(Superseded),
    /// The list may miss a revocation, so nobody can say whether the token is good.
    #[error("the revocation list is not provably fresh")]
    Stale,
}

/// Claims that were verified. Only [`Verifier::verify`] makes them: holding them is the proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedClaims {
    claims: Claims,
    kid: KeyId,
}

impl VerifiedClaims {
    /// All the claims.
    #[must_use]
    pub const fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The key that signed them.
    #[must_use]
    pub const fn kid(&self) -> &KeyId {
        &self.kid
    }

    /// Whose session it is.
    #[must_use]
    pub const fn subject(&self) -> UserId {
        self.claims.subject
    }

    /// The session.
    #[must_use]
    pub const fn session_id(&self) -> SessionId {
        self.claims.session_id
    }

    /// The absolute end of this token.
    #[must_use]
    pub const fn expires_at(&self) -> Timestamp {
        self.claims.expires_at
    }
}

/// What is known of an authentic token whose session ID was renewed: enough to end its session, and not
/// enough to be let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Superseded {
    session_id: SessionId,
    expires_at: Timestamp,
    session_expiry: Timestamp,
}

impl Superseded {
    /// The session, in a generation that is dead.
    #[must_use]
    pub const fn session_id(&self) -> SessionId {
        self.session_id
    }

    /// The absolute end of the token.
    #[must_use]
    pub const fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// The absolute end of the session.
    #[must_use]
    pub const fn session_expiry(&self) -> Timestamp {
        self.session_expiry
    }
}

/// Verifies tokens against keys, policy and the revocation list, all in memory.
#[derive(Debug)]
pub struct Verifier {
    keyring: Arc<SharedKeyring>,
    accepts: Vec<Format>,
    policy: Policy,
    list: Arc<RevocationList>,
    freshness: Arc<Freshness>,
    clock: Arc<dyn Clock>,
}

impl Verifier {
    /// A verifier that asks `list`, and only while `freshness` says that the list can be believed.
    #[must_use]
    pub fn new(
        keyring: Arc<SharedKeyring>,
        accepts: Vec<Format>,
        policy: Policy,
        list: Arc<RevocationList>,
        freshness: Arc<Freshness>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            keyring,
            accepts,
            policy,
            list,
            freshness,
            clock,
        }
    }

    /// Verifies in this order: size, shape, header, key, signature, time and audience, revocation,
    /// freshness. What was learned of a revocation binds however old the list is.
    ///
    /// # Errors
    /// [`Refusal`] says why not; the caller of a service is told no more than 401 or 503.
    pub fn verify(&self, token: &str) -> Result<VerifiedClaims, Refusal> {
        let now = self.clock.now();
        let token = UntrustedToken::parse(token)?;
        if !self.accepts.contains(&token.format()) {
            return Err(Malformed::Format.into());
        }
        let keyring = self.keyring.load();
        let key = keyring
            .verifying(token.kid().as_str(), now)
            .ok_or(Refusal::UnknownKey)?;
        let claims = token.verify(key)?;
        self.policy.check(&claims, now)?;
        let leeway = self.policy.timeouts().leeway;
        self.list.observe(now.minus(leeway));
        match self.list.dead(&claims, key.kid(), now, leeway) {
            None => {}
            Some(Dead::Revoked(scope)) => return Err(Refusal::Revoked(scope)),
            Some(Dead::Superseded) => {
                return Err(Refusal::Superseded(Superseded {
                    session_id: claims.session_id,
                    expires_at: claims.expires_at,
                    session_expiry: claims.session_expiry,
                }));
            }
        }
        if !self.freshness.holds(self.clock.uptime()) {
            return Err(Refusal::Stale);
        }
        Ok(VerifiedClaims {
            claims,
            kid: key.kid().clone(),
        })
    }

    /// Whether the list can be believed now.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.freshness.holds(self.clock.uptime())
    }

    /// Whether the keys are those that their source has now.
    #[must_use]
    pub fn keys_are_current(&self) -> bool {
        self.keyring.is_current()
    }

    /// The public keys for JWTs that verify now, as a JWK set (RFC 7517, section 5).
    #[must_use]
    pub fn jwks(&self) -> JwkSet {
        let revoked = |kid: &KeyId| self.list.key_revoked(kid);
        self.keyring.load().jwks(self.clock.now(), revoked)
    }

    /// The public keys for PASETOs that verify now: name and PASERK.
    #[must_use]
    pub fn paserks(&self) -> Vec<(KeyId, String)> {
        let revoked = |kid: &KeyId| self.list.key_revoked(kid);
        self.keyring.load().paserks(self.clock.now(), revoked)
    }

    /// What it accepts.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }
}
