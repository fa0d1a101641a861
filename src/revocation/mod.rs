//! Revocations: facts that end sessions, tokens, users, keys or everything.

#[doc(hidden)]
pub mod explain;
#[doc(hidden)]
pub mod feed;
#[doc(hidden)]
pub mod fence;
pub mod follower;
#[doc(hidden)]
pub mod freshness;
#[doc(hidden)]
pub mod internals;
#[doc(hidden)]
pub mod list;
pub mod log;
#[cfg(feature = "server")]
#[doc(hidden)]
pub mod page_text;
#[doc(hidden)]
pub mod reading;
#[doc(hidden)]
pub mod register;

use std::fmt;
use std::str::FromStr;

use crate::crypto::sha256;
use crate::id::{ClientId, KeyId, Lineage, MOST_BYTES, TokenId, UserId};
use crate::policy::{LIFETIME_CAP, MAX_LEEWAY};
use crate::time::Timestamp;

/// The kind of thing that a revocation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TargetKind {
    /// One session, by its lineage.
    Session,
    /// One token, by its `jti`.
    Token,
    /// A user's sessions.
    User,
    /// A client's own tokens.
    Client,
    /// The tokens that one key signed.
    Key,
    /// Every session, and every client's tokens.
    Everything,
    /// No revocation: an entry of a later version, which ends nothing.
    Ignorable,
    /// No revocation: the token ended before the newest revocation that the log has dropped.
    Horizon,
}

impl TargetKind {
    /// The word for the kind in the log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Token => "token",
            Self::User => "user",
            Self::Client => "client",
            Self::Key => "key",
            Self::Everything => "everything",
            Self::Ignorable => "ignorable",
            Self::Horizon => "horizon",
        }
    }
}

impl fmt::Display for TargetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The thing that a revocation ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Target {
    /// One session.
    Session(Lineage),
    /// One token.
    Token(TokenId),
    /// A user's sessions.
    User(UserId),
    /// A client's own tokens.
    Client(ClientId),
    /// The tokens that one key signed.
    Key(KeyId),
    /// Every session, and every client's tokens.
    Everything,
    /// Nothing: see [`IgnorableTarget`].
    Ignorable(Box<IgnorableTarget>),
}

/// The beginning of a scope that ends nothing.
const IGNORABLE: &str = "ignorable:";

/// The maximum length of the key of an ignorable entry, in bytes.
const MAX_IGNORABLE_KEY_BYTES: usize = 128;

/// The scope and the key of an entry that a later version wrote, and that says in its scope that it ends nothing. They
/// are kept as they are, for the running hash and for the readers of the feed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IgnorableTarget {
    scope: String,
    key: String,
}

impl IgnorableTarget {
    fn parse(scope: &str, key: &str) -> Option<Self> {
        let word = scope.strip_prefix(IGNORABLE)?;
        let visible = key.bytes().all(|byte| byte.is_ascii_graphic());
        let fits = Word::new(word).is_some() && visible && key.len() <= MAX_IGNORABLE_KEY_BYTES;
        fits.then(|| Self {
            scope: scope.to_owned(),
            key: key.to_owned(),
        })
    }
}

/// The reason why an entry has no target that this version can apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadTarget {
    /// The scope is unknown, so the entry may end tokens that this version would accept.
    #[error("a scope that this version does not know")]
    Scope,
    /// The key has not the form that its scope requires.
    #[error("a malformed key")]
    Key,
}

impl Target {
    /// The kind of this target.
    #[must_use]
    pub const fn kind(&self) -> TargetKind {
        match self {
            Self::Session(_) => TargetKind::Session,
            Self::Token(_) => TargetKind::Token,
            Self::User(_) => TargetKind::User,
            Self::Client(_) => TargetKind::Client,
            Self::Key(_) => TargetKind::Key,
            Self::Everything => TargetKind::Everything,
            Self::Ignorable(_) => TargetKind::Ignorable,
        }
    }

    /// The scope in the log.
    #[must_use]
    pub fn scope(&self) -> &str {
        match self {
            Self::Ignorable(unknown) => &unknown.scope,
            known => known.kind().name(),
        }
    }

    /// The key in the log, which identifies the target among those of its kind. Empty for [`Target::Everything`].
    #[must_use]
    pub fn key(&self) -> String {
        self.with_key(str::to_owned)
    }

