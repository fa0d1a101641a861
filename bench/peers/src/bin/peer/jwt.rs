//! axum and jsonwebtoken, with a deny list in Redis or without revocation.

use std::env;
use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::routing::{get, post};
use axum::{Json, Router};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use peers::{ISSUER, variable};
use redis::AsyncCommands;
use redis::aio::ConnectionManager;
use serde::{Deserialize, Serialize};

use crate::Result;

struct Verifier {
    key: DecodingKey,
    validation: Validation,
    denied: Option<ConnectionManager>,
}

pub async fn router() -> Result<Router> {
    let key = env::var(variable::KEY)?;
    let algorithm: Algorithm = env::var(variable::ALGORITHM)?.parse()?;
    let mut validation = Validation::new(algorithm);
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[ISSUER]);
    validation.set_required_spec_claims(&["exp", "iss", "aud"]);
    validation.leeway = 5;
    let denied = match env::var(variable::REDIS) {
        Ok(url) => Some(redis::Client::open(url)?.get_connection_manager().await?),
        Err(_) => None,
    };
    let key = match algorithm {
        Algorithm::HS256 => DecodingKey::from_secret(key.as_bytes()),
        _ => DecodingKey::from_ed_pem(key.as_bytes())?,
    };
    let mut router = Router::new().route("/session", get(session));
    if denied.is_some() {
        router = router.route("/logout", post(logout));
    }
    let verifier = Verifier {
        key,
        validation,
        denied,
    };
    Ok(router.with_state(Arc::new(verifier)))
}

/// What is asked of a token that is good.
#[derive(Deserialize)]
struct Verified {
    sub: String,
    sid: String,
    jti: String,
    exp: u64,
}

impl FromRequestParts<Arc<Verifier>> for Verified {
    type Rejection = StatusCode;

    async fn from_request_parts(
        parts: &mut Parts,
        verifier: &Arc<Verifier>,
    ) -> std::result::Result<Self, StatusCode> {
        let header = parts.headers.get(AUTHORIZATION);
        let token = header.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let token = token.ok_or(StatusCode::UNAUTHORIZED)?;
        let claims: Self = decode(token, &verifier.key, &verifier.validation)
            .map_err(|_| StatusCode::UNAUTHORIZED)?
            .claims;
        if let Some(denied) = &verifier.denied {
            let mut denied = denied.clone();
            match denied.exists(entry(&claims.jti)).await {
                Ok(false) => {}
                Ok(true) => return Err(StatusCode::UNAUTHORIZED),
                Err(_) => return Err(StatusCode::SERVICE_UNAVAILABLE),
            }
        }
        Ok(claims)
    }
}

fn entry(jti: &str) -> String {
    format!("denied:{jti}")
}

#[derive(Serialize)]
struct View {
    id: String,
    subject: String,
    expires_at: u64,
}

async fn session(claims: Verified) -> Json<View> {
    Json(View {
        id: claims.sid,
        subject: claims.sub,
        expires_at: claims.exp,
    })
}

/// Denies the token for as long as it could be used.
async fn logout(State(verifier): State<Arc<Verifier>>, claims: Verified) -> StatusCode {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let left = (claims.exp + verifier.validation.leeway).saturating_sub(now.as_secs());
    let Some(mut denied) = verifier.denied.clone() else {
        return StatusCode::NOT_FOUND;
    };
    let written: redis::RedisResult<()> = denied.set_ex(entry(&claims.jti), 1, left.max(1)).await;
    match written {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}
