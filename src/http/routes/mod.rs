//! The service's own routes, and the layers around them.

mod answers;
pub mod caller;
mod clear_site_data;
mod doorbell;
mod health;
pub mod hsts;
mod issued;
mod json;
mod layers;
mod login;
mod logout;
mod oauth;
mod one_host;
mod page_files;
mod password;
mod paths;
mod renew;
mod request_id;
mod revocations;
mod router;
mod session;
mod sessions;
mod state;
mod timing;
mod trace_context;
mod verify;
mod well_known;

pub use caller::TrustedProxies;
pub use clear_site_data::{ClearSiteData, InvalidClearSiteData};
pub use doorbell::Doorbell;
pub use oauth::quotas::ClientQuotas;
pub use one_host::OneHost;
pub use router::{pages, router};
pub use state::Services;
