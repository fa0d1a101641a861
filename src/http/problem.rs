//! The one map from errors to HTTP: the caller gets the public half, the log gets the cause, once.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use problem_details::ProblemDetails;
use serde::Serialize;

/// How long a caller should wait for a list or a store that is not well.
const RETRY: Duration = Duration::from_secs(1);

/// What is left of a limit, and the limit.
pub(super) const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
pub(super) const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// A refusal or a failure, as the caller sees it: a status, a stable code, a sentence
/// (`application/problem+json`, RFC 9457).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: &'static str,
    challenge: Option<&'static str>,
    limited: Option<Limited>,
    needs: &'static [&'static str],
}

/// The limit that was reached (draft-ietf-httpapi-ratelimit-headers).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limited {
    /// The policy's name.
    pub policy: &'static str,
    /// How many it lets through at once.
    pub quota: u32,
    /// In how many seconds it lets as many through again.
    pub window: u64,
    /// In how many seconds it lets the next one through.
    pub retry_after: u64,
}

#[derive(Serialize)]
struct Extensions {
    code: &'static str,
    /// The scopes that are needed, as OAuth writes them.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
}

impl Problem {
    const fn new(status: StatusCode, code: &'static str, detail: &'static str) -> Self {
        Self {
            status,
            code,
            detail,
            challenge: None,
            limited: None,
            needs: &[],
        }
    }

    /// 401: no token was sent (RFC 6750, section 3.1: no error code then).
    #[must_use]
    pub const fn no_credentials() -> Self {
        let problem = Self::new(
            StatusCode::UNAUTHORIZED,
            "no_credentials",
            "This needs a session: log in, and send Authorization: Bearer TOKEN or the session cookie.",
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

    /// 400: more than one token, or a bearer token and a session cookie that are not the same.
    #[must_use]
    pub const fn two_credentials() -> Self {
        let problem = Self::new(
            StatusCode::BAD_REQUEST,
            "invalid_request",
            "Send one token: one Authorization header, or one session cookie.",
        );
        Self {
            challenge: Some(r#"Bearer realm="waxseal", error="invalid_request""#),
            ..problem
        }
    }

    /// 403: a page of another site sent a request that needs one of ours.
    #[must_use]
    pub const fn cross_site() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "cross_site",
            "This must be sent by a page of this service's own origin, or of an allowed one.",
        )
    }

    /// 403: a request that changes something has the session cookie and does not say which page sent it.
    #[must_use]
    pub const fn cookie_without_origin() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "cross_site",
            "The session cookie came without Origin and Sec-Fetch-Site, which browsers send. A native app uses a bearer token: log in without delivery, and send Authorization: Bearer TOKEN.",
        )
    }

    /// 403: a good token without all of the scopes that this needs (RFC 6750, section 3.1).
    #[must_use]
    pub const fn insufficient_scope(needs: &'static [&'static str]) -> Self {
        let problem = Self::new(
            StatusCode::FORBIDDEN,
            "insufficient_scope",
            "The token does not have the scope that this needs.",
        );
        Self {
            challenge: Some(r#"Bearer realm="waxseal", error="insufficient_scope""#),
            needs,
            ..problem
        }
    }

    /// 403: the current password, asked for again, is wrong.
    #[must_use]
    pub const fn wrong_password() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "wrong_password",
            "The current password is wrong.",
        )
    }

    /// 400: a password that may not be set.
    #[must_use]
    pub const fn unacceptable_password(detail: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "unacceptable_password", detail)
    }

    /// 400: a username that nobody can have.
    #[must_use]
    pub const fn unacceptable_username() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "unacceptable_username",
            "A username has 1 to 64 characters of a-z, 0-9 and . _ - @ +.",
        )
    }

    /// 409: a username that somebody has.
    #[must_use]
    pub const fn username_taken() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "username_taken",
            "There is a user of that name already. Choose another.",
        )
    }

    /// 429: too many attempts.
    #[must_use]
    pub const fn too_many_requests(limited: Limited) -> Self {
        let problem = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_requests",
            "Too many attempts. Wait as long as Retry-After says.",
        );
        Self {
            limited: Some(limited),
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

    /// 400: a request that does not name exactly one host (RFC 9112, section 3.2).
    #[cfg(feature = "server")]
    pub(super) const fn bad_host() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "invalid_request",
            "Send exactly one Host header, with a host and nothing but a port after it.",
        )
    }

    /// 421: the session cookie, or a request for it, at a host that is not the service's (RFC 9110, section 15.5.20).
    #[cfg(feature = "server")]
    pub(super) const fn misdirected() -> Self {
        Self::new(
            StatusCode::MISDIRECTED_REQUEST,
            "misdirected_request",
            "The session cookie is not used at this host. Open the service at its issuer's URL. Operators: the setting issuer or allowed_origins must have this host, and a proxy must pass on the Host header that the browser sent.",
        )
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
            .with_extensions(Extensions {
                code: self.code,
                scope: (!self.needs.is_empty()).then(|| self.needs.join(" ")),
            });
        let body = serde_json::to_vec(&details).unwrap_or_default();
        let mut response = (self.status, Body::from(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(challenge) = self.challenge {
            let value = match self.needs {
                [] => Ok(HeaderValue::from_static(challenge)),
                needs => format!("{challenge}, scope=\"{}\"", needs.join(" ")).try_into(),
            };
            headers.extend(value.map(|value| (WWW_AUTHENTICATE, value)));
        }
        if let Some(limited) = self.limited {
            let Limited {
                policy,
                quota,
                window,
                retry_after,
            } = limited;
            headers.insert(RETRY_AFTER, HeaderValue::from(retry_after));
            let fields = [
                (RATE_LIMIT, format!("\"{policy}\";r=0;t={retry_after}")),
                (
                    RATE_LIMIT_POLICY,
                    format!("\"{policy}\";q={quota};w={window}"),
                ),
            ];
            for (name, value) in fields {
                headers.extend(HeaderValue::try_from(value).map(|value| (name, value)));
            }
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from(RETRY.as_secs()));
        }
        response
    }
}
