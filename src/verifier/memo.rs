//! The memo: a token text that verified before, to the byte, has the signature that it had.
//!
//! It knows signatures alone. Time, key, audience, revocation and freshness are asked each time, by the
//! one function that asks them of a token that is new.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{Hash, Hasher};

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{Equivalent, OptionsBuilder, Weighter};

use super::verified::Verified;
use crate::token::paseto;

/// What the memo may hold if nothing is said, in bytes: some 39,000 tokens.
pub const MEMO_BYTES: u64 = 64 * 1024 * 1024;

/// What a token takes beside its text and its claims: places in tables, reference counts, what an
/// allocator keeps for itself.
const OVERHEAD: u64 = 256;

/// A token that is far from the usual one in size only makes the first guess of the table's size a bad one.
const USUAL: u64 = 1700;

/// How much of a text its place depends on.
const TAIL: usize = 32;

/// Token texts that verified, and what they said; the least used of them leave when it is full.
pub(super) struct Memo(Option<MemoCache>);

type MemoCache =
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

/// The end of the signature. Texts meet in one place only if their signatures end alike, and nothing
/// enters whose signature is not good: who has no key cannot choose how one ends, and the hash has a
/// secret of its own besides. That spares hashing the whole text; it is compared whole.
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

impl Memo {
    /// One of at most so many bytes; with none it remembers nothing.
    pub(super) fn of(bytes: u64) -> Self {
        let items = usize::try_from(bytes / USUAL).unwrap_or(usize::MAX);
        let options = OptionsBuilder::new()
            .estimated_items_capacity(items.max(1))
            .weight_capacity(bytes)
            .build();
        let known = options.ok().filter(|_| bytes > 0).map(|options| {
            Cache::with_options(
                options,
                Weigher,
                RandomState::new(),
                DefaultLifecycle::default(),
            )
        });
        Self(known)
    }

    /// What that text said when it verified.
    pub(super) fn get(&self, text: &str) -> Option<Verified> {
        self.0.as_ref()?.get(&PresentedText(text))
    }

    /// Remembers a text whose signature is good.
    pub(super) fn remember(&self, text: &str, verified: &Verified) {
        if let Some(known) = &self.0 {
            known.insert(TokenText(text.into()), verified.clone());
        }
    }

    pub(super) fn forget(&self, text: &str) {
        if let Some(known) = &self.0 {
            known.remove(&PresentedText(text));
        }
    }

    /// How many tokens it remembers.
    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, Cache::len)
    }
}

impl fmt::Debug for Memo {
    /// The texts are what lets their bearer in.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memo").field("len", &self.len()).finish()
    }
}
