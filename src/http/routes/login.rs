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
use crate::account::limits::{LoginLimits, NotAdmitted, TooMany};
use crate::account::password::{HashingFailed, Password};
use crate::http::cookie;
use crate::http::origins::RequestSource;
use crate::http::presented::{self, Carrier};
use crate::http::problem::{Limited, Problem};
use crate::http::session_cookies::{Did, SessionCookies};
use crate::issuer::{Issuer, LoggedIn, LoginError, SignError};
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
    fn replaced(self, carrier: Carrier) -> Result<Option<Replaced>, Problem> {
        let verdict = match carrier {
            Carrier::Bearer => self.bearer,
            Carrier::Cookie => self.cookie,
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
    if carrier == Carrier::Cookie {
        former.host?;
    }
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

impl From<TooMany> for Problem {
    fn from(too_many: TooMany) -> Self {
        tracing::info!(policy = too_many.policy, "a login was rate-limited");
        let whole = |seconds: f64| seconds.ceil().max(1.0) as u64;
        Self::too_many_requests(Limited {
            policy: too_many.policy,
            quota: too_many.rate.burst.get(),
            window: whole(too_many.rate.window.as_secs_f64()),
            retry_after: whole(too_many.retry_after.as_secs_f64()),
        })
    }
}

impl From<NotAdmitted> for Problem {
    fn from(error: NotAdmitted) -> Self {
        match error {
            NotAdmitted::TooMany(too_many) => too_many.into(),
            NotAdmitted::Busy => {
                tracing::info!("a login was refused: too many attempts are being counted");
                Self::unavailable("Login is temporarily unavailable. Try again.")
            }
            NotAdmitted::Store(cause) => {
                tracing::error!(%cause, "the database could not count a login");
                Self::unavailable("Login is temporarily unavailable. Try again.")
            }
        }
    }
}

impl From<SignError> for Problem {
    fn from(error: SignError) -> Self {
        tracing::error!(cause = %error, "a token could not be signed");
        match error {
            SignError::NoSigningKey => {
                Self::unavailable("Tokens cannot be signed at the moment. Try again later.")
            }
            SignError::Failed(_) => Self::internal(),
        }
    }
}

impl From<LoginError> for Problem {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::Refused => {
                tracing::info!("a login was refused");
                Self::invalid_credentials()
            }
            LoginError::Hashing(HashingFailed::Busy) => {
                tracing::info!("a login was refused: too many password checks are in progress");
                Self::unavailable("Login is temporarily unavailable. Try again.")
            }
            LoginError::Store(_) => {
                tracing::error!(cause = %error, "a login failed");
                Self::unavailable("Login is temporarily unavailable. Try again.")
            }
            LoginError::Hashing(error) => error.into(),
            LoginError::Signing(error) => error.into(),
        }
    }
}
