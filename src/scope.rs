//! OAuth scopes.

use std::fmt;
use std::str::FromStr;

use crate::id::InvalidId;

/// The scope that lets a client read its issuer's revocation log.
pub const READ_REVOCATIONS: &str = "revocations:read";

/// The scope that lets a client introspect the tokens of other clients.
pub const INTROSPECT: &str = "tokens:introspect";

/// The maximum length of a list of scopes, in bytes. Every token carries the list.
const MAX_BYTES: usize = 1024;

/// A set of scopes (RFC 6749, section 3.3): words of visible ASCII without `"` and `\`, separated by single spaces.
/// Order and duplicates have no meaning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes(
    /// Sorted, without duplicates.
    Vec<String>,
);

impl Scopes {
    /// Returns whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the heap bytes of the set.
    pub(crate) fn heap_bytes(&self) -> usize {
        let words: usize = self.0.iter().map(String::capacity).sum();
        self.0.capacity() * size_of::<String>() + words
    }

    /// Returns whether the set has this scope.
    #[must_use]
    pub fn has(&self, scope: &str) -> bool {
        let found = self.0.binary_search_by(|word| word.as_str().cmp(scope));
        found.is_ok()
    }

    /// Returns whether the set has this scope and no other.
    #[cfg(feature = "server")]
    pub(crate) fn is_only(&self, scope: &str) -> bool {
        self.0.len() == 1 && self.has(scope)
    }

    /// Returns whether this set is a subset of `wider`.
    #[cfg(feature = "server")]
    pub(crate) fn are_within(&self, wider: &Self) -> bool {
        self.0.iter().all(|word| wider.has(word))
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope)?;
        }
        Ok(())
    }
}

/// Parses a list of scopes, which may be empty.
impl FromStr for Scopes {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let refused = InvalidId::of("list of scopes (words with one space between them)");
        if text.is_empty() {
            return Ok(Self::default());
        }
        let plain = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
        let word = |word: &str| !word.is_empty() && word.bytes().all(plain);
        let fits = text.len() <= MAX_BYTES && text.split(' ').all(word);
        if !fits {
            return Err(refused);
        }
        let mut words: Vec<_> = text.split(' ').map(str::to_owned).collect();
        words.sort_unstable();
        words.dedup();
        Ok(Self(words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_words_and_nothing_else() {
        let two: Scopes = "orders:write orders:read".parse().unwrap();
        assert_eq!(two.to_string(), "orders:read orders:write");
        assert_eq!("b a b a b".parse::<Scopes>().unwrap().to_string(), "a b");
        assert!(two.has("orders:read") && !two.has("orders") && !two.has(""));
        assert!("orders:read".parse::<Scopes>().unwrap().are_within(&two));
        assert!(
            !"orders:read admin"
                .parse::<Scopes>()
                .unwrap()
                .are_within(&two)
        );
        assert!("".parse::<Scopes>().unwrap().is_empty());
        for bad in [" ", "a  b", " a", "a ", "a\tb", "a\"b", "a\\b", "ä", "a\n"] {
            assert!(bad.parse::<Scopes>().is_err(), "{bad:?}");
        }
        assert!("a".repeat(MAX_BYTES + 1).parse::<Scopes>().is_err());
    }
}
