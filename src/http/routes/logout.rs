//! `POST /logout`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::clear_site_data::ClearSiteData;
use super::json::MaybeJson;
use crate::http::principal::Session;
use crate::http::problem::Problem;
use crate::http::session_cookies::SessionCookies;
use crate::id::NodeId;
use crate::issuer::{Issuer, LogoutReach};
use crate::revocation::fence::Fenced;

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    scope: WantedScope,
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct WantedScope(LogoutReach);

/// Parses text only: serde would also read an enum from an object.
impl TryFrom<String> for WantedScope {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_str() {
            "this" => Ok(Self(LogoutReach::This)),
            "others" => Ok(Self(LogoutReach::Others)),
            "all" => Ok(Self(LogoutReach::All)),
            _ => Err("this, others or all"),
        }
    }
}

pub(super) async fn logout(
    State(issuer): State<Arc<Issuer>>,
    State(cookies): State<SessionCookies>,
    State(site_data): State<ClearSiteData>,
    session: Session,
    MaybeJson(wanted): MaybeJson<Wanted>,
) -> Result<Response, Problem> {
    let scope = wanted.map(|wanted| wanted.scope.0).unwrap_or_default();
    let fenced = issuer.logout(session.verified(), scope).await?;
    let mut response = match scope {
        LogoutReach::Others => StatusCode::NO_CONTENT.into_response(),
        LogoutReach::This | LogoutReach::All => {
            LoggedOut::own(&cookies, site_data, &session).into_response()
        }
    };
    if let Some(fenced) = fenced {
        response
            .headers_mut()
            .insert(SERVER_TIMING, timing(&fenced));
    }
    Ok(response)
}

/// How long the logout waited for the other nodes, and for which ones (W3C Server Timing). It names them by ID:
/// operators know these, and host names stay private.
fn timing(fenced: &Fenced) -> HeaderValue {
    let millis = fenced.took.as_millis();
    let nodes: Vec<_> = fenced.waited_for.iter().map(NodeId::to_string).collect();
    let text = format!("fence;dur={millis};desc=\"{}\"", nodes.join(" "));
    // IDs and digits are visible ASCII.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("fence"))
}

/// 204 for a request that ended its own session. It clears the cookie, and asks the browser to delete what the settings
/// name.
pub(super) struct LoggedOut(HeaderMap);

impl LoggedOut {
    pub(super) fn own(
        cookies: &SessionCookies,
        site_data: ClearSiteData,
        session: &Session,
    ) -> Self {
        let mut headers = HeaderMap::new();
        if session.has_cookie() {
            cookies.clear(&mut headers);
        }
        headers.extend(site_data.header().map(|value| (CLEAR_SITE_DATA, value)));
        Self(headers)
    }
}

impl IntoResponse for LoggedOut {
    fn into_response(self) -> Response {
        (StatusCode::NO_CONTENT, self.0).into_response()
    }
}
