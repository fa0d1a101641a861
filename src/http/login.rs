//! `POST /login`.

use std::sync::Arc;

use axum::Json as JsonResponse;
use axum::extract::State;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::json::Json;
use super::problem::Problem;
use super::session::SessionView;
use crate::account::password::{HashingFailed, Password};
use crate::issuer::{Issuer, LoginError};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Credentials {
    username: String,
    password: SecretText,
}

/// Goes straight from the body into a secret.
struct SecretText(SecretString);

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(text.into()))
    }
}

#[derive(Serialize)]
pub(super) struct LoggedIn {
    access_token: String,
    token_type: &'static str,
    /// Seconds until the token's absolute end.
    expires_in: i64,
    session: SessionView,
}

pub(super) async fn login(
    State(issuer): State<Arc<Issuer>>,
    Json(credentials): Json<Credentials>,
) -> Result<JsonResponse<LoggedIn>, Problem> {
    let password = Password::presented(credentials.password.0)
        .map_err(|_| Problem::invalid_request("A password has at most 1024 bytes."))?;
    let issued = issuer.login(&credentials.username, password).await?;
    Ok(JsonResponse(LoggedIn {
        expires_in: issued.claims.expires_at.secs() - issued.claims.issued_at.secs(),
        session: SessionView::new(&issued.claims),
        access_token: issued.token,
        token_type: "Bearer",
    }))
}

impl From<LoginError> for Problem {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::Refused => {
                tracing::info!("a login was refused");
                Self::invalid_credentials()
            }
            LoginError::Store(_)
            | LoginError::NoSigningKey
            | LoginError::Hashing(HashingFailed::Busy) => {
                tracing::error!(cause = %error, "a login failed");
                Self::unavailable("Nobody can log in just now. Try again.")
            }
            LoginError::Hashing(_) | LoginError::Signing(_) => {
                tracing::error!(cause = %error, "a login failed");
                Self::internal()
            }
        }
    }
}
