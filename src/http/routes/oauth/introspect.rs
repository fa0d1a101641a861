//! `POST /oauth/introspect` (RFC 7662), for services that cannot verify tokens themselves.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::client::FromClient;
use super::error::OauthError;
use super::quotas::ClientQuotas;
use crate::http::routes::answers::undecided;
use crate::scope::INTROSPECT;
use crate::verifier::{Verified, Verifier};

/// The answer about a token. If the token is invalid, or the client may not ask about it, the answer is only that it is
/// not active (RFC 7662, section 2.2).
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Introspected {
    Inactive { active: bool },
    Active(Box<Active>),
}

#[derive(Serialize)]
pub(super) struct Active {
    active: bool,
    token_type: &'static str,
    iss: String,
    sub: String,
    aud: String,
    client_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    scope: String,
    iat: i64,
    exp: i64,
    jti: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<i64>,
}

impl Active {
    fn of(verified: &Verified) -> Self {
        match verified {
            Verified::Session(session) => {
                let claims = session.claims();
                Self {
                    active: true,
                    token_type: "Bearer",
                    iss: claims.issuer.clone(),
                    sub: claims.subject.to_string(),
                    aud: claims.audience.clone(),
                    client_id: claims.client_id.clone(),
                    scope: claims.scope.clone(),
                    iat: claims.issued_at.secs(),
                    exp: claims.expires_at.secs(),
                    jti: claims.token_id.to_string(),
                    sid: Some(claims.session_id.to_string()),
                    auth_time: Some(claims.auth_time.secs()),
                }
            }
            Verified::Client(client) => {
                let claims = client.claims();
                Self {
                    active: true,
                    token_type: "Bearer",
                    iss: claims.issuer.clone(),
                    sub: claims.client.to_string(),
                    aud: claims.audience.clone(),
                    client_id: claims.client.to_string(),
                    scope: claims.scopes.to_string(),
                    iat: claims.issued_at.secs(),
                    exp: claims.expires_at.secs(),
                    jti: claims.token_id.to_string(),
                    sid: None,
                    auth_time: None,
                }
            }
        }
    }
}

/// Introspects a token. Any client may ask about a session's token: a client that has the token can use it. The token
/// of another client reveals more about that client than the caller needs, so it requires a scope that an operator
/// grants.
pub(super) async fn introspect(
    State(verifier): State<Arc<Verifier>>,
    State(quotas): State<Arc<ClientQuotas>>,
    FromClient { client, form }: FromClient,
) -> Result<Json<Introspected>, OauthError> {
    let _begun = quotas.introspection(client.client().id)?;
    let token = form.get("token");
    let token = token.ok_or(OauthError::invalid_request("There is no token."))?;
    let client = client.client();
    let may_ask = |verified: &Verified| match verified {
        Verified::Session(_) => true,
        Verified::Client(token) => token.client() == client.id || client.scopes.has(INTROSPECT),
    };
    let verdict = verifier.verify_issued(token);
    if let Some(error) = verdict.as_ref().err().and_then(undecided) {
        return Err(error);
    }
    Ok(Json(match verdict {
        Ok(verified) if may_ask(&verified) => Introspected::Active(Box::new(Active::of(&verified))),
        Ok(_) | Err(_) => Introspected::Inactive { active: false },
    }))
}
