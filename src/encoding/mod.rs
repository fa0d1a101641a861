//! Encodings. This is the lowest layer: it knows nothing of Waxseal.

pub mod base64url;
pub(crate) mod object_only;
pub mod paserk;
pub mod strict_json;
