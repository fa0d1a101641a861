//! Stateless signed-token sessions that can be revoked at once.
//!
//! A [`Session`] argument protects an axum handler: signature, expiry and revocation are checked in memory, with no
//! call home. The other extractors:
//!
//! - [`Service`] accepts a service that authenticates with a client token.
//! - [`Principal`] accepts a session or a service.
//! - [`Scoped`] also requires scopes.
//!
//! [`Waxseal`] runs the whole service in one process. [`Verifier::remote`] verifies in another process, and
//! [`Verifier::ready`] waits until that verifier can verify, or returns why it cannot.
//!
//! Semantic versioning covers what this documentation shows, and `docs/public-api.txt` lists it. What is public and not
//! shown is for the program, the tests and the benches of this repository, and can change in any version.
//!
//! Examples: `examples/embedded.rs` is an app with Waxseal in its process, `examples/sign_up.rs` an app that signs its
//! users up, and `examples/remote.rs` a service in another process.
//!
#![doc = include_str!("http/guide.md")]
#![warn(clippy::unwrap_used)]

pub mod claims;
mod crypto;
#[doc(hidden)]
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
pub mod report;
pub mod revocation;
#[doc(hidden)]
pub mod schedule;
pub mod scope;
#[doc(hidden)]
pub mod session;
pub mod time;
#[doc(hidden)]
pub mod token;
pub mod verifier;

#[cfg(feature = "server")]
pub mod account;
#[cfg(feature = "server")]
pub mod embedded;
#[cfg(feature = "server")]
#[doc(hidden)]
pub mod inventory;
#[cfg(feature = "server")]
#[doc(hidden)]
pub mod issuer;
#[cfg(feature = "server")]
#[doc(hidden)]
pub mod store;

#[cfg(feature = "server")]
pub use embedded::{Settings, Waxseal};
#[cfg(feature = "axum")]
pub use http::principal::{Principal, Service, Session};
#[cfg(feature = "axum")]
pub use http::scoped::{RequiredScopes, Scoped};
pub use verifier::{VerifiedClaims, Verifier};

// Compiles the example on this page.
#[cfg(all(doctest, feature = "server"))]
#[doc = include_str!("../docs/clients.md")]
struct ClientsPage;