    /// Calls `make` with the key in the log.
    fn with_key<T>(&self, make: impl FnOnce(&str) -> T) -> T {
        let mut place = [0; MOST_BYTES];
        make(match self {
            Self::Session(lineage) => lineage.written(&mut place),
            Self::Token(token) => token.written(&mut place),
            Self::User(user) => user.written(&mut place),
            Self::Client(client) => client.written(&mut place),
            Self::Key(kid) => kid.as_str(),
            Self::Everything => "",
            Self::Ignorable(unknown) => &unknown.key,
        })
    }

    /// Parses the scope and the key of a log entry. An unknown scope is ignorable or critical, and says itself which.
    ///
    /// # Errors
    /// [`BadTarget`].
    pub fn from_log(scope: &str, key: &str) -> Result<Self, BadTarget> {
        let target = match scope {
            "session" => key.parse().ok().map(Self::Session),
            "token" => key.parse().ok().map(Self::Token),
            "user" => key.parse().ok().map(Self::User),
            "client" => key.parse().ok().map(Self::Client),
            "key" => key.parse().ok().map(Self::Key),
            "everything" => key.is_empty().then_some(Self::Everything),
            _ if scope.starts_with(IGNORABLE) => {
                let unknown = IgnorableTarget::parse(scope, key);
                unknown.map(|unknown| Self::Ignorable(Box::new(unknown)))
            }
            _ => return Err(BadTarget::Scope),
        };
        target.ok_or(BadTarget::Key)
    }
}

/// The reason for a revocation. Verification ignores it; people read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The user logged out.
    Logout,
    /// An operator revoked.
    Operator,
    /// The user or the client was disabled.
    Disabled,
    /// The user or the client was deleted.
    Deleted,
    /// The password was changed.
    PasswordChanged,
    /// The session got a new session ID; the previous one dies after the grace.
    Renewed,
    /// A session ID that had been renewed was presented again, so somebody else has it too.
    Reused,
    /// The user logged in again in the same browser.
    LoggedInAgain,
    /// A client revoked a token that it holds.
    Client,
    /// Keys existed but no log: the revocations of the lost log are unknown.
    LogLost,
    /// A reason of a later version.
    Unknown(Word),
}

/// The word of a reason that this version does not know: 1 to 31 characters of `a-z`, `0-9` and `_`.
/// The running hash covers the word, so it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Word {
    bytes: [u8; 31],
    length: usize,
}

impl Word {
    fn new(text: &str) -> Option<Self> {
        let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        let mut bytes = [0; 31];
        let place = bytes.get_mut(..text.len())?;
        place.copy_from_slice(text.as_bytes());
        let fits = !text.is_empty() && text.bytes().all(is_plain);
        fits.then_some(Self {
            bytes,
            length: text.len(),
        })
    }

    fn as_str(&self) -> &str {
        let word = self.bytes.get(..self.length);
        word.and_then(|word| str::from_utf8(word).ok())
            .unwrap_or_default()
    }
}

impl Reason {
    const ALL: [Self; 10] = [
        Self::Logout,
        Self::Operator,
        Self::Disabled,
        Self::Deleted,
        Self::PasswordChanged,
        Self::Renewed,
        Self::Reused,
        Self::LoggedInAgain,
        Self::Client,
        Self::LogLost,
    ];

    /// The word for the reason in the log.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            Self::Unknown(word) => word.as_str(),
            known => known.name(),
        }
    }

    /// The word for the reason in the log, or `unknown` for a reason of a later version.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::Operator => "operator",
            Self::Disabled => "disabled",
            Self::Deleted => "deleted",
            Self::PasswordChanged => "password_changed",
            Self::Renewed => "renewed",
            Self::Reused => "reused",
            Self::LoggedInAgain => "logged_in_again",
            Self::Client => "client",
            Self::LogLost => "log_lost",
            Self::Unknown(_) => "unknown",
        }
    }
}

impl FromStr for Reason {
    type Err = crate::id::InvalidId;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|reason| reason.name() == text);
        let unknown = || Word::new(text).map(Self::Unknown);
        known
            .or_else(unknown)
            .ok_or(crate::id::InvalidId::of("reason"))
    }
}

/// A `from` that spares nothing: every generation, every time.
pub const ALL: i64 = i64::MAX;

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// The entry's position in the log, from 1, without gaps.
    pub seq: i64,
    /// What the revocation ends.
    pub target: Target,
    /// The first value that stays valid: a generation for a session, a creation time in milliseconds for a user, a
    /// client or everything. [`ALL`] spares none.
    pub from: i64,
    /// The end of a renewal's grace, until which the last generation that the entry ends stays valid. None for no
    /// grace.
    pub grace_until: Option<Timestamp>,
    /// The one session that a cut-off spares ("log out everywhere else").
    pub spared: Option<Lineage>,
    /// The time after which nothing is left that the revocation could end.
    pub expires_at: Timestamp,
    /// The reason, for people.
    pub reason: Reason,
    /// The time at which the entry was written.
    pub at: Timestamp,
}

