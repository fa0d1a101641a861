//! `GET /verify`: 200 for a good token, a refusal for any other.

use axum::http::StatusCode;

use super::extract::Session;

pub(super) async fn verify(_: Session) -> StatusCode {
    StatusCode::OK
}
