//! The rules by which a session begins, is touched, is renewed and ends: pure functions with time and randomness as
//! arguments.

use std::collections::BTreeSet;
use std::str::FromStr;

use crate::claims::Claims;
use crate::id::{InvalidId, Lineage, SessionId, TokenId, UserId};
use crate::policy::{Policy, Timeouts};
use crate::random::Random;
use crate::time::Timestamp;

/// The `client_id` of tokens from Waxseal's own login.
pub const LOGIN_CLIENT: &str = "waxseal";

/// The `scope` of tokens from Waxseal's own login.
pub const LOGIN_SCOPE: &str = "session";

/// The `amr` of a login with a password (RFC 8176, section 2).
const PASSWORD: &str = "pwd";

/// The methods of a login, as a set: in `amr` (RFC 8176, section 1) neither order nor repetition has a meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginMethods {
    /// The methods in the order of their bytes, separated by a space.
    words: String,
}

impl LoginMethods {
    /// The password alone.
    #[must_use]
    pub fn password() -> Self {
        Self {
            words: PASSWORD.to_owned(),
        }
    }

    /// The set of these methods. `None` if it is empty, or if a method is not a word of printable ASCII characters. No
    /// login writes such methods.
    pub fn of<'a>(methods: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let methods: BTreeSet<_> = methods.into_iter().collect();
        let is_word = |method: &&str| {
            !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_graphic())
        };
        let fits = !methods.is_empty() && methods.iter().all(is_word);
        fits.then(|| Self {
            words: methods.into_iter().collect::<Vec<_>>().join(" "),
        })
    }

    /// Returns `true` for the password alone.
    #[must_use]
    pub fn is_password(&self) -> bool {
        self.words == PASSWORD
    }

    /// The methods, separated by a space, as the inventory stores them.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.words
    }

    /// The methods as the claim `amr`.
    #[must_use]
    pub fn claim(&self) -> Vec<String> {
        self.words.split(' ').map(str::to_owned).collect()
    }
}

/// Parses methods that are separated by a space, in any order.
impl FromStr for LoginMethods {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::of(text.split(' ')).ok_or(InvalidId::of("set of login methods"))
    }
}

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
        methods: LoginMethods::password().claim(),
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

/// Returns the methods that the claims of Waxseal's own login name. `None` for other claims: they may be authentic, and
/// are not exchanged.
///
/// Only the inventory knows whether the login had these methods. Without it, a forgery by a key that leaked later would
/// keep a factor that nobody showed.
#[must_use]
pub fn login_methods(claims: &Claims) -> Option<LoginMethods> {
    let from_login = claims.client_id == LOGIN_CLIENT && claims.scope == LOGIN_SCOPE;
    LoginMethods::of(claims.methods.iter().map(String::as_str)).filter(|_| from_login)
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
