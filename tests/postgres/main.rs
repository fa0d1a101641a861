//! A real PostgreSQL with faults, as the service and its operators see it.

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "each test program uses its part")]
mod common;
#[path = "../nodes/history.rs"]
#[expect(dead_code, reason = "each test program uses its part")]
mod history;
#[path = "../nodes/load.rs"]
#[expect(dead_code, reason = "each test program uses its part")]
mod load;
#[path = "../nodes/nodes.rs"]
#[expect(dead_code, reason = "each test program uses its part")]
mod nodes;
#[path = "../promises/token_forge.rs"]
#[expect(dead_code, reason = "each test program uses its part")]
mod token_forge;

mod clocks;
mod drill;
mod fixture;
mod link;
mod outages;
mod paused;
mod refused;
mod secrets;
mod start;
mod swapped;
