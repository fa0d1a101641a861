//! `GET /.well-known/oauth-authorization-server` (RFC 8414).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use serde::Serialize;

use crate::key::{Algorithm, Format};
use crate::schedule::MAX_AGE;
use crate::verifier::Verifier;

const METHODS: [&str; 2] = ["client_secret_basic", "private_key_jwt"];

#[derive(Serialize)]
struct Metadata<'a> {
    issuer: &'a str,
    token_endpoint: String,
    token_endpoint_auth_methods_supported: [&'static str; 2],
    token_endpoint_auth_signing_alg_values_supported: &'a [&'static str],
    revocation_endpoint: String,
    revocation_endpoint_auth_methods_supported: [&'static str; 2],
    revocation_endpoint_auth_signing_alg_values_supported: &'a [&'static str],
    introspection_endpoint: String,
    introspection_endpoint_auth_methods_supported: [&'static str; 2],
    introspection_endpoint_auth_signing_alg_values_supported: &'a [&'static str],
    jwks_uri: String,
    grant_types_supported: [&'static str; 1],
    /// Empty, because there is no authorization endpoint. RFC 8414 requires the member.
    response_types_supported: [&'static str; 0],
}

pub(super) async fn metadata(State(verifier): State<Arc<Verifier>>) -> impl IntoResponse {
    let issuer = verifier.policy().issuer();
    let base = issuer.trim_end_matches('/');
    let of_jose = Algorithm::ALL
        .into_iter()
        .filter(|algorithm| algorithm.format() == Format::Jwt);
    let algorithms: Vec<_> = of_jose.flat_map(Algorithm::names).collect();
    let metadata = Metadata {
        issuer,
        token_endpoint: format!("{base}/oauth/token"),
        token_endpoint_auth_methods_supported: METHODS,
        token_endpoint_auth_signing_alg_values_supported: &algorithms,
        revocation_endpoint: format!("{base}/oauth/revoke"),
        revocation_endpoint_auth_methods_supported: METHODS,
        revocation_endpoint_auth_signing_alg_values_supported: &algorithms,
        introspection_endpoint: format!("{base}/oauth/introspect"),
        introspection_endpoint_auth_methods_supported: METHODS,
        introspection_endpoint_auth_signing_alg_values_supported: &algorithms,
        jwks_uri: format!("{base}/.well-known/jwks.json"),
        grant_types_supported: ["client_credentials"],
        response_types_supported: [],
    };
    let cache = format!("public, max-age={}", MAX_AGE.as_secs());
    ([(CACHE_CONTROL, cache)], Json(&metadata)).into_response()
}
