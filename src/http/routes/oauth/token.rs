//! `POST /oauth/token` with `client_credentials` (RFC 6749, section 4.4).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::PRAGMA;
use axum::response::IntoResponse;
use serde::Serialize;

use super::client::FromClient;
use super::error::OauthError;
use super::quotas::ClientQuotas;
use crate::issuer::Issuer;
use crate::scope::Scopes;

#[derive(Serialize)]
struct Granted {
    access_token: String,
    token_type: &'static str,
    /// The lifetime of the token, in seconds.
    expires_in: i64,
    /// Left out if empty: RFC 6749, section 3.3 allows no empty list.
    #[serde(skip_serializing_if = "String::is_empty")]
    scope: String,
}

pub(super) async fn token(
    State(issuer): State<Arc<Issuer>>,
    State(quotas): State<Arc<ClientQuotas>>,
    FromClient { client, form }: FromClient,
) -> Result<impl IntoResponse, OauthError> {
    let _begun = quotas.token(client.client().id)?;
    match form.get("grant_type") {
        Some("client_credentials") => {}
        Some(_) => return Err(OauthError::unsupported_grant_type()),
        None => return Err(OauthError::invalid_request("There is no grant_type.")),
    }
    let scopes = form.get("scope").map(str::parse::<Scopes>).transpose();
    let scopes = scopes.map_err(|_| OauthError::invalid_scope())?;
    let issued = issuer
        .client_token(&client, scopes, form.get("resource"))
        .await?;
    let granted = Granted {
        access_token: issued.token,
        token_type: "Bearer",
        expires_in: issued.claims.expires_at.secs() - issued.claims.issued_at.secs(),
        scope: issued.claims.scopes.to_string(),
    };
    // RFC 6749, section 5.1: for caches that do not know `Cache-Control`.
    Ok(([(PRAGMA, "no-cache")], Json(granted)))
}
