//! The rules by which a session begins, is touched, is renewed and ends: pure functions with time and randomness as
//! arguments.

use crate::claims::Claims;
use crate::id::{Lineage, SessionId, TokenId, UserId};
use crate::policy::{Policy, Timeouts};
use crate::random::Random;
use crate::time::Timestamp;

/// The `client_id` of tokens from Waxseal's own login.
pub const LOGIN_CLIENT: &str = "waxseal";

/// The `scope` of tokens from Waxseal's own login.
pub const LOGIN_SCOPE: &str = "session";

/// The `amr` of tokens from Waxseal's own login (RFC 8176, section 2).
const LOGIN_METHODS: [&str; 1] = ["pwd"];

/// Returns the claims of a new session of `subject` after a password login at `now`. The store determines the lineage's
/// time. All other times derive from `now`.
#[must_use]
pub fn begin(
    policy: &Policy,
    subject: UserId,
    lineage: Lineage,
    now: Timestamp,
    random: &dyn Random,
) -> Claims {
    let timeouts = policy.timeouts();
    let begun = now.whole_second();
    let session_expiry = begun.plus(timeouts.absolute).whole_second();
    Claims {
        issuer: policy.issuer().to_owned(),
        subject,
        audience: policy.audience().to_owned(),
        client_id: LOGIN_CLIENT.to_owned(),
        issued_at: begun,
        not_before: None,
        expires_at: idle_deadline(timeouts, now, session_expiry),
        token_id: TokenId::new(now, random),
        session_id: SessionId {
            lineage,
            generation: 0,
        },
        auth_time: begun,
        renew_at: renew_at(timeouts, now),
        session_expiry,
        methods: LOGIN_METHODS.map(str::to_owned).to_vec(),
        scope: LOGIN_SCOPE.to_owned(),
    }
}

/// The exchange that is due for a valid token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// No exchange: the token stays as it is.
    Nothing,
    /// A later idle deadline.
    Touch,
    /// A new session ID.
    Renewal,
    /// No exchange any more: the token is valid only within the verifiers' leeway.
    Over,
}

/// Returns what is due for a token with these claims at `now`. A token is touched at once if the client asked for it,
/// otherwise at most once per touch interval.
///
/// A token is not touched in the last grace before its renewal is due: a late response must not replace the new session
/// ID with the old one.
#[must_use]
pub fn due(claims: &Claims, timeouts: &Timeouts, now: Timestamp, asked: bool) -> Due {
    let renewal_is_near = now.plus(timeouts.renewal_grace) >= claims.renew_at;
    let touchable = asked || now >= claims.issued_at.plus(timeouts.touch_interval);
    let later = idle_deadline(timeouts, now, claims.session_expiry) > claims.expires_at;
    if now >= claims.expires_at {
        Due::Over
    } else if now >= claims.renew_at {
        Due::Renewal
    } else if !renewal_is_near && touchable && later {
        Due::Touch
    } else {
        Due::Nothing
    }
}

/// Returns the claims of a touched token: the same session ID and a later idle deadline.
#[must_use]
pub fn touch(claims: &Claims, timeouts: &Timeouts, now: Timestamp, random: &dyn Random) -> Claims {
    Claims {
        issued_at: now.whole_second(),
        not_before: None,
        expires_at: idle_deadline(timeouts, now, claims.session_expiry),
        token_id: TokenId::new(now, random),
        ..claims.clone()
    }
}

/// Returns when a generation that begins at `now` is due for renewal.
#[must_use]
pub fn renew_at(timeouts: &Timeouts, now: Timestamp) -> Timestamp {
    now.whole_second().plus(timeouts.renewal).whole_second()
}

/// Returns the claims of a generation that is due for renewal at `renew_at`. The absolute end stays the same.
#[must_use]
pub fn renew(
    claims: &Claims,
    timeouts: &Timeouts,
    generation: u32,
    renew_at: Timestamp,
    now: Timestamp,
    random: &dyn Random,
) -> Claims {
    let session_id = SessionId {
        generation,
        ..claims.session_id
    };
    Claims {
        session_id,
        renew_at,
        ..touch(claims, timeouts, now, random)
    }
}

/// Whether these are claims as a login of ours has them. Others may be authentic, and are not exchanged: a forgery by a
/// key that leaked later would otherwise keep a factor that nobody showed.
#[must_use]
pub fn is_from_login(claims: &Claims) -> bool {
    claims.client_id == LOGIN_CLIENT
        && claims.scope == LOGIN_SCOPE
        && claims.methods == LOGIN_METHODS
}

/// Returns the latest idle end of a generation that is due for renewal at `renew_at`. The generation is not touched
/// after its renewal is due.
#[must_use]
pub fn idle_end(timeouts: &Timeouts, renew_at: Timestamp, session_expiry: Timestamp) -> Timestamp {
    renew_at.plus(timeouts.idle).min(session_expiry)
}

fn idle_deadline(timeouts: &Timeouts, now: Timestamp, session_expiry: Timestamp) -> Timestamp {
    let deadline = now.whole_second().plus(timeouts.idle).whole_second();
    deadline.min(session_expiry)
}
