//! What a token permits: scopes, as OAuth writes them.

use std::fmt;
use std::str::FromStr;

use crate::id::InvalidId;

/// The scope that lets a client read the revocation log of its issuer.
pub const READ_REVOCATIONS: &str = "revocations:read";

/// The scope that lets a client ask about the tokens of other clients.
pub const INTROSPECT: &str = "tokens:introspect";

/// The longest list of scopes, in bytes: it is carried by every token.
const MAX_BYTES: usize = 1024;

/// A set of scopes (RFC 6749, section 3.3): words of visible ASCII without `"` and `\`, each separated from
/// the next by one space. Their order means nothing, and a doubled one is one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes(
    /// In order, each once.
    Vec<String>,
);

impl Scopes {
    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes of its words.
    pub(crate) fn heap_bytes(&self) -> usize {
        let words: usize = self.0.iter().map(String::capacity).sum();
        self.0.capacity() * size_of::<String>() + words
    }

    /// Whether it has that one.
    #[must_use]
    pub fn has(&self, scope: &str) -> bool {
        let found = self.0.binary_search_by(|word| word.as_str().cmp(scope));
        found.is_ok()
    }

    /// Whether it has only that one.
    #[must_use]
    pub fn is_only(&self, scope: &str) -> bool {
        self.0.len() == 1 && self.has(scope)
    }

    /// Whether all of them are among `wider`.
    #[must_use]
    pub fn are_within(&self, wider: &Self) -> bool {
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

/// From a text that may be empty.
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
