//! Other implementations of the same standards.

#[cfg(feature = "server")]
pub mod jose;
pub mod json;
pub mod paseto;
