//! The public keys: `GET /.well-known/jwks.json` and `GET /.well-known/paserks.json`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use super::state::AppState;
use crate::id::KeyId;
use crate::schedule::MAX_AGE;
use crate::verifier::Verifier;

pub(super) fn router() -> Router<AppState> {
    Router::new()
        .route("/.well-known/jwks.json", get(jwks))
        .route("/.well-known/paserks.json", get(paserks))
}

fn cached(body: impl Serialize) -> impl IntoResponse {
    let cache = format!("public, max-age={}", MAX_AGE.as_secs());
    ([(CACHE_CONTROL, cache)], Json(body))
}

async fn jwks(State(verifier): State<Arc<Verifier>>) -> impl IntoResponse {
    cached(verifier.jwks())
}

/// PASERK has no standard for a list of keys. This has the shape of a JWK set, with PASERK texts.
#[derive(Serialize)]
struct PaserkSet {
    keys: Vec<NamedPaserk>,
}

#[derive(Serialize)]
struct NamedPaserk {
    kid: KeyId,
    paserk: String,
}

async fn paserks(State(verifier): State<Arc<Verifier>>) -> impl IntoResponse {
    let keys = verifier
        .paserks()
        .into_iter()
        .map(|(kid, paserk)| NamedPaserk { kid, paserk });
    cached(PaserkSet {
        keys: keys.collect(),
    })
}
