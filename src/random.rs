//! The only randomness. Everything else takes a [`Random`] as an argument.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use ring::rand::{SecureRandom, SystemRandom};

/// Where random bytes come from.
pub trait Random: Send + Sync + fmt::Debug {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}

/// The operating system's generator.
#[derive(Clone, Debug)]
pub struct OsRandom(SystemRandom);

impl OsRandom {
    /// The operating system's generator.
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
        // A machine without randomness can neither sign nor salt: to go on would be worse than to stop.
        self.0
            .fill(bytes)
            .expect("the operating system gives random bytes");
    }
}

/// A generator that repeats itself from its seed, for tests. Its bytes are not secret.
#[derive(Debug)]
pub struct SeededRandom {
    seed: u64,
    calls: AtomicU64,
}

impl SeededRandom {
    /// The generator that belongs to `seed`.
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
