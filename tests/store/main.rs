//! One suite for the store on both engines, and tests that apply to only one of them.

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "each test program uses its part")]
mod common;

#[macro_use]
mod fixture;

mod accounts;
mod clients;
mod files;
mod inventory;
mod limits;
mod log;
mod mark;
mod register;
mod servers;
mod start;
mod statements;
mod writers;
