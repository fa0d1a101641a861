//! Usernames.

use std::fmt;
use std::str::FromStr;

use crate::id::InvalidId;

/// A username: 1 to 64 characters of `a-z`, `0-9`, `.`, `_`, `-`, `@` and `+`. Upper case is converted to lower case,
/// so that names which look alike are equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Username(String);

impl Username {
    /// Returns a name that no user can have. A lookup of it costs as much as any other lookup.
    #[doc(hidden)]
    #[must_use]
    pub const fn nobody() -> Self {
        Self(String::new())
    }

    /// Parses a username as typed at login, ignoring white space around it. Keyboards with word completion, and copied
    /// text, add some.
    ///
    /// # Errors
    /// [`InvalidId`] if the text is not a username.
    #[doc(hidden)]
    pub fn typed(text: &str) -> Result<Self, InvalidId> {
        text.trim().parse()
    }

    /// Returns the name as text.
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
