//! A real PostgreSQL with faults, as the service and its operators see it.

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "each test program uses its part")]
mod common;
#[path = "../promises/forge.rs"]
#[expect(dead_code, reason = "each test program uses its part")]
mod forge;
#[path = "../nodes/history.rs"]
#[expect(dead_code, reason = "each test program uses its part")]
mod history;
#[path = "../nodes/load.rs"]
#[expect(dead_code, reason = "each test program uses its part")]
mod load;
#[path = "../nodes/nodes.rs"]
#[expect(dead_code, reason = "each test program uses its part")]
mod nodes;

mod clocks;
mod drill;
mod link;
mod outages;
mod paused;
mod refused;
mod secrets;
mod stage;
mod start;
mod swapped;
