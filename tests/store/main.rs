//! One suite for the store on both engines, and what only one of them can be asked.

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "each test program uses its part")]
mod common;

#[macro_use]
mod stage;

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
