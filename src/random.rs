//! The only source of randomness. All other code takes a [`Random`] as an argument.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use ring::rand::{SecureRandom, SystemRandom};

/// A source of random bytes.
pub trait Random: Send + Sync + fmt::Debug {
    /// Fills `bytes` with random bytes.
    fn fill(&self, bytes: &mut [u8]);
}

/// The operating system's generator.
#[derive(Clone, Debug)]
pub struct OsRandom(SystemRandom);

impl OsRandom {
    /// Opens the operating system's generator.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that opens the generator"
    )]
    pub fn new() -> Self {
        Self(SystemRandom::new())
    }

    pub(crate) fn ring(&self) -> &SystemRandom {
        &self.0
    }
}

impl Default for OsRandom {
    fn default() -> Self {
        Self::new()
    }
}

impl Random for OsRandom {
    fn fill(&self, bytes: &mut [u8]) {
        // Without randomness the service can neither sign nor salt, so it panics rather than continue.
        self.0
            .fill(bytes)
            .expect("the operating system gives random bytes");
    }
}

/// A deterministic generator for tests. Its bytes are not secret.
#[derive(Debug)]
pub struct SeededRandom {
    seed: u64,
    calls: AtomicU64,
}

impl SeededRandom {
    /// Creates the generator for `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            seed,
            calls: AtomicU64::new(0),
        }
    }
}

impl Random for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            let mut context = ring::digest::Context::new(&ring::digest::SHA256);
            context.update(&self.seed.to_be_bytes());
            context.update(&self.calls.fetch_add(1, Ordering::SeqCst).to_be_bytes());
            chunk.copy_from_slice(&context.finish().as_ref()[..chunk.len()]);
        }
    }
}
