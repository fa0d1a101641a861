//! Misuse: one test per attack, through the library, `/verify` and `/session` alike.

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "each test program uses its part")]
mod common;

mod algorithm;
mod claims;
mod credentials;
mod fixture;
mod forger;
mod header;
mod issuers;
mod json;
mod mixed_formats;
mod optional_session;
mod paseto;
mod paseto_dates;
mod random;
mod size;
mod text;
mod times;
mod token_cache;
