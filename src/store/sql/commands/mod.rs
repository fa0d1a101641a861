//! The commands, each of which writes within the transaction that holds the head.

pub(in crate::store::sql) mod client;
pub(in crate::store::sql) mod limits;
pub(in crate::store::sql) mod log;
pub(in crate::store::sql) mod session;
pub(in crate::store::sql) mod user;
