//! Refusals as OAuth's error JSON.

use std::error::Error;

use axum::Json;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::account::client_limits::RetryAfter;
use crate::http::cause::Cause;
use crate::report::Report;

/// A refusal or a failure: a status, a code of RFC 6749, section 5.2 or RFC 8707, section 2, and a sentence for the
/// caller, and a cause for the log, if there is one.
#[derive(Clone, Debug)]
pub(in super::super) struct OauthError {
    status: StatusCode,
    code: &'static str,
    description: &'static str,
    /// The seconds after which to retry.
    retry_after: Option<u64>,
    cause: Option<Cause>,
}

#[derive(Serialize)]
struct ErrorBody {
    error: &'static str,
    error_description: &'static str,
}

impl OauthError {
    const fn bad(code: &'static str, description: &'static str) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            code,
            description,
            retry_after: None,
            cause: None,
        }
    }

    /// Sets the cause, as [`Problem::caused_by`](crate::http::problem::Problem::caused_by) does.
    pub(in super::super) fn caused_by(
        self,
        error: impl Into<Box<dyn Error + Send + Sync>>,
        log: impl Fn(Report<'_>) + Send + Sync + 'static,
    ) -> Self {
        Self {
            cause: Some(Cause::new(error, log)),
            ..self
        }
    }

    /// 429 (RFC 6585, section 4). RFC 6749 has no code for it at the token endpoint. This is the code of its section
    /// 4.1.2.1 for a temporarily overloaded server.
    pub(super) fn too_many(after: RetryAfter, description: &'static str) -> Self {
        Self {
            status: StatusCode::TOO_MANY_REQUESTS,
            code: "temporarily_unavailable",
            description,
            retry_after: Some(after.seconds()),
            cause: None,
        }
    }

    /// Whether the error is a failed client authentication.
    pub(super) fn is_invalid_client(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED
    }

    pub(super) const fn invalid_request(description: &'static str) -> Self {
        Self::bad("invalid_request", description)
    }

    /// The one answer to every failure of client authentication. It does not say why.
    pub(in super::super) const fn invalid_client() -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            code: "invalid_client",
            description: "The client is unknown or disabled, or its secret or assertion is not good. Authenticate with client_secret_basic or private_key_jwt.",
            retry_after: None,
            cause: None,
        }
    }

    pub(super) const fn invalid_grant() -> Self {
        Self::bad("invalid_grant", "The token was issued to another client.")
    }

    /// RFC 7009, section 2.2.1.
    pub(super) const fn unsupported_token_type() -> Self {
        Self::bad(
            "unsupported_token_type",
            "Tokens of that format or issuer are not accepted here.",
        )
    }

    pub(super) const fn unsupported_grant_type() -> Self {
        Self::bad(
            "unsupported_grant_type",
            "The one grant_type is client_credentials.",
        )
    }

    pub(in super::super) const fn invalid_scope() -> Self {
        Self::bad(
            "invalid_scope",
            "A scope that the client does not have, or that is malformed.",
        )
    }

    pub(in super::super) const fn invalid_target() -> Self {
        Self::bad(
            "invalid_target",
            "A resource that is not among the client's audiences, or more than one.",
        )
    }

    pub(in super::super) const fn unavailable(description: &'static str) -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            code: "temporarily_unavailable",
            description,
            retry_after: Some(1),
            cause: None,
        }
    }

    /// The error for a status without further information.
    pub(in super::super) const fn of_status(status: StatusCode) -> Self {
        let (code, description) = match status {
            StatusCode::NOT_FOUND => ("invalid_request", "There is nothing at this path."),
            StatusCode::METHOD_NOT_ALLOWED => ("invalid_request", "Send it as POST."),
            StatusCode::PAYLOAD_TOO_LARGE => ("invalid_request", "The body is too large."),
            StatusCode::SERVICE_UNAVAILABLE => ("temporarily_unavailable", "Try again."),
            StatusCode::INTERNAL_SERVER_ERROR => (
                "server_error",
                "Something went wrong here. The log has the cause.",
            ),
            _ => ("invalid_request", "The request could not be read."),
        };
        let waits = matches!(status, StatusCode::SERVICE_UNAVAILABLE);
        Self {
            status,
            code,
            description,
            retry_after: if waits { Some(1) } else { None },
            cause: None,
        }
    }
}

impl IntoResponse for OauthError {
    fn into_response(self) -> Response {
        let body = ErrorBody {
            error: self.code,
            error_description: self.description,
        };
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        if self.is_invalid_client() {
            // RFC 6749, section 5.2: the authentication scheme that the client may use.
            let challenge = HeaderValue::from_static(r#"Basic realm="waxseal""#);
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(cause) = self.cause {
            cause.put(&mut response);
        }
        response
    }
}
