//! The session cookie. It is read strictly, by name, without decoding (RFC 6265, section 4.2).

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};

/// The name of the session cookie. Browsers accept it only with `Secure`, without `Domain`, with `Path=/`, and not from
/// a script (draft-ietf-httpbis-layered-cookies, section 4.1.3). Browsers that know only `__Host-` do not enforce the
/// last.
pub const NAME: &str = "__Host-Http-waxseal";

/// When browsers send the cookie with requests from other sites (the `SameSite` attribute of
/// draft-ietf-httpbis-rfc6265bis).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SameSite {
    /// Same-site requests, and top-level navigations from other sites.
    #[default]
    Lax,
    /// Same-site requests only.
    Strict,
    /// All requests. For pages on another site, in browsers that still allow third-party cookies.
    None,
}

impl SameSite {
    const fn attribute(self) -> &'static str {
        match self {
            Self::Lax => "Lax",
            Self::Strict => "Strict",
            Self::None => "None",
        }
    }
}

/// More than one session cookie. One of them was planted, and the service cannot tell which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Duplicate;

/// Returns the value of the session cookie, if there is exactly one. A value that is not UTF-8 becomes an empty one,
/// which never verifies.
pub(super) fn read(headers: &HeaderMap) -> Result<Option<&str>, Duplicate> {
    let mut found = None;
    for header in headers.get_all(COOKIE) {
        for pair in header.as_bytes().split(|b| *b == b';') {
            let Some(value) = pair
                .trim_ascii()
                .strip_prefix(NAME.as_bytes())
                .and_then(|rest| rest.strip_prefix(b"="))
            else {
                continue;
            };
            let value = std::str::from_utf8(value).unwrap_or_default();
            if found.replace(value).is_some() {
                return Err(Duplicate);
            }
        }
    }
    Ok(found)
}

/// A `Set-Cookie` without `Max-Age`: the cookie ends with the browser, or earlier with its token.
pub(super) fn set(token: &str, same_site: SameSite) -> Option<HeaderValue> {
    let same_site = same_site.attribute();
    let text = format!("{NAME}={token}; Path=/; Secure; HttpOnly; SameSite={same_site}");
    HeaderValue::try_from(text).ok()
}

pub(super) fn clear(same_site: SameSite) -> Option<HeaderValue> {
    let same_site = same_site.attribute();
    let text = format!("{NAME}=; Path=/; Secure; HttpOnly; SameSite={same_site}; Max-Age=0");
    HeaderValue::try_from(text).ok()
}

/// Whether a `Set-Cookie` sets or clears the session cookie.
pub(super) fn is_ours(set_cookie: &HeaderValue) -> bool {
    set_cookie
        .as_bytes()
        .strip_prefix(NAME.as_bytes())
        .is_some_and(|rest| rest.starts_with(b"="))
}
