//! `POST /login`.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts, State};
use axum::http::request::Parts;
use axum::response::Response;
use serde::Deserialize;

use super::caller::Caller;
use super::issued::Respond;
use super::json::{Json, SecretText};
use crate::account::Username;
use crate::account::limits::LoginLimits;
use crate::account::password::Password;
use crate::http::cookie;
use crate::http::origins::RequestSource;
use crate::http::presented::{self, Carrier};
use crate::http::problem::Problem;
use crate::http::session_cookies::{Did, SessionCookies};
use crate::issuer::{Issuer, LoggedIn, LoginError};
use crate::verifier::{Refusal, Superseded, VerifiedClaims, Verifier};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LoginRequest {
    username: String,
    password: SecretText,
    #[serde(default)]
    delivery: Delivery,
}

/// How the token is delivered.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Delivery(Carrier);

impl Default for Delivery {
    fn default() -> Self {
        Self(Carrier::Bearer)
    }
}

/// Parses text only: serde would also read an enum from an object.
impl TryFrom<String> for Delivery {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_str() {
            "bearer" => Ok(Self(Carrier::Bearer)),
            "cookie" => Ok(Self(Carrier::Cookie)),
            _ => Err("bearer or cookie"),
        }
    }
}

/// The session that a login replaces: that of the token which the request carries in the same way in which the login
/// delivers the new one.
pub(super) struct Former {
    cookie: Option<Result<VerifiedClaims, Refusal>>,
    bearer: Option<Result<VerifiedClaims, Refusal>>,
    /// Whether the session cookie may be used at the request's host.
    host: Result<(), Problem>,
}

impl<S> FromRequestParts<S> for Former
where
    Arc<Verifier>: FromRef<S>,
    SessionCookies: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    /// Refuses a page of another site, which could log the browser in as the attacker's user (login CSRF).
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let cookies = SessionCookies::from_ref(state);
        if cookies.origins().sender(&parts.headers) == RequestSource::CrossSite {
            return Err(Problem::cross_site());
        }
        let verifier = Arc::<Verifier>::from_ref(state);
        let cookie = cookie::read(&parts.headers).map_err(|_| Problem::two_credentials())?;
        // A login needs no other credentials, so malformed ones are ignored: they have no session to end.
        let bearer = presented::bearer(&parts.headers).ok().flatten();
        Ok(Self {
            cookie: cookie.map(|token| verifier.verify(token)),
            bearer: bearer.map(|token| verifier.verify(token)),
            host: cookies.check_host(&parts.uri, &parts.headers),
        })
    }
}

impl Former {
    /// Returns the session to replace, for a login with this delivery. None if the token is missing or invalid.
    ///
    /// # Errors
    /// Those of [`SessionCookies::check_host`] if the delivery is the cookie; 503 if the list is stale.
    fn replaced(self, carrier: Carrier) -> Result<Option<Replaced>, Problem> {
        let verdict = match carrier {
            Carrier::Bearer => self.bearer,
            Carrier::Cookie => {
                self.host?;
                self.cookie
            }
        };
        match verdict {
            Some(Ok(session)) => Ok(Some(Replaced::Good(Box::new(session)))),
            Some(Err(Refusal::Superseded(superseded))) => Ok(Some(Replaced::Reused(superseded))),
            // The session can be valid, and would stay alive.
            Some(Err(Refusal::Stale)) => Err(Refusal::Stale.into()),
            Some(Err(_)) | None => Ok(None),
        }
    }
}

enum Replaced {
    Good(Box<VerifiedClaims>),
    Reused(Superseded),
}

pub(super) async fn login(
    State(issuer): State<Arc<Issuer>>,
    State(limits): State<Arc<LoginLimits>>,
    respond: Respond,
    former: Former,
    caller: Caller,
    Json(credentials): Json<LoginRequest>,
) -> Result<Response, Problem> {
    let password = Password::presented(credentials.password.0)
        .map_err(|_| Problem::invalid_request("A password has at most 1024 bytes."))?;
    let Delivery(carrier) = credentials.delivery;
    let replaced = former.replaced(carrier)?;
    // Rate-limits all invalid usernames under one shared key.
    let username = Username::typed(&credentials.username).ok();
    let account = username.map(|name| name.to_string()).unwrap_or_default();
    let attempt = limits.admit_login(&account, caller.address).await?;
    let (class, origin) = (attempt.class(), caller.origin());
    let login = issuer.login_in(class, &credentials.username, password, origin);
    let LoggedIn {
        issued,
        password_change_required_by,
    } = match login.await {
        Ok(login) => login,
        Err(cause) => {
            // The password was not found to be wrong.
            if matches!(cause, LoginError::Store(_)) || cause.is_busy() {
                limits.not_made(attempt).await;
            }
            return Err(cause.into());
        }
    };
    limits.succeeded(attempt).await;
    match replaced {
        Some(Replaced::Good(session)) => issuer.replace(&session).await?,
        Some(Replaced::Reused(superseded)) => issuer.reused(&superseded).await?,
        None => {}
    }
    let respond = respond.requiring_password_change_by(password_change_required_by);
    Ok(respond.with(carrier, Did::Renewed, issued.claims, issued.token))
}