/// The time until which a session's revocation is kept: past the expiry of all its tokens, touched copies included, by
/// the largest leeway.
#[must_use]
pub fn session_revocation_expiry(session_expiry: Timestamp) -> Timestamp {
    session_expiry.plus(MAX_LEEWAY)
}

/// The time until which a cut-off is kept: past the expiry of everything that began before `from` or before `at`.
#[must_use]
pub fn cut_off_expiry(at: Timestamp, from: i64) -> Timestamp {
    at.max(Timestamp::from_millis(from))
        .plus(LIFETIME_CAP)
        .plus(MAX_LEEWAY)
}

/// The running hash over a log entry and all entries before it.
pub type LogHash = [u8; 32];

impl Revocation {
    /// Returns the running hash after this entry, given the one before it.
    #[must_use]
    pub fn chain(&self, before: &LogHash) -> LogHash {
        let mut place = [0; MOST_BYTES];
        let spared = match &self.spared {
            Some(lineage) => lineage.written(&mut place),
            None => "",
        };
        self.target.with_key(|key| {
            chained(
                before,
                [
                    self.seq,
                    self.from,
                    self.expires_at.millis(),
                    self.at.millis(),
                ],
                [self.target.scope(), key, spared, self.reason.word()],
                self.grace_until.map(Timestamp::millis),
            )
        })
    }
}

/// Returns the running hash after an entry with these numbers (`seq`, `from`, `expires_at`, `at`), texts (`scope`,
/// `key`, `spared`, `reason`) and `grace_until`.
fn chained(
    before: &LogHash,
    numbers: [i64; 4],
    texts: [&str; 4],
    grace_until: Option<i64>,
) -> LogHash {
    // This capacity fits all but the longest key names: a service hashes a million entries when it starts.
    let mut bytes = Vec::with_capacity(256);
    bytes.extend_from_slice(before);
    for number in numbers {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    for text in texts {
        bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    // Only renewals have a grace, so entries of a log without renewals keep their hash.
    if let Some(until) = grace_until {
        bytes.extend_from_slice(&until.to_be_bytes());
    }
    sha256(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_of_a_later_version_keeps_its_word_and_its_hash() {
        for text in ["logout", "session_copied", "a2", &"x".repeat(31)] {
            let reason: Reason = text.parse().unwrap();
            assert_eq!(reason.word(), text);
        }
        for text in ["", "Logout", "log out", "log-out", &"x".repeat(32), "ä"] {
            assert!(text.parse::<Reason>().is_err(), "{text:?}");
        }
        let entry = |reason: &str| Revocation {
            seq: 1,
            target: Target::Everything,
            from: 0,
            grace_until: None,
            spared: None,
            expires_at: Timestamp::NEVER,
            reason: reason.parse().unwrap(),
            at: Timestamp::EPOCH,
        };
        let hash = |reason: &str| entry(reason).chain(&[0; 32]);
        assert_ne!(hash("logout"), hash("logout_2"));
        assert_ne!(hash("logout_2"), hash("unknown"));
    }

    #[test]
    fn a_scope_of_a_later_version_says_whether_it_may_be_skipped() {
        let long = "x".repeat(129);
        for (scope, key) in [
            ("ignorable:note", ""),
            ("ignorable:a_2", "client-7/|!~"),
            (&*format!("ignorable:{}", &long[..31]), &long[..128]),
        ] {
            let target = Target::from_log(scope, key).unwrap();
            assert_eq!((target.scope(), &*target.key()), (scope, key));
            assert_eq!(target.kind(), TargetKind::Ignorable);
        }
        for (scope, key) in [
            ("ignorable:note", "a key"),
            ("ignorable:note", "\u{e9}"),
            ("ignorable:note", &*long),
            ("ignorable:", "key"),
            ("ignorable:Note", "key"),
            ("ignorable:a b", "key"),
            (&*format!("ignorable:{}", &long[..32]), "key"),
            ("session", "key"),
            ("everything", "key"),
        ] {
            assert_eq!(Target::from_log(scope, key), Err(BadTarget::Key), "{scope}");
        }
        for scope in ["device", "ignorable", "Ignorable:note", "horizon", ""] {
            assert_eq!(Target::from_log(scope, "key"), Err(BadTarget::Scope));
        }
    }
}
