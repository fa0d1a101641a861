//! `GET /sessions` and `DELETE /sessions/{id}`: the sessions of the caller.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::clear_site_data::ClearSiteData;
use super::logout::LoggedOut;
use crate::account::Accounts;
use crate::http::principal::Session;
use crate::http::problem::Problem;
use crate::http::session_cookies::SessionCookies;
use crate::id::Lineage;
use crate::issuer::Issuer;
use crate::time::Timestamp;

#[derive(Serialize)]
pub(super) struct SessionList {
    username: String,
    /// The time by which the user must change the initial password.
    #[serde(skip_serializing_if = "Option::is_none")]
    password_change_required_by: Option<Timestamp>,
    sessions: Vec<Listed>,
}

/// A session of the user. Times are RFC 3339. The address and the browser are those of the login; the client chose the
/// latter.
#[derive(Serialize)]
struct Listed {
    id: Lineage,
    created_at: Timestamp,
    expires_at: Timestamp,
    address: Option<IpAddr>,
    browser: Option<String>,
    current: bool,
}

pub(super) async fn list(
    State(issuer): State<Arc<Issuer>>,
    State(accounts): State<Arc<dyn Accounts>>,
    session: Session,
) -> Result<Json<SessionList>, Problem> {
    let user = accounts.login_user(session.subject()).await?;
    let sessions = issuer.sessions(session.subject()).await?;
    let listed = |entry: crate::inventory::Entered| Listed {
        id: entry.lineage,
        created_at: entry.auth_time,
        expires_at: entry.session_expiry,
        address: entry.origin.address(),
        browser: entry.origin.browser().map(str::to_owned),
        current: entry.lineage == session.id().lineage,
    };
    Ok(Json(SessionList {
        password_change_required_by: user
            .as_ref()
            .and_then(|user| user.password_change_required_by),
        username: user
            .map(|user| user.username.to_string())
            .unwrap_or_default(),
        sessions: sessions.into_iter().map(listed).collect(),
    }))
}

pub(super) async fn end(
    State(issuer): State<Arc<Issuer>>,
    State(cookies): State<SessionCookies>,
    State(site_data): State<ClearSiteData>,
    Path(id): Path<String>,
    session: Session,
) -> Result<Response, Problem> {
    // The same answer for another user's ID, an unknown ID and a malformed ID.
    let missing = || Problem::of_status(StatusCode::NOT_FOUND);
    let lineage: Lineage = id.parse().map_err(|_| missing())?;
    if !issuer.end_session(session.subject(), lineage).await? {
        return Err(missing());
    }
    if lineage == session.id().lineage {
        return Ok(LoggedOut::own(&cookies, site_data, &session).into_response());
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}
