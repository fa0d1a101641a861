//! Promise 5, never orphaned: key rotation refuses no live token, and signs with no key that a verifier could not yet
//! have.

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "each test program uses its part")]
mod common;

mod crash;
mod first_key;
mod folder;
mod never_orphaned;
mod read_only;
mod reload;
mod schedule;
