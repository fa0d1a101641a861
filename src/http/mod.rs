//! The only axum: what a stranger's app takes, and with the feature `server` the service's own resources.

pub mod extract;
pub mod problem;

#[cfg(feature = "server")]
mod health;
#[cfg(feature = "server")]
mod json;
#[cfg(feature = "server")]
mod layers;
#[cfg(feature = "server")]
mod login;
#[cfg(feature = "server")]
mod logout;
#[cfg(feature = "server")]
mod session;
#[cfg(feature = "server")]
mod verify;
#[cfg(feature = "server")]
mod well_known;

#[cfg(feature = "server")]
pub use router::{AppState, router};

#[cfg(feature = "server")]
mod router;
