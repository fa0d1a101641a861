//! The only axum: what a stranger's app takes, and with the feature `server` the service's own resources.

mod cookie;
pub mod current;
pub mod extract;
#[cfg(feature = "server")]
mod host;
#[cfg(feature = "server")]
pub mod hsts;
pub mod live;
pub mod origins;
pub mod problem;
pub mod service;
pub mod session_cookies;

#[cfg(feature = "server")]
pub mod caller;
#[cfg(feature = "server")]
mod clear_site_data;
#[cfg(feature = "server")]
mod health;
#[cfg(feature = "server")]
mod issued;
#[cfg(feature = "server")]
mod json;
#[cfg(feature = "server")]
mod layers;
#[cfg(feature = "server")]
mod login;
#[cfg(feature = "server")]
mod logout;
#[cfg(feature = "server")]
mod oauth;
#[cfg(feature = "server")]
mod page_files;
#[cfg(feature = "server")]
mod password;
#[cfg(feature = "server")]
mod renew;
#[cfg(feature = "server")]
mod request_id;
#[cfg(feature = "server")]
pub mod revocations;
#[cfg(feature = "server")]
mod session;
#[cfg(feature = "server")]
mod sessions;
#[cfg(feature = "server")]
mod sign_up;
#[cfg(feature = "server")]
mod timing;
#[cfg(feature = "server")]
mod trace_context;
#[cfg(feature = "server")]
mod verify;
#[cfg(feature = "server")]
mod well_known;

#[cfg(feature = "server")]
pub use clear_site_data::{ClearSiteData, InvalidClearSiteData};
pub use cookie::{NAME as COOKIE_NAME, SameSite};
#[cfg(feature = "server")]
pub use host::OneHost;
#[cfg(feature = "server")]
pub use oauth::ClientQuotas;
#[cfg(feature = "server")]
pub use router::{Services, pages, router};

#[cfg(feature = "server")]
mod router;
