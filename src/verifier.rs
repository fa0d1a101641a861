//! Token verification: one function, one order of checks, no network call.

#[cfg(feature = "server")]
mod identity_headers;
mod ready;
mod token_cache;
mod verified;

use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "server")]
use jsonwebtoken::jwk::JwkSet;

use crate::claims::AnyClaims;
#[cfg(feature = "server")]
use crate::id::KeyId;
use crate::key::Format;
use crate::keyring::{Keyring, SharedKeyring};
use crate::meters::{Counters, Verdict, VerifierState};
use crate::policy::{Policy, Unacceptable};
use crate::revocation::TargetKind;
use crate::revocation::follower::Follower;
use crate::revocation::freshness::Freshness;
use crate::revocation::list::{Dead, RevocationList};
use crate::time::{Clock, Timestamp};
pub use crate::token::Malformed;
use crate::token::{self, UntrustedToken};
use token_cache::TokenCache;
use verified::SignedClaims;

#[cfg(feature = "server")]
pub(crate) use identity_headers::HeaderValues;
#[cfg(feature = "remote")]
pub(crate) use ready::Faults;
pub(crate) use ready::Followed;
pub use ready::NotReady;
pub use token_cache::TOKEN_CACHE_BYTES;
pub use verified::{Superseded, Verified, VerifiedClaims, VerifiedClient};

