//! `GET /.well-known/jwks.json`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;

use crate::verifier::Verifier;

/// How long a verifier may keep the keys, in seconds.
const MAX_AGE: &str = "public, max-age=600";

pub(super) async fn jwks(State(verifier): State<Arc<Verifier>>) -> impl IntoResponse {
    ([(CACHE_CONTROL, MAX_AGE)], Json(verifier.keyring().jwks()))
}
