//! The only code that uses axum. This folder has what an app that embeds the library needs; `routes` has the service's
//! own routes.

pub mod cause;
mod cookie;
pub mod current;
#[cfg(feature = "server")]
mod host;
pub mod live;
pub mod origins;
pub mod presented;
pub mod principal;
pub mod problem;
#[cfg(feature = "server")]
mod routes;
pub mod scoped;
pub mod session_cookies;

pub use cookie::{NAME as COOKIE_NAME, SameSite};
#[cfg(feature = "server")]
#[doc(hidden)]
pub use routes::TrustedProxies;
#[cfg(feature = "server")]
pub use routes::{ClearSiteData, InvalidClearSiteData, OneHost};
#[cfg(feature = "server")]
pub(crate) use routes::{ClientQuotas, Doorbell, Services, hsts, pages, router};
