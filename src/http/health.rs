//! `GET /livez` and `GET /readyz`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

use super::problem::Problem;
use super::revocations::Doorbell;
use crate::issuer::Issuer;
use crate::verifier::Verifier;

/// The process answers.
pub(super) async fn livez() -> StatusCode {
    StatusCode::OK
}

/// What a service that is ready may still be in trouble with.
#[derive(Serialize)]
pub(super) struct Details {
    revocations: &'static str,
    keys: &'static str,
}

/// Tokens can be issued here, and told good from bad.
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
    if !issuer.can_sign() {
        tracing::warn!("not ready: no key signs now; run: waxseal keys plan");
        return Err(Problem::unavailable(
            "No key signs now, so nobody can log in.",
        ));
    }
    let keys = if verifier.keys_are_current() {
        "current"
    } else {
        "broken"
    };
    Ok(Json(Details {
        revocations: "fresh",
        keys,
    }))
}
