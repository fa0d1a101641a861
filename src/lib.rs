//! Stateless signed-token sessions that can be revoked at once.
//!
//! A [`Session`] argument makes an axum handler protected: signature, expiry and revocation are
//! checked in memory, with no call home. [`Service`] is a service that calls, [`Principal`] either, and
//! [`Scoped`] one with the scopes that a handler needs. [`Waxseal`] is the whole service in one process;
//! [`Verifier::remote`] verifies in another, and [`Verifier::ready`] waits until it can or returns why it cannot.
//!
//! `examples/embedded.rs` is a whole app with Waxseal in its process, `examples/sign_up.rs` one that signs its users
//! up, and `examples/remote.rs` a service in another process.

#![warn(clippy::unwrap_used)]

pub mod claims;
mod crypto;
pub mod encoding;
#[cfg(feature = "axum")]
pub mod http;
pub mod id;
pub mod key;
pub mod keyring;
pub mod meters;
pub mod policy;
pub mod random;
#[cfg(feature = "remote")]
pub mod remote;
pub mod revocation;
pub mod schedule;
pub mod scope;
pub mod session;
pub mod time;
pub mod token;
pub mod verifier;

#[cfg(feature = "server")]
pub mod account;
#[cfg(feature = "server")]
pub mod embedded;
#[cfg(feature = "server")]
pub mod inventory;
#[cfg(feature = "server")]
pub mod issuer;
#[cfg(feature = "server")]
pub mod store;

#[cfg(feature = "server")]
pub use embedded::{Settings, Waxseal};
#[cfg(feature = "axum")]
pub use http::principal::{Principal, Service, Session};
#[cfg(feature = "axum")]
pub use http::scoped::{RequiredScopes, Scoped};
pub use verifier::{VerifiedClaims, Verifier};

// The page's example is compiled.
#[cfg(all(doctest, feature = "server"))]
#[doc = include_str!("../docs/clients.md")]
struct ClientsPage;
