//! OAuth clients with credentials of their own, and the endpoints that they use.

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "each test program uses its part")]
mod common;

#[path = "../misuse/forger.rs"]
mod forger;

mod assertions;
mod bad_requests;
mod clocks;
mod cut_offs;
mod extractors;
mod fixture;
mod foreign_assertions;
mod introspect;
mod limits;
mod mixed;
mod races;
mod revoke;
mod rotation;
mod secrets;
mod token;