/// The reason why a token is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The token is malformed.
    #[error("malformed")]
    Malformed(#[from] Malformed),
    /// No key with the token's `kid` is known.
    #[error("signed with an unknown key")]
    UnknownKey,
    /// The token is authentic, but not valid here and now.
    #[error(transparent)]
    Unacceptable(#[from] Unacceptable),
    /// The token is a client's own, where a session's token is required.
    #[error("a client's token, and not a session's")]
    NoSession,
    /// The token was revoked.
    #[error("revoked, scope {0}")]
    Revoked(TargetKind),
    /// The token's session ID was renewed, and the grace is over.
    #[error("superseded: the session has a newer session ID")]
    Superseded(Superseded),
    /// The list may miss a revocation, so the token can be neither accepted nor rejected.
    #[error("the revocation list is not provably fresh")]
    Stale,
}

impl Refusal {
    const fn verdict(&self) -> Verdict {
        match self {
            Self::Malformed(Malformed::Signature) => Verdict::Signature,
            Self::Malformed(_) => Verdict::Malformed,
            Self::UnknownKey => Verdict::UnknownKey,
            Self::Unacceptable(Unacceptable::Issuer) => Verdict::Issuer,
            Self::Unacceptable(Unacceptable::Audience) => Verdict::Audience,
            Self::Unacceptable(Unacceptable::Future | Unacceptable::NotYet) => Verdict::Future,
            Self::Unacceptable(Unacceptable::Times) => Verdict::Times,
            Self::Unacceptable(Unacceptable::Expired) => Verdict::Expired,
            Self::NoSession => Verdict::NoSession,
            Self::Revoked(_) => Verdict::Revoked,
            Self::Superseded(_) => Verdict::Superseded,
            Self::Stale => Verdict::Stale,
        }
    }
}

/// Whether a token must have an audience of this verifier.
#[derive(Clone, Copy)]
enum AudienceCheck {
    Required,
    #[cfg(feature = "server")]
    Skipped,
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
    token_cache: Arc<TokenCache>,
    meters: Arc<VerifierMetrics>,
    /// The issuer, if it runs in another process.
    followed: Option<Followed>,
}

#[derive(Debug, Default)]
struct VerifierMetrics {
    verdicts: Counters<Verdict>,
    standing: VerifierState,
}

impl Verifier {
    /// A verifier with keys and a revocation log of the app's own: for tokens signed by `keyring`, against the log that
    /// `follower` reads. It accepts tokens only while the follower's newest reading is fresh.
    ///
    /// To verify the tokens of a Waxseal service, use [`Waxseal::verifier`] in its process and [`Verifier::remote`] in
    /// another one.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use std::time::Duration;
    /// # use waxseal::key::Format;
    /// # use waxseal::keyring::{Keyring, SharedKeyring};
    /// # use waxseal::policy::{Policy, Timeouts};
    /// # use waxseal::revocation::follower::Follower;
    /// # use waxseal::revocation::log::LogReader;
    /// # use waxseal::time::SystemClock;
    /// # use waxseal::Verifier;
    /// async fn verifier(
    ///     jwks: &[u8],
    ///     log: Arc<dyn LogReader>,
    /// ) -> Result<Verifier, Box<dyn std::error::Error>> {
    ///     let issuer = "https://auth.example";
    ///     let policy = Policy::new(issuer, issuer, Timeouts::default())?;
    ///     let follower = Arc::new(Follower::new(log, Duration::from_secs(5), Arc::new(SystemClock)));
    ///     follower.catch_up().await?;
    ///     let keyring = Arc::new(SharedKeyring::new(Keyring::from_jwks(jwks)?));
    ///     let verifier = Verifier::following(keyring, vec![Format::Jwt], policy, &follower);
    ///     tokio::spawn(async move {
    ///         loop {
    ///             tokio::time::sleep(Duration::from_secs(1)).await;
    ///             // After 5 seconds without a reading, tokens are refused.
    ///             let _ = follower.catch_up().await;
    ///         }
    ///     });
    ///     Ok(verifier)
    /// }
    /// ```
    ///
    /// [`Waxseal::verifier`]: crate::Waxseal::verifier
    #[must_use]
    pub fn following(
        keyring: Arc<SharedKeyring>,
        accepts: Vec<Format>,
        policy: Policy,
        follower: &Follower,
    ) -> Self {
        let (list, freshness) = (follower.list(), follower.freshness());
        Self::new(keyring, accepts, policy, list, freshness, follower.clock())
    }

    /// A verifier that checks tokens against `list`, and accepts them only while `freshness` holds.
    #[doc(hidden)]
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
            token_cache: Arc::new(TokenCache::new(TOKEN_CACHE_BYTES)),
            meters: Arc::default(),
            followed: None,
        }
    }

    /// Returns a verifier with the same keys, list and clock, and a token cache of its own of at most `bytes` bytes in
    /// place of [`TOKEN_CACHE_BYTES`]; 0 disables it. The cache changes no verdict: a text that verified before, byte
    /// for byte, skips the signature check and nothing else.
    #[must_use]
    pub fn with_token_cache(&self, bytes: u64) -> Self {
        Self {
            token_cache: Arc::new(TokenCache::new(bytes)),
            ..self.shared()
        }
    }

    /// Returns the same verifier, which also accepts tokens for `audience`.
    #[cfg(feature = "server")]
    pub(crate) fn with_additional_audience(&self, audience: String) -> Self {
        Self {
            policy: self.policy.clone().with_additional_audiences([audience]),
            ..self.shared()
        }
    }

    fn shared(&self) -> Self {
        Self {
            keyring: Arc::clone(&self.keyring),
            accepts: self.accepts.clone(),
            policy: self.policy.clone(),
            list: Arc::clone(&self.list),
            freshness: Arc::clone(&self.freshness),
            clock: Arc::clone(&self.clock),
            token_cache: Arc::clone(&self.token_cache),
            meters: Arc::clone(&self.meters),
            followed: self.followed.clone(),
        }
    }

    /// Returns the same verifier, for an issuer in another process.
    #[cfg(feature = "remote")]
    pub(crate) fn of_issuer(&self, followed: Followed) -> Self {
        Self {
            followed: Some(followed),
            ..self.shared()
        }
    }

    /// Verifies a session's token in this order: size, shape, header, key, signature, time and audience, revocation,
    /// freshness. A known revocation applies however old the list is.
    ///
    /// # Errors
    /// [`Refusal`] gives the reason. A service tells its caller no more than 401 or 503.
    pub fn verify(&self, token: &str) -> Result<VerifiedClaims, Refusal> {
        let verified = self.verify_for(token, AudienceCheck::Required);
        self.counted(verified.and_then(|verified| match verified {
            Verified::Session(session) => Ok(session),
            Verified::Client(_) => Err(Refusal::NoSession),
        }))
    }

    /// Verifies a token of a session or a client, in the same order.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn verify_any(&self, token: &str) -> Result<Verified, Refusal> {
        self.counted(self.verify_for(token, AudienceCheck::Required))
    }

    /// Verifies a token of either kind, for any audience: others ask the issuer about tokens that it issued.
    #[cfg(feature = "server")]
    pub(crate) fn verify_issued(&self, token: &str) -> Result<Verified, Refusal> {
        self.counted(self.verify_for(token, AudienceCheck::Skipped))
    }

    fn counted<T>(&self, verified: Result<T, Refusal>) -> Result<T, Refusal> {
        let verdict = verified
            .as_ref()
            .err()
            .map_or(Verdict::Good, Refusal::verdict);
        self.meters.verdicts.count(verdict);
        verified
    }

    fn verify_for(&self, token: &str, audience: AudienceCheck) -> Result<Verified, Refusal> {
        let now = self.clock.now();
        let keyring = self.keyring.load();
        let verified = match self.cached(token, &keyring, now) {
            Some(verified) => verified,
            None => self.authenticate(token, &keyring, now)?,
        };
        self.judge(&verified, audience, now)?;
        Ok(verified)
    }

    /// Returns the cached result for this text, if the key that signed it still verifies under its `kid`.
    fn cached(&self, token: &str, keyring: &Keyring, now: Timestamp) -> Option<Verified> {
        let verified = self.token_cache.get(token)?;
        let key = keyring.verifying(verified.kid().as_str(), now);
        if key.is_some_and(|key| verified.is_by(key)) {
            return Some(verified);
        }
        self.token_cache.remove(token);
        None
    }

    /// Checks shape, header, key and signature.
    fn authenticate(
        &self,
        text: &str,
        keyring: &Keyring,
        now: Timestamp,
    ) -> Result<Verified, Refusal> {
        let header = token::encoded_header(text);
        let known = header.and_then(|header| keyring.find_by_header(header));
        let token = UntrustedToken::parse_with(text, known.map(|(known, _)| known))?;
        if !self.accepts.contains(&token.format()) {
            return Err(Malformed::Format.into());
        }
        let known = known.filter(|(known, _)| known.key.kid() == token.kid());
        let key = match known {
            Some((known, times)) => times.verifies(now).then_some(known.key),
            None => keyring.verifying(token.kid().as_str(), now),
        };
        let Some(key) = key else {
            self.keyring.note_unknown();
            // The keys may be stale like the list, or not fetched yet.
            return Err(match self.is_fresh() {
                true => Refusal::UnknownKey,
                false => Refusal::Stale,
            });
        };
        let verified = match token.verify(key)? {
            AnyClaims::Session(claims) => {
                Verified::Session(VerifiedClaims(SignedClaims::by(key, claims)))
            }
            AnyClaims::Client(claims) => {
                Verified::Client(VerifiedClient(SignedClaims::by(key, claims)))
            }
        };
        self.token_cache.insert(text, &verified);
        Ok(verified)
    }

    /// Checks an earlier result again: key, time, revocation, freshness. Only the signature cannot have changed.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn verify_again(&self, verified: &Verified) -> Result<(), Refusal> {
        let now = self.clock.now();
        let keyring = self.keyring.load();
        let key = keyring.verifying(verified.kid().as_str(), now);
        if !key.is_some_and(|key| verified.is_by(key)) {
            return Err(Refusal::UnknownKey);
        }
        self.judge(verified, AudienceCheck::Required, now)
    }

    fn judge(
        &self,
        verified: &Verified,
        audience: AudienceCheck,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let leeway = self.policy.timeouts().leeway;
        // Check freshness before the list: a later proof may rest on entries that the look-ups below have missed.
        let fresh = self.is_fresh();
        let now = self.list.observe(now, leeway);
        match verified {
            Verified::Session(VerifiedClaims(signed)) => {
                let SignedClaims { claims, kid, .. } = &**signed;
                match audience {
                    AudienceCheck::Required => self.policy.check(claims, now)?,
                    #[cfg(feature = "server")]
                    AudienceCheck::Skipped => self.policy.check_issued(claims, now)?,
                }
                match self.list.dead(claims, kid, now, leeway) {
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
            }
            Verified::Client(VerifiedClient(signed)) => {
                let SignedClaims { claims, kid, .. } = &**signed;
                match audience {
                    AudienceCheck::Required => self.policy.check_client(claims, now)?,
                    #[cfg(feature = "server")]
                    AudienceCheck::Skipped => self.policy.check_client_issued(claims, now)?,
                }
                if let Some(scope) = self.list.client_dead(claims, kid) {
                    return Err(Refusal::Revoked(scope));
                }
            }
        }
        if fresh { Ok(()) } else { Err(Refusal::Stale) }
    }

    /// A receiver that is notified when revocations were applied.
    #[doc(hidden)]
    #[must_use]
    pub fn news(&self) -> tokio::sync::watch::Receiver<i64> {
        self.list.news()
    }

    /// The time for which [`verify_again`](Self::verify_again) can change its verdict only after [`news`](Self::news).
    #[doc(hidden)]
    #[must_use]
    pub fn settled_for(&self, verified: &Verified) -> Duration {
        let end = verified.expires_at().plus(self.policy.timeouts().leeway);
        let left = end.millis().saturating_sub(self.clock.now().millis());
        let left = Duration::from_millis(u64::try_from(left).unwrap_or(0));
        left.min(self.freshness.left(self.clock.uptime()))
    }

    /// Waits until the verifier can judge tokens: with a remote issuer, until it has read the issuer's keys and
    /// revocations. Returns within 5 seconds.
    ///
    /// A cause that lasts, such as a wrong secret, is returned as soon as it is known. One that may pass, such as a
    /// refused connection, is returned after 4 seconds. Either way the verifier keeps trying in the background, so that
    /// a later call can succeed.
    ///
    /// # Errors
    /// [`NotReady`] says what happened and what to do.
    ///
    /// ```no_run
    /// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
    /// let verifier = waxseal::Verifier::remote("https://auth.example", "client-01a2…", "wxs_…").start()?;
    /// verifier.ready().await?;
    /// # Ok(()) }
    /// ```
    pub async fn ready(&self) -> Result<(), NotReady> {
        ready::wait(self.followed.as_ref(), || self.is_fresh()).await
    }

    /// Whether the list is fresh now.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.freshness.holds(self.clock.uptime())
    }

    /// Sets the gauges for the list and the keys, for a recorder of the crate `metrics`. The values are those at the
    /// time of the call, so call this when the metrics are read. A remote verifier also does so every half second.
    pub fn measure(&self) {
        let (standing, uptime) = (&self.meters.standing, self.clock.uptime());
        let flag = |set: bool| if set { 1.0 } else { 0.0 };
        let age = self.freshness.age(uptime);
        standing
            .age
            .set(age.map_or(f64::INFINITY, |age| age.as_secs_f64()));
        standing.max_age.set(self.freshness.bound().as_secs_f64());
        standing.left.set(self.freshness.left(uptime).as_secs_f64());
        standing.fresh.set(flag(self.is_fresh()));
        standing.applied.set(self.list.applied() as f64);
        standing.entries.set(self.list.len() as f64);
        standing.keys.set(self.verifying_keys() as f64);
        standing.keys_current.set(flag(self.keys_are_current()));
    }

    fn verifying_keys(&self) -> usize {
        let (keyring, now) = (self.keyring.load(), self.clock.now());
        let published = self
            .accepts
            .iter()
            .flat_map(|format| keyring.published(*format, now));
        published
            .filter(|key| !self.list.key_revoked(key.kid()))
            .count()
    }

    /// Whether the keys are those that their source has now.
    pub(crate) fn keys_are_current(&self) -> bool {
        self.keyring.is_current()
    }

    /// The public keys that verify JWTs now, as a JWK set (RFC 7517, section 5). Empty if JWTs are not accepted.
    #[cfg(feature = "server")]
    pub(crate) fn jwks(&self) -> JwkSet {
        if !self.accepts.contains(&Format::Jwt) {
            return JwkSet { keys: Vec::new() };
        }
        let revoked = |kid: &KeyId| self.list.key_revoked(kid);
        self.keyring.load().jwks(self.clock.now(), revoked)
    }

    /// The public keys that verify PASETOs now, as key ID and PASERK. Empty if PASETOs are not accepted.
    #[cfg(feature = "server")]
    pub(crate) fn paserks(&self) -> Vec<(KeyId, String)> {
        if !self.accepts.contains(&Format::Paseto) {
            return Vec::new();
        }
        let revoked = |kid: &KeyId| self.list.key_revoked(kid);
        self.keyring.load().paserks(self.clock.now(), revoked)
    }

    /// The issuer, audiences and timeouts that this verifier goes by.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }
}
