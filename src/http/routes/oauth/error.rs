//! Refusals as OAuth's error JSON.

use axum::Json;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::account::client_limits::RetryAfter;
use crate::issuer::clients::{ClientError, ClientTokenError};
use crate::issuer::{LogoutError, SignError};
use crate::verifier::Refusal;

/// A refusal or a failure: a status, a code of RFC 6749, section 5.2 or RFC 8707, section 2, and a sentence.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct OauthError {
    status: StatusCode,
    code: &'static str,
    description: &'static str,
    /// The seconds after which to retry.
    retry_after: Option<u64>,
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
    pub(super) const fn invalid_client() -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            code: "invalid_client",
            description: "The client is unknown or disabled, or its secret or assertion is not good. Authenticate with client_secret_basic or private_key_jwt.",
            retry_after: None,
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

    pub(super) const fn invalid_scope() -> Self {
        Self::bad(
            "invalid_scope",
            "A scope that the client does not have, or that is malformed.",
        )
    }

    pub(super) const fn invalid_target() -> Self {
        Self::bad(
            "invalid_target",
            "A resource that is not among the client's audiences, or more than one.",
        )
    }

    pub(super) const fn unavailable(description: &'static str) -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            code: "temporarily_unavailable",
            description,
            retry_after: Some(1),
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
        response
    }
}

impl From<ClientError> for OauthError {
    fn from(error: ClientError) -> Self {
        if let ClientError::Store(_) = error {
            tracing::error!(cause = %error, "a client could not be looked up");
            return Self::unavailable(
                "The database is unavailable at the moment. Try again later.",
            );
        }
        tracing::info!(cause = %error, "a client was refused");
        Self::invalid_client()
    }
}

impl From<ClientTokenError> for OauthError {
    fn from(error: ClientTokenError) -> Self {
        match error {
            ClientTokenError::Scope => Self::invalid_scope(),
            ClientTokenError::Audience => Self::invalid_target(),
            ClientTokenError::Lost => {
                Self::unavailable("The client was changed meanwhile. Try again.")
            }
            ClientTokenError::Store(_) | ClientTokenError::Signing(SignError::NoSigningKey) => {
                tracing::error!(cause = %error, "a client got no token");
                Self::unavailable("Tokens cannot be issued at the moment. Try again later.")
            }
            ClientTokenError::Signing(_) => {
                tracing::error!(cause = %error, "a client got no token");
                Self::of_status(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }
}

impl From<LogoutError> for OauthError {
    fn from(error: LogoutError) -> Self {
        tracing::error!(cause = %error, "a revocation could not be made certain");
        Self::unavailable(
            "The revocation could not be written. The token may still be good: try again.",
        )
    }
}

/// Returns an error for a token that cannot be judged at the moment. Any other refusal is not an error at these
/// endpoints.
pub(super) fn undecided(refusal: &Refusal) -> Option<OauthError> {
    (*refusal == Refusal::Stale).then(|| {
        tracing::warn!("a token could not be verified: {refusal}");
        OauthError::unavailable(
            "The revocation state of the token is unknown at the moment. Try again later.",
        )
    })
}
