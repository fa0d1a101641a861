//! The refusals and failures of the service's own resources, as HTTP answers. The caller gets the public half; the log
//! gets the cause, once.

use std::error::Error;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use problem_details::ProblemDetails;
use serde::Serialize;

use super::cause::Cause;
use crate::report::Report;

/// How long a caller should wait before it retries while the list or the store is unavailable.
const RETRY: Duration = Duration::from_secs(1);

/// The rest of a limit (`ratelimit`) and the limit itself (`ratelimit-policy`).
pub(super) const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
pub(super) const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// A refusal or a failure: a status, a stable code and a sentence for the caller (`application/problem+json`, RFC
/// 9457), and a cause for the log, if there is one.
///
/// As a response, the problem has its [`Cause`] in the extensions. The log gets the cause once, whatever becomes of the
/// problem.
#[derive(Clone, Debug)]
pub struct Problem {
    public: Public,
    cause: Option<Cause>,
}

/// Whether callers see the same. The causes may differ.
impl PartialEq for Problem {
    fn eq(&self, other: &Self) -> bool {
        self.public == other.public
    }
}

impl Eq for Problem {}

/// What the caller sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Public {
    status: StatusCode,
    code: &'static str,
    detail: &'static str,
    challenge: Option<&'static str>,
    limited: Option<Limited>,
    needs: &'static [&'static str],
}

/// The limit that was exceeded (draft-ietf-httpapi-ratelimit-headers).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limited {
    /// The name of the policy.
    pub policy: &'static str,
    /// How many requests the policy admits at once.
    pub quota: u32,
    /// The seconds until the policy admits the full quota again.
    pub window: u64,
    /// The seconds until the policy admits the next request.
    pub retry_after: u64,
}

#[derive(Serialize)]
struct Extensions {
    code: &'static str,
    /// The required scopes, separated by spaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
}

impl Public {
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

    const fn with_challenge(self, challenge: &'static str) -> Self {
        Self {
            challenge: Some(challenge),
            ..self
        }
    }
}

impl Problem {
    const fn of(public: Public) -> Self {
        Self {
            public,
            cause: None,
        }
    }

    const fn new(status: StatusCode, code: &'static str, detail: &'static str) -> Self {
        Self::of(Public::new(status, code, detail))
    }

