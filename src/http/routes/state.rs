//! The state of the routes: what they need, and how extractors take it.

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

/// What the resources need.
#[derive(Debug)]
pub struct Services {
    /// Begins, renews and ends sessions.
    pub issuer: Arc<Issuer>,
    /// Verifies tokens.
    pub verifier: Arc<Verifier>,
    /// Who has sessions.
    pub accounts: Arc<dyn Accounts>,
    /// Counts logins.
    pub limits: Arc<LoginLimits>,
    /// Counts what clients ask for.
    pub quotas: Arc<ClientQuotas>,
    /// Carries sessions in cookies.
    pub cookies: SessionCookies,
    /// What a logout asks the browser to delete.
    pub clear_site_data: ClearSiteData,
    /// Whose word about addresses counts.
    pub proxies: TrustedProxies,
    /// Tells readers of the feed that there is news.
    pub doorbell: Doorbell,
    /// What tells browsers to use HTTPS alone (RFC 6797), if they are to be told.
    pub hsts: Option<HeaderValue>,
    /// Names requests.
    pub random: Arc<dyn Random>,
}

/// The same for every resource: a request takes it several times, so taking it is cheap.
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
