//! The state of the routes, and how extractors read it.

use std::ops::Deref;
use std::sync::Arc;

use axum::extract::FromRef;
use axum::http::HeaderValue;

use super::caller::TrustedProxies;
use super::clear_site_data::ClearSiteData;
use super::doorbell::Doorbell;
use super::oauth::quotas::ClientQuotas;
use crate::account::Accounts;
use crate::account::limits::LoginLimits;
use crate::http::session_cookies::SessionCookies;
use crate::issuer::Issuer;
use crate::random::Random;
use crate::verifier::Verifier;

/// The parts of the service that the resources use.
#[derive(Debug)]
pub struct Services {
    /// Begins, renews and ends sessions.
    pub issuer: Arc<Issuer>,
    /// Verifies tokens.
    pub verifier: Arc<Verifier>,
    /// The users who can have sessions.
    pub accounts: Arc<dyn Accounts>,
    /// The rate limits of logins.
    pub limits: Arc<LoginLimits>,
    /// The rate limits and quotas of clients.
    pub quotas: Arc<ClientQuotas>,
    /// The layer for session cookies.
    pub cookies: SessionCookies,
    /// What a logout asks the browser to delete.
    pub clear_site_data: ClearSiteData,
    /// The proxies whose `X-Forwarded-For` is trusted.
    pub proxies: TrustedProxies,
    /// Notifies readers of the feed about new revocations.
    pub doorbell: Doorbell,
    /// The value of `Strict-Transport-Security` (RFC 6797), if it is sent.
    pub hsts: Option<HeaderValue>,
    /// The source of request IDs.
    pub random: Arc<dyn Random>,
}

/// The state that all resources share. A request clones it several times, so a clone is cheap.
#[derive(Clone, Debug)]
pub(super) struct AppState {
    services: Arc<Services>,
}

impl AppState {
    pub(super) fn new(services: Services) -> Self {
        Self {
            services: Arc::new(services),
        }
    }
}

impl Deref for AppState {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.services
    }
}

macro_rules! gives {
    ($($field:ident: $type:ty),* $(,)?) => {$(
        impl FromRef<AppState> for $type {
            fn from_ref(state: &AppState) -> Self {
                state.$field.clone()
            }
        }
    )*};
}

gives! {
    issuer: Arc<Issuer>,
    verifier: Arc<Verifier>,
    accounts: Arc<dyn Accounts>,
    limits: Arc<LoginLimits>,
    quotas: Arc<ClientQuotas>,
    cookies: SessionCookies,
    clear_site_data: ClearSiteData,
    proxies: TrustedProxies,
    doorbell: Doorbell,
}
