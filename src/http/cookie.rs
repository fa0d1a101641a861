//! The session cookie: read strictly, by name, with no decoding (RFC 6265, section 4.2).

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};

/// The cookie's name. Browsers take it only with `Secure`, without `Domain`, with `Path=/`, and from no
/// script (draft-ietf-httpbis-layered-cookies, section 4.1.3); those that know only `__Host-` lack the last.
pub const NAME: &str = "__Host-Http-waxseal";

/// When browsers send the cookie with requests from other sites (the `SameSite` attribute of draft-ietf-httpbis-rfc6265bis).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SameSite {
    /// Also when a link on another site leads here.
    #[default]
    Lax,
    /// Never.
    Strict,
    /// Always: for pages on another site, in browsers that still let them.
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

/// More than one cookie of our name: one of them was planted, and nobody can tell which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Duplicate;

/// The session cookie's value, if there is exactly one. A value that is no text is no token either, and
/// comes back as one that cannot verify.
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

/// Without `Max-Age`: it ends with the browser, and by its token before that.
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

/// Whether a `Set-Cookie` is about the session cookie.
pub(super) fn is_ours(set_cookie: &HeaderValue) -> bool {
    set_cookie
        .as_bytes()
        .strip_prefix(NAME.as_bytes())
        .is_some_and(|rest| rest.starts_with(b"="))
}
