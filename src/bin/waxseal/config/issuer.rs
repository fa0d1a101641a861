//! How browsers treat the issuer's URL.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::refusal::bad;
use crate::cli::duration;
use crate::failure::Failure;

/// Whether browsers discard a Secure cookie from this URL, because the URL is neither HTTPS nor on the browser's own
/// machine (W3C Secure Contexts, section 3.1).
pub fn loses_cookies(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else {
        return false;
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.parse::<SocketAddr>() {
        Ok(address) => return !address.ip().is_loopback(),
        Err(_) => authority.split(':').next().unwrap_or_default(),
    };
    let host = host.to_ascii_lowercase();
    let is_local = host == "localhost" || host.ends_with(".localhost") || authority == "[::1]";
    !is_local && !host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Parses how long browsers use HTTPS alone (RFC 6797): a duration, or `none` to leave the header out.
pub fn hsts(text: Option<String>, default: Option<Duration>) -> Result<Option<Duration>, Failure> {
    match text.as_deref() {
        None => Ok(default),
        Some("none") => Ok(None),
        Some(text) => duration(text)
            .map(Some)
            .map_err(|_| bad("hsts", text, "a duration such as 365d, 0s or none")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_keep_cookies_over_https_and_from_their_own_machine() {
        for (url, loses) in [
            ("http://192.168.1.20:8080", true),
            ("http://auth.example", true),
            ("http://localhost.example:8080/auth", true),
            ("http://[2001:db8::1]:8080", true),
            ("http://localhost:8080", false),
            ("http://auth.localhost", false),
            ("http://127.0.0.1/auth", false),
            ("http://[::1]", false),
            ("http://[::1]:8080", false),
            ("https://auth.example", false),
        ] {
            assert_eq!(loses_cookies(url), loses, "{url}");
        }
    }
}
