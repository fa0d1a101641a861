//! The token of a request: in the `Authorization` header, or in the session cookie.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use super::cookie;
use super::origins;
use super::problem::Problem;
use super::session_cookies::Seen;
use crate::report::report;
use crate::verifier::{Refusal, VerifiedClaims, Verifier};

/// How a request carries its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Carrier {
    /// In the `Authorization` header.
    Bearer,
    /// In the session cookie.
    Cookie,
}

/// The refusals of the extractors. They are here and not in `routes/answers.rs`, because `routes` imports this folder.
/// They are logged here, because an app that takes `Result<Session, Problem>` can answer in its own way.
impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        if refusal == Refusal::Stale {
            tracing::warn!("a token was refused: {refusal}");
            return Self::unavailable(
                "The revocation state of the token is unknown at the moment. Try again later.",
            );
        }
        tracing::debug!(cause = %report(&refusal), "a token was refused");
        Self::invalid_token()
    }
}

/// The single token of a request, not yet verified.
pub(super) struct Credential<'a> {
    pub(super) token: &'a str,
    pub(super) carrier: Carrier,
    #[cfg(feature = "server")]
    pub(super) has_cookie: bool,
}

impl<'a> Credential<'a> {
    /// Reads the token. Cookies count only below [`SessionCookies`](super::session_cookies::SessionCookies). If a
    /// request has both a bearer token and a cookie, they must be equal.
    pub(super) fn of(parts: &'a Parts) -> Result<Option<Self>, Problem> {
        let bearer = bearer(&parts.headers)?;
        let seen = parts.extensions.get::<Seen>();
        let cookie = match seen {
            None => None,
            Some(_) => cookie::read(&parts.headers).map_err(|_| Problem::two_credentials())?,
        };
        match (bearer, cookie) {
            (None, None) => Ok(None),
            (Some(bearer), Some(cookie)) if bearer != cookie => Err(Problem::two_credentials()),
            // A bearer token needs no cross-site check: being a page in the same browser does not give access to it.
            (Some(token), _) => Ok(Some(Self {
                token,
                carrier: Carrier::Bearer,
                #[cfg(feature = "server")]
                has_cookie: cookie.is_some(),
            })),
            (None, Some(token)) => {
                let permitted = seen
                    .is_some_and(|seen| seen.origins.permit_cookie(&parts.method, &parts.headers));
                permitted
                    .then_some(Some(Self {
                        token,
                        carrier: Carrier::Cookie,
                        #[cfg(feature = "server")]
                        has_cookie: true,
                    }))
                    .ok_or_else(|| origins::cookie_not_permitted(&parts.headers))
            }
        }
    }

    /// Verifies the token, and reports the verdict on a cookie to the layer.
    pub(super) fn verify(
        &self,
        parts: &Parts,
        verifier: &Verifier,
    ) -> Result<VerifiedClaims, Refusal> {
        let verdict = verifier.verify(self.token);
        if let (Carrier::Cookie, Some(seen)) = (self.carrier, parts.extensions.get::<Seen>()) {
            seen.note(&verdict);
        }
        verdict
    }

    /// The refusal for the caller. A malformed bearer token gets 400 instead of 401.
    pub(super) fn refused(&self, refusal: Refusal) -> Problem {
        match self.carrier {
            Carrier::Bearer if !is_plain(self.token) => Problem::malformed_credentials(),
            _ => refusal.into(),
        }
    }
}

/// The scheme and the first of the spaces that end it (RFC 9110, section 11.4).
const BEARER: &[u8] = b"bearer ";

/// Returns the bearer token of a request (RFC 6750, section 2.1). Credentials of other schemes are ignored: they can be
/// for a gateway in front of the service.
///
/// # Errors
/// 400 for two bearer tokens, for an empty one, and for a header that is not the credentials of one scheme.
pub(super) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(first) = values.next() else {
        return Ok(None);
    };
    let mut token = bearer_in(first.as_bytes())?;
    for value in values {
        let found = bearer_in(value.as_bytes())?;
        if token.is_some() && found.is_some() {
            return Err(Problem::malformed_credentials());
        }
        token = token.or(found);
    }
    Ok(token)
}

fn bearer_in(value: &[u8]) -> Result<Option<&str>, Problem> {
    let mut token = match value.split_at_checked(BEARER.len()) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(BEARER) => token,
        _ if is_of_another_scheme(value) => return Ok(None),
        _ => return Err(Problem::malformed_credentials()),
    };
    while let [b' ', rest @ ..] = token {
        token = rest;
    }
    match str::from_utf8(token) {
        Ok(token) if !token.is_empty() => Ok(Some(token)),
        _ => Err(Problem::malformed_credentials()),
    }
}

/// Whether a header has the credentials of one scheme other than `Bearer`.
///
/// A single word is not a scheme: it can be a token whose scheme was forgotten. A bearer token after a comma counts: a
/// proxy that joins two headers into one must not hide it.
fn is_of_another_scheme(value: &[u8]) -> bool {
    let mut words = value.splitn(2, |b| *b == b' ');
    let (Some(scheme), Some(credentials)) = (words.next(), words.next()) else {
        return false;
    };
    let is_bearer = |part: &[u8]| {
        let word = part.trim_ascii().split(u8::is_ascii_whitespace).next();
        word.is_some_and(|word| word.eq_ignore_ascii_case(BEARER.trim_ascii()))
    };
    !scheme.is_empty()
        && scheme.iter().copied().all(is_token_character)
        && !credentials.trim_ascii().is_empty()
        && !value.split(|b| *b == b',').any(is_bearer)
}

/// Whether the name of a scheme can contain the byte (RFC 9110, section 5.6.2).
const fn is_token_character(b: u8) -> bool {
    b.is_ascii_alphanumeric()
        || matches!(b, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

/// Whether a token is printable ASCII without spaces and commas. Nothing else verifies, so only a refused token is
/// checked.
fn is_plain(token: &str) -> bool {
    token.bytes().all(|b| b.is_ascii_graphic() && b != b',')
}
