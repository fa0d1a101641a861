//! JSON bodies of requests, with problem details as refusals, and of answers.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use crate::http::problem::Problem;

/// A JSON object of exactly this type.
pub(super) struct Json<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let MaybeJson(value) = MaybeJson::from_request(request, state).await?;
        value.map(Self).ok_or(Problem::invalid_request(
            "This resource takes a JSON object, and the body is empty.",
        ))
    }
}

/// A JSON object of exactly this type, or an empty body.
pub(super) struct MaybeJson<T>(pub(super) Option<T>);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for MaybeJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let is_json = is_json(request.headers());
        let body = body(request, state).await?;
        if body.is_empty() {
            return Ok(Self(None));
        }
        if !is_json {
            return Err(Problem::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        // serde also reads a struct from an array. Its error message could repeat the input, a password included, so it
        // is dropped.
        let object = body.trim_ascii_start().starts_with(b"{");
        let parsed = if object {
            serde_json::from_slice(&body).ok()
        } else {
            None
        };
        parsed
            .map(|value| Self(Some(value)))
            .ok_or(Problem::invalid_request(
                "The body is not the JSON object that this resource takes.",
            ))
    }
}

/// A text that is parsed directly into a secret.
pub(super) struct SecretText(pub(super) SecretString);

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(text.into()))
    }
}

/// The capacities that fit most answers, in bytes and in headers, so that neither has to grow.
pub(super) const ROOM: usize = 512;
const HEADERS: usize = 16;

/// Answers 200 with this JSON.
pub(super) fn answer(json: String) -> Response {
    let mut response = Response::new(Body::from(json));
    let headers = response.headers_mut();
    headers.reserve(HEADERS);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

async fn body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    Bytes::from_request(request, state)
        .await
        .map_err(|rejection| Problem::of_status(rejection.into_response().status()))
}
