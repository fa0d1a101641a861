//! The one map from errors to HTTP: the caller gets the public half, the log gets the cause, once.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use problem_details::ProblemDetails;
use serde::Serialize;

/// How long a caller should wait for a list or a store that is not well.
const RETRY: Duration = Duration::from_secs(1);

/// A refusal or a failure, as the caller sees it: a status, a stable code, a sentence
/// (`application/problem+json`, RFC 9457).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: &'static str,
    challenge: Option<&'static str>,
}

#[derive(Serialize)]
struct Code {
    code: &'static str,
}

impl Problem {
    const fn new(status: StatusCode, code: &'static str, detail: &'static str) -> Self {
        Self {
            status,
            code,
            detail,
            challenge: None,
        }
    }

    /// 401: nothing was sent (RFC 6750, section 3.1: no error code then).
    #[must_use]
    pub const fn no_credentials() -> Self {
        let problem = Self::new(
            StatusCode::UNAUTHORIZED,
            "no_credentials",
            "This needs a session: send Authorization: Bearer TOKEN.",
        );
        Self {
            challenge: Some(r#"Bearer realm="waxseal""#),
            ..problem
        }
    }

    /// 400: the credentials are not one bearer token.
    #[must_use]
    pub const fn malformed_credentials() -> Self {
        let problem = Self::new(
            StatusCode::BAD_REQUEST,
            "invalid_request",
            "Send exactly one header of the form Authorization: Bearer TOKEN.",
        );
        Self {
            challenge: Some(r#"Bearer realm="waxseal", error="invalid_request""#),
            ..problem
        }
    }

    /// 401: a bad token, whatever is bad about it.
    #[must_use]
    pub const fn invalid_token() -> Self {
        let problem = Self::new(
            StatusCode::UNAUTHORIZED,
            "invalid_token",
            "The token is malformed, expired, revoked or not meant for this service.",
        );
        Self {
            challenge: Some(r#"Bearer realm="waxseal", error="invalid_token""#),
            ..problem
        }
    }

    /// 401: a login that failed, whatever was wrong.
    #[must_use]
    pub const fn invalid_credentials() -> Self {
        let problem = Self::new(
            StatusCode::UNAUTHORIZED,
            "invalid_credentials",
            "The username or the password is wrong.",
        );
        Self {
            challenge: Some(r#"Bearer realm="waxseal""#),
            ..problem
        }
    }

    /// 400: the request is not what the resource takes.
    #[must_use]
    pub const fn invalid_request(detail: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", detail)
    }

    /// 503: nobody can say now; try again.
    #[must_use]
    pub const fn unavailable(detail: &'static str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
    }

    /// 500: a fault of ours.
    #[must_use]
    pub const fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Something went wrong here. The log has the cause.",
        )
    }

    /// What a status alone says.
    #[must_use]
    pub const fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => {
                Self::new(status, "not_found", "There is nothing at this path.")
            }
            StatusCode::METHOD_NOT_ALLOWED => Self::new(
                status,
                "method_not_allowed",
                "This path does not take this method; see the Allow header.",
            ),
            StatusCode::REQUEST_TIMEOUT => {
                Self::new(status, "timeout", "The request took too long to arrive.")
            }
            StatusCode::PAYLOAD_TOO_LARGE => Self::new(
                status,
                "too_large",
                "The body is larger than this resource takes.",
            ),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::new(
                status,
                "unsupported_media_type",
                "Send the body as application/json.",
            ),
            StatusCode::SERVICE_UNAVAILABLE => Self::new(status, "unavailable", "Try again."),
            StatusCode::INTERNAL_SERVER_ERROR => Self::internal(),
            _ => Self::new(status, "invalid_request", "The request cannot be answered."),
        }
    }

    /// The status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.code
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let details = ProblemDetails::from_status_code(self.status)
            .with_detail(self.detail)
            .with_extensions(Code { code: self.code });
        let body = serde_json::to_vec(&details).unwrap_or_default();
        let mut response = (self.status, Body::from(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(challenge) = self.challenge {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from(RETRY.as_secs()));
        }
        response
    }
}
