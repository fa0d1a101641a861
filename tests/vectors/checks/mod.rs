//! One check per fuzz target. A check reads the input with Waxseal and with another implementation, and panics if
//! Waxseal accepts what the other one refuses, or reads another meaning. It returns whether Waxseal accepted.
//!
//! The targets in `fuzz/` and the replay in this program run the same checks.

pub mod others;

#[cfg(feature = "server")]
pub mod assertion;
#[cfg(feature = "server")]
pub mod authorization;
#[cfg(feature = "server")]
pub mod base64url;
#[cfg(feature = "server")]
pub mod cookie;
#[cfg(feature = "server")]
pub mod credentials;
#[cfg(feature = "server")]
pub mod fixture;
#[cfg(feature = "server")]
pub mod forwarded_for;
#[cfg(feature = "server")]
pub mod json;
#[cfg(feature = "server")]
pub mod jwk;
#[cfg(feature = "server")]
pub mod page;
#[cfg(feature = "server")]
pub mod token;
