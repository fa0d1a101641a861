//! The cache of verified tokens. A token text that verified before, byte for byte, needs no signature check.
//!
//! The cache spares only the signature check. Time, key, audience, revocation and freshness are checked each time, by
//! the same function that checks a new token.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{Hash, Hasher};

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{Equivalent, OptionsBuilder, Weighter};

use super::verified::Verified;
use crate::token::paseto;

/// The default size of the cache, in bytes: room for about 39,000 tokens.
pub const TOKEN_CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// The bytes that a token takes beside its text and its claims: table slots, reference counts and the allocator's own
/// data.
const OVERHEAD: u64 = 256;

/// The usual size of a token in the cache, in bytes. Other sizes only make the first guess of the table's size worse.
const USUAL: u64 = 1700;

/// The number of bytes at the end of a signature that are hashed.
const TAIL: usize = 32;

/// Token texts that verified, with their claims. A full cache evicts the least used ones.
pub(super) struct TokenCache {
    /// `None` if the size is 0.
    entries: Option<CachedClaims>,
}

type CachedClaims =
    Cache<TokenText, Verified, Weigher, RandomState, DefaultLifecycle<TokenText, Verified>>;

#[derive(Clone)]
struct Weigher;

impl Weighter<TokenText, Verified> for Weigher {
    fn weight(&self, text: &TokenText, verified: &Verified) -> u64 {
        text.0.len() as u64 + verified.bytes() as u64 + OVERHEAD
    }
}

struct TokenText(Box<str>);

#[derive(PartialEq, Eq)]
struct PresentedText<'a>(&'a str);

/// Returns the end of the signature, the only part that is hashed; texts are compared whole. Two texts share a slot
/// only if their signatures end alike, and only texts with a good signature enter. Without a key, nobody can choose how
/// a signature ends, and the hasher has a random key besides.
fn tail(text: &str) -> &[u8] {
    let signed = match text.strip_prefix(paseto::HEADER) {
        Some(rest) => rest.rsplit_once('.').map_or(rest, |(body, _footer)| body),
        None => text,
    };
    &signed.as_bytes()[signed.len().saturating_sub(TAIL)..]
}

impl Hash for TokenText {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(tail(&self.0));
    }
}

impl PartialEq for TokenText {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for TokenText {}

impl Hash for PresentedText<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(tail(self.0));
    }
}

impl Equivalent<TokenText> for PresentedText<'_> {
    fn equivalent(&self, text: &TokenText) -> bool {
        *self.0 == *text.0
    }
}

impl TokenCache {
    /// A cache of at most `bytes` bytes; with 0 it stores nothing.
    pub(super) fn new(bytes: u64) -> Self {
        let items = usize::try_from(bytes / USUAL).unwrap_or(usize::MAX);
        let options = OptionsBuilder::new()
            .estimated_items_capacity(items.max(1))
            .weight_capacity(bytes)
            .build();
        let entries = options.ok().filter(|_| bytes > 0).map(|options| {
            Cache::with_options(
                options,
                Weigher,
                RandomState::new(),
                DefaultLifecycle::default(),
            )
        });
        Self { entries }
    }

    /// The result for a text that verified before.
    pub(super) fn get(&self, text: &str) -> Option<Verified> {
        self.entries.as_ref()?.get(&PresentedText(text))
    }

    /// Stores a text whose signature is good.
    pub(super) fn insert(&self, text: &str, verified: &Verified) {
        if let Some(entries) = &self.entries {
            entries.insert(TokenText(text.into()), verified.clone());
        }
    }

    pub(super) fn remove(&self, text: &str) {
        if let Some(entries) = &self.entries {
            entries.remove(&PresentedText(text));
        }
    }

    /// The number of stored tokens.
    pub(super) fn len(&self) -> usize {
        self.entries.as_ref().map_or(0, Cache::len)
    }
}

impl fmt::Debug for TokenCache {
    /// Prints no texts: a token text is a credential.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCache")
            .field("len", &self.len())
            .finish()
    }
}
