//! The ground floor: encodings that know nothing of Waxseal.

pub mod base64url;
pub mod paserk;
pub mod strict_json;
