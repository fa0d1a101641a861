//! Headers that need not be parsed again.

use crate::key::VerifyingKey;

/// A key, and the encoded text with which it names itself in each token that it signs: the header of a JWT, the footer
/// of a PASETO.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KnownHeader<'k> {
    pub(crate) text: &'k str,
    pub(crate) key: &'k VerifyingKey,
}

impl<'k> KnownHeader<'k> {
    /// Returns the key, if a token's encoded header is this one.
    pub(super) fn key_of(self, header: &str) -> Option<&'k VerifyingKey> {
        (self.text == header).then_some(self.key)
    }
}
