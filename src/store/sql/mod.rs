//! The database, in one of two engines: SQLite in a file for one node, PostgreSQL for several.
//!
//! From the bottom up: `engine`, `row` and `head` speak SQL to both engines. `command` and `writer` write, and
//! `commands` has the statements of each command. `store` opens the database, and `accounts`, `clients`, `inventory`,
//! `log`, `login_limits` and `register` implement the traits of the domain modules.

mod accounts;
mod address;
mod advice;
mod attendance;
mod clients;
mod command;
mod commands;
mod engine;
mod head;
mod inventory;
mod limits;
mod log;
mod login_limits;
mod marking;
mod migration;
mod moving;
mod moving_statements;
mod packed;
mod postgres;
mod reader;
mod register;
mod row;
mod server;
mod skew;
mod sqlite;
mod statements;
mod store;
mod time_limit;
mod writer;

pub use address::{BadPostgresUrl, PostgresUrl};
pub use marking::Continuation;
pub use moving::{MoveError, Moved, Moving, RowCounts};
pub use skew::{ClockOff, Skew};
pub use store::SqlStore;
