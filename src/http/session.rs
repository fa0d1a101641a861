//! `GET /session`.

use axum::Json;
use serde::Serialize;

use super::extract::Session;
use crate::claims::Claims;
use crate::id::{SessionId, UserId};
use crate::time::Timestamp;

/// A session as its owner sees it. Times are RFC 3339.
#[derive(Serialize)]
pub(super) struct SessionView {
    id: SessionId,
    created_at: Timestamp,
    idle_expires_at: Timestamp,
    expires_at: Timestamp,
}

impl SessionView {
    pub(super) const fn new(claims: &Claims) -> Self {
        Self {
            id: claims.session_id,
            created_at: claims.auth_time,
            idle_expires_at: claims.expires_at,
            expires_at: claims.session_expiry,
        }
    }
}

#[derive(Serialize)]
pub(super) struct OwnSession {
    #[serde(flatten)]
    session: SessionView,
    subject: UserId,
}

pub(super) async fn session(session: Session) -> Json<OwnSession> {
    Json(OwnSession {
        session: SessionView::new(session.claims()),
        subject: session.subject(),
    })
}
