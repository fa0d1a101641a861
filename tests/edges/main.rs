//! Real proxies in front of a service that does not know Waxseal, with the configurations of `examples/proxies`: one
//! table of cases for all of them.

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "each test program uses its part")]
mod common;

mod browser;
mod caddy;
mod curl;
mod envoy;
mod fixture;
mod nginx;
mod page;
mod service;
mod session;
mod table;
