//! `GET /livez` and `GET /readyz`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use super::problem::Problem;
use crate::verifier::Verifier;

/// The process answers.
pub(super) async fn livez() -> StatusCode {
    StatusCode::OK
}

/// Tokens can be told good from bad here.
pub(super) async fn readyz(State(verifier): State<Arc<Verifier>>) -> Result<StatusCode, Problem> {
    if verifier.is_fresh() {
        Ok(StatusCode::OK)
    } else {
        Err(Problem::unavailable(
            "The revocation list is not provably fresh.",
        ))
    }
}
