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
//! # Embed the service
//!
//! The feature `server`, which is on by default, has the whole service. This app has one route of its own:
//!
#![cfg_attr(feature = "server", doc = "```no_run")]
#![cfg_attr(not(feature = "server"), doc = "```ignore")]
//! use std::net::SocketAddr;
//!
//! use axum::{Router, routing::get};
//! use waxseal::{Session, Settings, Waxseal};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let waxseal = Waxseal::open(&Settings::for_issuer("http://127.0.0.1:3000")).await?;
//! tokio::spawn(waxseal.clone().maintain());
//! let hello = get(|session: Session| async move { format!("hello, {}", session.subject()) });
//! let app = Router::new()
//!     .route("/hello", hello)
//!     .with_state(waxseal.verifier())
//!     .layer(waxseal.cookies())
//!     .merge(waxseal.router())
//!     .merge(waxseal.pages())
//!     .into_make_service_with_connect_info::<SocketAddr>();
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//! axum::serve(listener, app).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Verify in another process
//!
//! The feature `remote` follows the revocation feed of a service elsewhere. `waxseal client add` prints the credentials.
//!
#![cfg_attr(all(feature = "axum", feature = "remote"), doc = "```no_run")]
#![cfg_attr(not(all(feature = "axum", feature = "remote")), doc = "```ignore")]
//! use axum::{Router, routing::get};
//! use waxseal::{Session, Verifier};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (id, secret) = (std::env::var("CLIENT_ID")?, std::env::var("CLIENT_SECRET")?);
//! let verifier = Verifier::remote("https://auth.example", &id, secret)
//!     .audience("https://orders.example")
//!     .start()?;
//! verifier.ready().await?;
//! let orders = get(|session: Session| async move { format!("orders of {}", session.subject()) });
//! let app: Router = Router::new().route("/orders", orders).with_state(verifier);
//! # Ok(())
//! # }
//! ```
//!
//! Examples: `examples/embedded.rs` is an app with Waxseal in its process, `examples/sign_up.rs` an app that signs its
//! users up, and `examples/remote.rs` a service in another process.

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
