//! The names of users.

use std::fmt;
use std::str::FromStr;

use crate::id::InvalidId;

/// A username: 1 to 64 characters of `a-z`, `0-9`, `.`, `_`, `-`, `@` and `+`. Upper case is read as
/// lower case, so that two names that look alike are one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Username(String);

impl Username {
    /// A name that no user can have: looking it up is as much work as looking up another.
    #[must_use]
    pub const fn nobody() -> Self {
        Self(String::new())
    }

    /// The name that somebody typed at login: white space around it is not a part of it. Keyboards that
    /// complete words, and copied text, add some.
    ///
    /// # Errors
    /// [`InvalidId`] for what is not a username.
    pub fn typed(text: &str) -> Result<Self, InvalidId> {
        text.trim().parse()
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Username {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-@+".contains(&b);
        let fits = (1..=64).contains(&text.len()) && text.bytes().all(allowed);
        fits.then(|| Self(text.to_ascii_lowercase()))
            .ok_or(InvalidId::of(
                "username (1 to 64 characters of a-z 0-9 . _ - @ +)",
            ))
    }
}
