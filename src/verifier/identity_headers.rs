//! The identity of a token as header values, for a service behind a proxy. The values are the same for each request, so
//! they are built once.

use std::sync::OnceLock;

use http::HeaderValue;

use crate::id::MOST_BYTES;

/// The values of the token's subject, session, client and scope.
pub(crate) type HeaderValues = [HeaderValue; 4];

/// The bytes that the values take beside their texts: the reference count and the allocator's own data.
const SHARING: usize = 64;

/// The header values of a token, built on first use.
#[derive(Debug, Default)]
pub(super) struct IdentityHeaders {
    values: OnceLock<HeaderValues>,
}

impl IdentityHeaders {
    pub(super) fn get_or_init(&self, build: impl FnOnce() -> HeaderValues) -> &HeaderValues {
        self.values.get_or_init(build)
    }

    /// The bytes that the values take on the heap, if two of them are IDs and the others are texts of `texts` bytes in
    /// total.
    pub(super) const fn bytes(texts: usize) -> usize {
        2 * MOST_BYTES + texts + SHARING
    }
}

impl PartialEq for IdentityHeaders {
    /// The values follow from the claims, so they make no difference.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for IdentityHeaders {}