    /// Sets the cause. `log` writes it to the log: at `error` or `warn` if an operator has to act, and at most at
    /// `info` if a caller can cause it at will.
    #[cfg_attr(
        not(feature = "server"),
        expect(dead_code, reason = "only the service has failures of its own")
    )]
    #[must_use]
    pub(super) fn caused_by(
        self,
        error: impl Into<Box<dyn Error + Send + Sync>>,
        log: impl Fn(Report<'_>) + Send + Sync + 'static,
    ) -> Self {
        Self {
            cause: Some(Cause::new(error, log)),
            ..self
        }
    }

    /// 401: the request has no token. The challenge has no error code (RFC 6750, section 3.1).
    pub(super) const fn no_credentials() -> Self {
        let public = Public::new(
            StatusCode::UNAUTHORIZED,
            "no_credentials",
            "This needs a session: log in, and send Authorization: Bearer TOKEN or the session cookie.",
        );
        Self::of(public.with_challenge(r#"Bearer realm="waxseal""#))
    }

    /// 400: the credentials are not one bearer token.
    pub(super) const fn malformed_credentials() -> Self {
        let public = Public::new(
            StatusCode::BAD_REQUEST,
            "invalid_request",
            "Send exactly one header of the form Authorization: Bearer TOKEN.",
        );
        Self::of(public.with_challenge(r#"Bearer realm="waxseal", error="invalid_request""#))
    }

    /// 400: more than one token, or a bearer token and a session cookie that differ.
    pub(super) const fn two_credentials() -> Self {
        let public = Public::new(
            StatusCode::BAD_REQUEST,
            "invalid_request",
            "Send one token: one Authorization header, or one session cookie.",
        );
        Self::of(public.with_challenge(r#"Bearer realm="waxseal", error="invalid_request""#))
    }

    /// 403: a page of another site sent a request that only a page of a trusted origin may send.
    pub(super) const fn cross_site() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "cross_site",
            "This must be sent by a page of this service's own origin, or of an allowed one.",
        )
    }

    /// 403: a request that changes something has the session cookie and does not name the page that sent it.
    pub(super) const fn cookie_without_origin() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "cross_site",
            "The session cookie came without Origin and Sec-Fetch-Site, which browsers send. A native app uses a bearer token: log in without delivery, and send Authorization: Bearer TOKEN.",
        )
    }

    /// 403: the token is valid, but lacks one of the required scopes (RFC 6750, section 3.1).
    pub(super) const fn insufficient_scope(needs: &'static [&'static str]) -> Self {
        let public = Public::new(
            StatusCode::FORBIDDEN,
            "insufficient_scope",
            "The token does not have the scope that this needs.",
        );
        Self::of(Public {
            needs,
            ..public.with_challenge(r#"Bearer realm="waxseal", error="insufficient_scope""#)
        })
    }

    /// 403: the current password, which the request must repeat, is wrong.
    #[cfg(feature = "server")]
    pub(super) const fn wrong_password() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "wrong_password",
            "The current password is wrong.",
        )
    }

    /// 400: the new password is not allowed.
    #[cfg(feature = "server")]
    pub(super) const fn unacceptable_password(detail: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "unacceptable_password", detail)
    }

    /// 400: the username is not valid.
    #[cfg(feature = "server")]
    pub(super) const fn unacceptable_username() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "unacceptable_username",
            "A username has 1 to 64 characters of a-z, 0-9 and . _ - @ +.",
        )
    }

    /// 409: the username is taken.
    #[cfg(feature = "server")]
    pub(super) const fn username_taken() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "username_taken",
            "There is a user of that name already. Choose another.",
        )
    }

    /// 429: too many attempts.
    #[cfg(feature = "server")]
    pub(super) const fn too_many_requests(limited: Limited) -> Self {
        let public = Public::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_requests",
            "Too many attempts. Wait as long as Retry-After says.",
        );
        Self::of(Public {
            limited: Some(limited),
            ..public
        })
    }

    /// 401: the token is invalid. The answer does not say why.
    pub(super) const fn invalid_token() -> Self {
        let public = Public::new(
            StatusCode::UNAUTHORIZED,
            "invalid_token",
            "The token is malformed, expired, revoked or not meant for this service.",
        );
        Self::of(public.with_challenge(r#"Bearer realm="waxseal", error="invalid_token""#))
    }

    /// 401: the login failed. The answer does not say why.
    #[cfg(feature = "server")]
    pub(super) const fn invalid_credentials() -> Self {
        let public = Public::new(
            StatusCode::UNAUTHORIZED,
            "invalid_credentials",
            "The username or the password is wrong.",
        );
        Self::of(public.with_challenge(r#"Bearer realm="waxseal""#))
    }

    /// 400: the request does not have the form that the resource needs.
    #[cfg(feature = "server")]
    pub(super) const fn invalid_request(detail: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", detail)
    }

    /// 400: the request does not name exactly one host (RFC 9112, section 3.2).
    #[cfg(feature = "server")]
    pub(super) const fn bad_host() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "invalid_request",
            "Send exactly one Host header, with a host and nothing but a port after it.",
        )
    }

    /// 421: the session cookie, or a request for it, came to a host that is not the service's (RFC 9110, section
    /// 15.5.20).
    #[cfg(feature = "server")]
    pub(super) const fn misdirected() -> Self {
        Self::new(
            StatusCode::MISDIRECTED_REQUEST,
            "misdirected_request",
            "The session cookie is not used at this host. Open the service at its issuer's URL. Operators: the setting issuer or allowed_origins must have this host, and a proxy must pass on the Host header that the browser sent.",
        )
    }

    /// 503: the service cannot decide at the moment. The caller should retry.
    pub(super) const fn unavailable(detail: &'static str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
    }

    /// 500: an internal error.
    #[cfg(feature = "server")]
    pub(super) const fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Something went wrong here. The log has the cause.",
        )
    }

    /// The problem for a status of which nothing else is known.
    #[cfg(feature = "server")]
    pub(super) const fn of_status(status: StatusCode) -> Self {
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

    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.public.status
    }

    /// The stable code, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.public.code
    }

    /// The cause, which the caller does not see.
    #[must_use]
    pub const fn cause(&self) -> Option<&Cause> {
        self.cause.as_ref()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { public, cause } = self;
        let mut response = public.into_response();
        if let Some(cause) = cause {
            cause.put(&mut response);
        }
        response
    }
}

impl IntoResponse for Public {
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
