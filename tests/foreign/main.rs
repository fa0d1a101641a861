//! Implementations of the same standards by others: libraries in other languages.

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "each test program uses its part")]
mod common;

mod interop;
mod oauth;
