//! The resources, as HTTP sees them.

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "each test program uses its part")]
mod common;

mod bad_input;
mod session;
