//! Observability: metrics on the operators' port, and request IDs that tell requests apart in the log.

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "each test program uses its part")]
mod common;

mod ages;
mod connections;
mod docs;
mod otlp;
mod port;
mod request_ids;
mod scrape;
mod traffic;
