//! The rules for accepting authentic claims: pure functions of the claims and `now`.

use std::time::Duration;

use crate::claims::{Claims, ClientClaims};
use crate::time::Timestamp;

/// The maximum lifetime of a token or session, whatever is configured. It bounds how long a revocation of a user or of
/// everything must be kept.
pub const LIFETIME_CAP: Duration = Duration::from_secs(24 * 3600);

/// The maximum leeway that can be configured. Revocations outlive it.
pub const MAX_LEEWAY: Duration = Duration::from_secs(60);

/// The three timeouts, with OWASP's meanings, and their tolerances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// The time from the last request that the issuer saw to the end of the session.
    pub idle: Duration,
    /// The time from login to the end of the session.
    pub absolute: Duration,
    /// The time from one session ID to the next.
    pub renewal: Duration,
    /// The minimum time between two moves of the idle deadline. A session may end that much before the idle timeout has
    /// passed.
    pub touch_interval: Duration,
    /// How long a renewed session ID stays valid beside the new one. Within this time before a renewal is due, a
    /// request does not move the idle deadline.
    pub renewal_grace: Duration,
    /// The maximum difference between a verifier's wall clock and the issuer's.
    pub leeway: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(15 * 60),
            absolute: Duration::from_secs(2 * 3600),
            renewal: Duration::from_secs(30 * 60),
            touch_interval: Duration::from_secs(60),
            renewal_grace: Duration::from_secs(30),
            leeway: Duration::from_secs(5),
        }
    }
}

/// A setting that is out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {why}")]
#[non_exhaustive]
pub struct BadPolicy {
    /// The name of the setting.
    pub key: &'static str,
    /// The rule that the value breaks.
    pub why: &'static str,
}

/// Checks the maximum age of a revocation list: 1 second to 1 hour.
///
/// # Errors
/// [`BadPolicy`] if `bound` is out of range.
#[cfg(feature = "remote")]
pub(crate) fn check_max_staleness(bound: Duration) -> Result<(), BadPolicy> {
    up_to_an_hour("max_staleness", bound)
}

/// Checks how long a node may serve without new proof of freshness when logouts are fenced: 1 second to
/// `max_staleness`.
///
/// # Errors
/// [`BadPolicy`] if `lease` is out of range.
#[cfg(feature = "server")]
pub(crate) fn check_lease(lease: Duration, max_staleness: Duration) -> Result<(), BadPolicy> {
    up_to_an_hour("lease", lease)?;
    if lease > max_staleness {
        let why = "must not be longer than max_staleness";
        return Err(BadPolicy { key: "lease", why });
    }
    Ok(())
}

/// Checks the lifetime of a client token: 1 second to 1 hour.
///
/// # Errors
/// [`BadPolicy`] if `lifetime` is out of range.
#[cfg(feature = "server")]
pub(crate) fn check_client_token_lifetime(lifetime: Duration) -> Result<(), BadPolicy> {
    up_to_an_hour("client_token_lifetime", lifetime)
}

#[cfg(feature = "remote")]
fn up_to_an_hour(key: &'static str, time: Duration) -> Result<(), BadPolicy> {
    if (Duration::from_secs(1)..=Duration::from_secs(3600)).contains(&time) {
        Ok(())
    } else {
        let why = "must be 1s to 1h";
        Err(BadPolicy { key, why })
    }
}

/// The accepted issuer and audiences, and the timeouts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    issuer: String,
    audience: String,
    also: Vec<String>,
    timeouts: Timeouts,
}

/// The reason why authentic claims are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unacceptable {
    /// `iss` is not the policy's issuer.
    #[error("issuer (iss) does not match")]
    Issuer,
    /// `aud` is not an accepted audience.
    #[error("meant for another audience")]
    Audience,
    /// `iat` or `auth_time` is further in the future than the leeway.
    #[error("issued in the future")]
    Future,
    /// `nbf` is further in the future than the leeway.
    #[error("not good yet: its nbf is in the future")]
    NotYet,
    /// The times contradict each other or exceed the lifetime cap.
    #[error("iat, exp and auth_time are inconsistent")]
    Times,
    /// `now >= exp + leeway`.
    #[error("expired")]
    Expired,
}

