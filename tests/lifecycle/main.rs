//! The lifetime of a session: each timeout at its edges, each way to be superseded, and random lives of sessions
//! against a small model.

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "each test program uses its part")]
mod common;

mod fixture;
mod model;
mod not_renewed;
mod parallel;
mod reference;
mod skew;
mod superseded;
mod table;
