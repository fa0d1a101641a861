//! What lasts: the only SQL and the only files of keys and of the mark. The traits belong to the modules within.

pub mod files;
pub mod key_folder;
pub mod mark;
pub mod sql;
