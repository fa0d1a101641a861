//! How a session begins, is touched, is renewed and ends: pure rules, time and randomness as arguments.

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

/// The claims of a new session of `subject`, begun now by password. The lineage's time is the
/// store's to give; all other times are `now`'s.
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

/// What is due to a good token at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing: it stays as it is.
    Nothing,
    /// A later idle deadline.
    Touch,
    /// A new session ID.
    Renewal,
    /// Nothing any more: only the verifiers' leeway still carries it.
    Over,
}

/// What is due to a token with these claims at `now`. A client that asks is touched at once, others at
/// most once a touch interval.
///
/// Within the last grace before a renewal is due nothing happens: an answer that comes late must not
/// put the old session ID over the new one.
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

/// The claims of a touched token: the same session ID, a later idle deadline.
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

/// When a generation that begins at `now` is due to be renewed.
#[must_use]
pub fn renew_at(timeouts: &Timeouts, now: Timestamp) -> Timestamp {
    now.whole_second().plus(timeouts.renewal).whole_second()
}

/// The claims of a session's generation that is to be renewed at `renew_at`. The absolute end stays.
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

/// Whether these are claims as a login of ours has them. Others may be authentic, and are not exchanged.
///
/// The methods are a set (RFC 8176, section 1): their order says nothing, and a login may have used more of them.
#[must_use]
pub fn is_from_login(claims: &Claims) -> bool {
    let has = |method: &&str| claims.methods.iter().any(|has| has == method);
    claims.client_id == LOGIN_CLIENT && claims.scope == LOGIN_SCOPE && LOGIN_METHODS.iter().all(has)
}

/// When a generation that is due at `renew_at` has been idle for too long at the latest: it is not touched
/// after that.
#[must_use]
pub fn idle_end(timeouts: &Timeouts, renew_at: Timestamp, session_expiry: Timestamp) -> Timestamp {
    renew_at.plus(timeouts.idle).min(session_expiry)
}

fn idle_deadline(timeouts: &Timeouts, now: Timestamp, session_expiry: Timestamp) -> Timestamp {
    let deadline = now.whole_second().plus(timeouts.idle).whole_second();
    deadline.min(session_expiry)
}
