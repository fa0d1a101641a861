//! What lasts: the only SQL and the only files of keys. The traits belong to the modules within.

pub mod key_folder;
pub mod sqlite;
