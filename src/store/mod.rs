//! Durable storage: the only SQL, and the only code that reads or writes the files of the keys and the mark. The traits
//! belong to the domain modules.

pub mod files;
pub mod key_folder;
pub mod mark;
pub mod sql;