impl Policy {
    /// Creates a policy for tokens from `issuer` for `audience`.
    ///
    /// # Errors
    /// [`BadPolicy`] names the setting that is out of range.
    pub fn new(issuer: &str, audience: &str, timeouts: Timeouts) -> Result<Self, BadPolicy> {
        let checks = [
            (!issuer.is_empty(), "issuer", "must not be empty"),
            (!audience.is_empty(), "audience", "must not be empty"),
            (
                timeouts.absolute <= LIFETIME_CAP,
                "absolute_timeout",
                "must be at most 24h",
            ),
            (
                timeouts.absolute.as_secs() >= 1,
                "absolute_timeout",
                "must be at least 1s",
            ),
            (
                timeouts.idle.as_secs() >= 1,
                "idle_timeout",
                "must be at least 1s",
            ),
            (
                timeouts.renewal.as_secs() >= 1,
                "renewal_timeout",
                "must be at least 1s",
            ),
            (
                timeouts.touch_interval.as_secs() >= 1,
                "touch_interval",
                "must be at least 1s",
            ),
            (
                timeouts.renewal_grace.as_secs() >= 1,
                "renewal_grace",
                "must be at least 1s",
            ),
            // A response may arrive late by the grace, and must not then be older than the previous generation.
            (
                timeouts.renewal_grace.saturating_mul(2) <= timeouts.renewal,
                "renewal_grace",
                "must be at most half of renewal_timeout",
            ),
            (
                timeouts
                    .touch_interval
                    .saturating_add(timeouts.renewal_grace)
                    < timeouts.idle,
                "idle_timeout",
                "must be longer than touch_interval and renewal_grace together, or a session that is in use ends",
            ),
            (
                timeouts.leeway <= MAX_LEEWAY,
                "leeway",
                "must be at most 60s",
            ),
        ];
        for (holds, key, why) in checks {
            if !holds {
                return Err(BadPolicy { key, why });
            }
        }
        Ok(Self {
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            also: Vec::new(),
            timeouts,
        })
    }

    /// Also accepts tokens for these `audiences`.
    #[must_use]
    pub fn with_additional_audiences(
        mut self,
        audiences: impl IntoIterator<Item = String>,
    ) -> Self {
        self.also.extend(audiences);
        self
    }

    /// Returns the accepted issuer.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Returns the audience of the issuer's tokens.
    #[must_use]
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// Returns the audience of tokens that can only read the revocation feed. No other resource accepts them, so that a
    /// reader's credentials give access to nothing else.
    #[cfg(feature = "server")]
    pub(crate) fn feed_audience(&self) -> String {
        format!("{}/revocations", self.issuer.trim_end_matches('/'))
    }

    /// Returns the timeouts and tolerances.
    #[must_use]
    pub const fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    /// Checks the issuer, audience and times of a session's claims. Accepts them before `exp + leeway`, exclusive.
    ///
    /// # Errors
    /// [`Unacceptable`] says why the claims are refused.
    pub(crate) fn check(&self, claims: &Claims, now: Timestamp) -> Result<(), Unacceptable> {
        self.check_parties(&claims.issuer, &claims.audience)?;
        self.check_issued(claims, now)
    }

    /// Checks the issuer, audience and times of a client's claims, like [`check`](Self::check).
    ///
    /// # Errors
    /// [`Unacceptable`] says why the claims are refused.
    pub(crate) fn check_client(
        &self,
        claims: &ClientClaims,
        now: Timestamp,
    ) -> Result<(), Unacceptable> {
        self.check_parties(&claims.issuer, &claims.audience)?;
        self.check_client_issued(claims, now)
    }

    /// Checks a session's claims for any audience.
    pub(crate) fn check_issued(&self, claims: &Claims, now: Timestamp) -> Result<(), Unacceptable> {
        let Claims {
            issued_at,
            not_before,
            expires_at,
            ..
        } = *claims;
        self.check_times(&claims.issuer, issued_at, not_before, expires_at, now)?;
        if claims.auth_time > now.plus(self.timeouts.leeway) {
            return Err(Unacceptable::Future);
        }
        let ordered = claims.auth_time <= claims.issued_at
            && claims.expires_at <= claims.session_expiry
            && claims.session_expiry <= claims.auth_time.plus(LIFETIME_CAP);
        if ordered {
            Ok(())
        } else {
            Err(Unacceptable::Times)
        }
    }

    /// Checks a client's claims for any audience.
    pub(crate) fn check_client_issued(
        &self,
        claims: &ClientClaims,
        now: Timestamp,
    ) -> Result<(), Unacceptable> {
        let ClientClaims {
            issued_at,
            not_before,
            expires_at,
            ..
        } = *claims;
        self.check_times(&claims.issuer, issued_at, not_before, expires_at, now)?;
        if claims.expires_at <= claims.issued_at.plus(LIFETIME_CAP) {
            Ok(())
        } else {
            Err(Unacceptable::Times)
        }
    }

    /// The issuer is checked first: the audience of another issuer's token has no meaning here.
    fn check_parties(&self, issuer: &str, audience: &str) -> Result<(), Unacceptable> {
        if issuer != self.issuer {
            Err(Unacceptable::Issuer)
        } else if audience == self.audience || self.also.iter().any(|also| audience == also) {
            Ok(())
        } else {
            Err(Unacceptable::Audience)
        }
    }

    fn check_times(
        &self,
        issuer: &str,
        issued_at: Timestamp,
        not_before: Option<Timestamp>,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), Unacceptable> {
        let leeway = self.timeouts.leeway;
        if issuer != self.issuer {
            Err(Unacceptable::Issuer)
        } else if now >= expires_at.plus(leeway) {
            Err(Unacceptable::Expired)
        } else if issued_at > now.plus(leeway) {
            Err(Unacceptable::Future)
        } else if not_before.is_some_and(|from| from > now.plus(leeway)) {
            Err(Unacceptable::NotYet)
        } else if issued_at >= expires_at || not_before.is_some_and(|from| from >= expires_at) {
            Err(Unacceptable::Times)
        } else {
            Ok(())
        }
    }
}
