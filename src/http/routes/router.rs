//! All routes, on one page.

use std::sync::Arc;

use axum::Router;
use axum::http::HeaderValue;
use axum::routing::{delete, get, post};

use super::layers::EdgeLayer;
use super::revocations::Feed;
use super::state::{AppState, Services};
use super::{
    health, login, logout, oauth, page_files, password, renew, revocations, session, sessions,
    verify, well_known,
};
use crate::http::origins::Origins;
use crate::http::session_cookies::SessionCookies;
use crate::random::Random;

/// Creates the router of the service's resources.
pub fn router(services: Services) -> Router {
    let state = AppState::new(services);
    let cookies = &state.cookies;
    // Perf: one layer instead of several, because each separate layer clones and boxes a request anew.
    let edge = EdgeLayer::new(cookies.origins(), state.hsts.clone(), &state.random);
    // A proxy reads the answer, and reads it faster with fewer headers.
    let edge_of_verify = EdgeLayer::new(cookies.origins(), None, &state.random);
    let feed = Router::new()
        .route("/revocations", get(revocations::revocations))
        .layer(edge.clone())
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
        .layer((edge.clone(), cookies.clone()))
        .merge(verify::router().layer((edge_of_verify, cookies.if_passed_on())))
        .merge(oauth::router().layer(edge))
        .merge(public.layer(EdgeLayer::public(state.hsts.clone(), &state.random)))
        .with_state(state)
        .merge(feed)
}

/// Creates the router of the service's own pages, at `/` and below `/pages`, and of the files that browsers expect on
/// any site: `/favicon.ico`, `/robots.txt` and `/.well-known/change-password`. The pages call the resources on the same
/// origin, and redirect to the origins that the cookies allow.
pub fn pages(
    cookies: &SessionCookies,
    hsts: Option<HeaderValue>,
    random: &Arc<dyn Random>,
) -> Router {
    let edge = EdgeLayer::new(&Origins::default(), hsts, random);
    page_files::router(cookies.origins()).layer((edge, cookies.clone()))
}
