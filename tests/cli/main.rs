//! The command line, tested with the built program.

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "each test program uses its part")]
mod common;

#[path = "../rotation/folder.rs"]
mod folder;

mod clients;
mod commands;
mod configuration;
mod first_hour;
mod first_user;
mod help;
mod import;
mod keys;
mod nodes;
mod output;
mod readme;
mod shapes;
mod terminal;
