//! Several nodes on one PostgreSQL, and tests of the test harness itself.

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "each test program uses its part")]
mod common;

mod checker;
mod delay;
mod faults;
mod harness;
mod history;
mod load;
mod metrics;
mod nodes;
mod spread_limits;
#[path = "../promises/token_forge.rs"]
#[expect(dead_code, reason = "each test program uses its part")]
mod token_forge;
mod tools;
