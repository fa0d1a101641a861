//! What a service behind a proxy is told of a token, in header values: with each request the same, so it is written
//! once.

use std::sync::OnceLock;

use http::HeaderValue;

use crate::id::MOST_BYTES;

/// The token's subject, session, client and scope.
pub(crate) type HeaderValues = [HeaderValue; 4];

/// What they take beside their texts: their reference count, and what an allocator keeps for itself.
const SHARING: usize = 64;

/// Nothing, until it is first wanted.
#[derive(Debug, Default)]
pub(super) struct Said(OnceLock<HeaderValues>);

impl Said {
    pub(super) fn or_say(&self, say: impl FnOnce() -> HeaderValues) -> &HeaderValues {
        self.0.get_or_init(say)
    }

    /// What it takes beside itself, if two of the values are names and the others texts of so many bytes.
    pub(super) const fn bytes(texts: usize) -> usize {
        2 * MOST_BYTES + texts + SHARING
    }
}

impl PartialEq for Said {
    /// It follows from what it is said of.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Said {}
