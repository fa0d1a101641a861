//! The resources, on one page.

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use axum::routing::{get, post};

use super::{health, layers, login, logout, session, verify, well_known};
use crate::issuer::Issuer;
use crate::random::Random;
use crate::verifier::Verifier;

/// What the resources need.
#[derive(Clone, Debug)]
pub struct AppState {
    /// Begins and ends sessions.
    pub issuer: Arc<Issuer>,
    /// Verifies tokens.
    pub verifier: Arc<Verifier>,
    /// Names requests.
    pub random: Arc<dyn Random>,
}

impl FromRef<AppState> for Arc<Issuer> {
    fn from_ref(state: &AppState) -> Self {
        Self::clone(&state.issuer)
    }
}

impl FromRef<AppState> for Arc<Verifier> {
    fn from_ref(state: &AppState) -> Self {
        Self::clone(&state.verifier)
    }
}

/// The service's resources.
pub fn router(state: AppState) -> Router {
    let resources = Router::new()
        .route("/login", post(login::login))
        .route("/logout", post(logout::logout))
        .route("/session", get(session::session))
        .route("/verify", get(verify::verify))
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/.well-known/jwks.json", get(well_known::jwks))
        .route("/.well-known/paserks.json", get(well_known::paserks));
    layers::around(resources, &state.random).with_state(state)
}
