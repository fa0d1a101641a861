//! `GET /livez` and `GET /readyz`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

use super::doorbell::Doorbell;
use crate::http::problem::Problem;
use crate::issuer::Issuer;
use crate::verifier::Verifier;

/// 200 while the process answers.
pub(super) async fn livez() -> StatusCode {
    StatusCode::OK
}

/// The state of a ready service: problems that do not make it unready.
#[derive(Serialize)]
pub(super) struct Details {
    revocations: &'static str,
    keys: &'static str,
}

/// 200 if this node can verify tokens; 503 if it cannot, or while it shuts down.
pub(super) async fn readyz(
    State(verifier): State<Arc<Verifier>>,
    State(issuer): State<Arc<Issuer>>,
    State(doorbell): State<Doorbell>,
) -> Result<Json<Details>, Problem> {
    if doorbell.is_closing() {
        return Err(Problem::unavailable(
            "The service stops. It serves on until its notice is over.",
        ));
    }
    if !verifier.is_fresh() {
        tracing::warn!("not ready: the revocation list is not provably fresh");
        return Err(Problem::unavailable(
            "The revocation list is not provably fresh.",
        ));
    }
    // Every key begins in the future, so the clock or the keys are wrong: no token is valid yet by this clock.
    if let Some(why) = issuer.not_yet() {
        tracing::warn!("not ready: {why}");
        return Err(Problem::unavailable(
            "No key signs yet, so nobody can log in.",
        ));
    }
    let keys = match (verifier.keys_are_current(), issuer.can_sign()) {
        (false, _) => "broken",
        (true, false) => "no_signing_key",
        (true, true) => "current",
    };
    Ok(Json(Details {
        revocations: "fresh",
        keys,
    }))
}
