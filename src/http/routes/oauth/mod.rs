//! OAuth 2.0 for clients: token, revocation and introspection endpoints. Refusals are the error JSON of RFC 6749,
//! section 5.2.

mod client;
pub(super) mod error;
mod form;
mod introspect;
mod metadata;
pub(super) mod quotas;
mod revoke;
mod token;

use axum::Router;
use axum::routing::{get, post};

use super::state::AppState;

/// These routes ignore cookies.
pub(super) fn router() -> Router<AppState> {
    Router::new()
        .route("/oauth/token", post(token::token))
        .route("/oauth/revoke", post(revoke::revoke))
        .route("/oauth/introspect", post(introspect::introspect))
}

/// The metadata route, which is public.
pub(super) fn metadata_router() -> Router<AppState> {
    Router::new().route(
        "/.well-known/oauth-authorization-server",
        get(metadata::metadata),
    )
}
