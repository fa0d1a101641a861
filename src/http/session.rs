//! `GET /session`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use super::extract::Session;
use super::json;
use super::problem::Problem;
use crate::claims::Claims;
use crate::id::{SessionId, UserId};
use crate::time::{Clock, Timestamp};

/// A session as its owner sees it. Times are RFC 3339.
#[derive(Serialize)]
pub(super) struct SessionView {
    id: SessionId,
    created_at: Timestamp,
    idle_expires_at: Timestamp,
    renew_at: Timestamp,
    expires_at: Timestamp,
    /// The server's time, to count down from.
    now: Timestamp,
}

impl SessionView {
    pub(super) const fn new(claims: &Claims, now: Timestamp) -> Self {
        Self {
            id: claims.session_id,
            created_at: claims.auth_time,
            idle_expires_at: claims.expires_at,
            renew_at: claims.renew_at,
            expires_at: claims.session_expiry,
            now,
        }
    }
}

#[derive(Serialize)]
struct OwnSession {
    #[serde(flatten)]
    session: SessionView,
    subject: UserId,
}

pub(super) async fn session(
    State(clock): State<Arc<dyn Clock>>,
    session: Session,
) -> Result<Response, Problem> {
    let own = OwnSession {
        session: SessionView::new(session.claims(), clock.now()),
        subject: session.subject(),
    };
    json::answer(&own)
}
