//! The resources, on one page.

use std::ops::Deref;
use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use axum::http::HeaderValue;
use axum::routing::{delete, get, post};

use super::caller::TrustedProxies;
use super::clear_site_data::ClearSiteData;
use super::layers::Around;
use super::oauth::ClientQuotas;
use super::origins::Origins;
use super::revocations::{Doorbell, Feed};
use super::session_cookies::SessionCookies;
use super::{
    health, login, logout, oauth, page_files, password, renew, revocations, session, sessions,
    verify, well_known,
};
use crate::account::Accounts;
use crate::account::limits::LoginLimits;
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
pub(super) struct AppState(Arc<Services>);

impl Deref for AppState {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.0
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

/// The service's resources.
pub fn router(services: Services) -> Router {
    let state = AppState(Arc::new(services));
    let cookies = &state.cookies;
    // One layer with those within it: a request's way through each that stands alone is cloned and boxed anew.
    let around = Around::new(cookies.origins(), state.hsts.clone(), &state.random);
    // Its answer goes to a proxy, and the fewer headers it has the sooner it is read.
    let around_verify = Around::new(cookies.origins(), None, &state.random);
    let feed = Router::new()
        .route("/revocations", get(revocations::revocations))
        .layer(around.clone())
        .with_state(Feed::of(&state));
    let public = well_known::router().merge(oauth::metadata_router());
    Router::new()
        .route("/login", post(login::login))
        .route("/logout", post(logout::logout))
        .route("/password", post(password::change))
        .route("/session", get(session::session))
        .route("/session/renew", post(renew::renew))
        .route("/sessions", get(sessions::list))
        .route("/sessions/{id}", delete(sessions::end))
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .layer((around.clone(), cookies.clone()))
        .merge(verify::router().layer((around_verify, cookies.if_passed_on())))
        .merge(oauth::router().layer(around))
        .merge(public.layer(Around::public(state.hsts.clone(), &state.random)))
        .with_state(state)
        .merge(feed)
}

/// The service's own pages, at `/` and below `/pages`, and what browsers look for on any site: `/favicon.ico`,
/// `/robots.txt` and `/.well-known/change-password`. The pages use the resources, on the same origin, and send
/// people on to the origins that the cookies allow.
pub fn pages(
    cookies: &SessionCookies,
    hsts: Option<HeaderValue>,
    random: &Arc<dyn Random>,
) -> Router {
    let around = Around::new(&Origins::default(), hsts, random);
    page_files::router(cookies.origins()).layer((around, cookies.clone()))
}
