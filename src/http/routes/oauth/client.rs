//! Client authentication: `client_secret_basic` (RFC 6749, section 2.3.1) or `private_key_jwt` (RFC 7523, section 2.2),
//! never both.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequest, FromRequestParts, Request};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::error::OauthError;
use super::form::Form;
use super::quotas::ClientQuotas;
use crate::http::routes::caller::{Caller, TrustedProxies};
use crate::id::ClientId;
use crate::issuer::Issuer;
use crate::issuer::clients::{AuthenticatedClient, ClientCredentials};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A request of an authenticated client, with the parameters.
pub(super) struct FromClient {
    pub(super) client: AuthenticatedClient,
    pub(super) form: Form,
}

impl<S> FromRequest<S> for FromClient
where
    Arc<Issuer>: FromRef<S>,
    Arc<ClientQuotas>: FromRef<S>,
    TrustedProxies: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = OauthError;

    async fn from_request(request: Request, state: &S) -> Result<Self, OauthError> {
        let (mut parts, body) = request.into_parts();
        let headers = HeaderMap::from_request_parts(&mut parts, state).await;
        let headers = headers.unwrap_or_default();
        let Ok(caller) = Caller::from_request_parts(&mut parts, state).await;
        let form = Form::from_request(Request::from_parts(parts, body), state).await?;
        let credentials = credentials(&headers, &form);
        let claimed = credentials.as_ref().ok();
        let claimed = claimed.and_then(ClientCredentials::claimed);
        let quotas = Arc::<ClientQuotas>::from_ref(state);
        quotas.admit(claimed, caller.address)?;
        let issuer = Arc::<Issuer>::from_ref(state);
        let client = match credentials {
            Ok(credentials) => {
                let client = issuer.authenticate_client(&credentials).await;
                client.map_err(OauthError::from)
            }
            Err(error) => Err(error),
        };
        match &client {
            Ok(client) => quotas.authenticated(client.client().id, caller.address),
            Err(error) if error.is_invalid_client() => quotas.failed(claimed, caller.address),
            Err(_) => {}
        }
        let client = client?;
        Ok(Self { client, form })
    }
}

fn credentials(headers: &HeaderMap, form: &Form) -> Result<ClientCredentials, OauthError> {
    let two = OauthError::invalid_request("Authenticate in one way, and name the client once.");
    let mut authorization = headers.get_all(AUTHORIZATION).iter();
    let first = authorization.next();
    if authorization.next().is_some() {
        return Err(two);
    }
    let assertion = form.get("client_assertion");
    match (first, assertion) {
        (Some(_), Some(_)) => Err(two),
        (Some(_), None)
            if ["client_id", "client_secret", "client_assertion_type"]
                .iter()
                .any(|name| form.get(name).is_some()) =>
        {
            Err(two)
        }
        (Some(header), None) => {
            let header = header.to_str().ok();
            let (id, secret) = header.and_then(basic).ok_or(OauthError::invalid_client())?;
            let id = id.parse().map_err(|_| OauthError::invalid_client())?;
            Ok(ClientCredentials::Secret(id, secret))
        }
        (None, Some(_)) if form.get("client_secret").is_some() => Err(two),
        (None, Some(assertion)) => {
            if form.get("client_assertion_type") != Some(ASSERTION_TYPE) {
                return Err(OauthError::invalid_request(
                    "The client_assertion_type is not that of a JWT.",
                ));
            }
            let beside = form
                .get("client_id")
                .map(str::parse::<ClientId>)
                .transpose();
            let beside = beside.map_err(|_| OauthError::invalid_client())?;
            Ok(ClientCredentials::Assertion(assertion.to_owned(), beside))
        }
        (None, None) => Err(OauthError::invalid_client()),
    }
}

/// Decodes the ID and the secret. Each was form-encoded before they were joined.
fn basic(header: &str) -> Option<(String, SecretString)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let joined = Zeroizing::new(STANDARD.decode(encoded).ok()?);
    let (id, secret) = std::str::from_utf8(&joined).ok()?.split_once(':')?;
    let decode = |text: &str| {
        let spaced = Zeroizing::new(text.replace('+', " "));
        let decoded = percent_decode_str(&spaced).decode_utf8().ok()?;
        Some(decoded.into_owned())
    };
    Some((decode(id)?, SecretString::from(decode(secret)?)))
}
