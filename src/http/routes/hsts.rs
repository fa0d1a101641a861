//! `Strict-Transport-Security` (RFC 6797): from now on, browsers use only HTTPS for this host.

use std::time::Duration;

use axum::http::{HeaderValue, Uri};

use crate::http::host;

/// One year.
pub const MAX_AGE: Duration = Duration::from_secs(31_536_000);

/// Returns the header's value. None without a `max_age`, and where the header must not be sent: for an `http://` issuer
/// (RFC 6797, section 7.2), and for an issuer on the browser's own machine, whose other ports can use plain HTTP.
///
/// A `max_age` of zero makes browsers forget the host (RFC 6797, section 6.1.1).
pub(crate) fn value(issuer: &str, max_age: Option<Duration>) -> Option<HeaderValue> {
    let uri: Uri = issuer.parse().ok()?;
    let is_local = uri.host().is_none_or(host::is_loopback);
    if uri.scheme_str() != Some("https") || is_local {
        return None;
    }
    let seconds = max_age?.as_secs();
    HeaderValue::try_from(format!("max-age={seconds}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_https_issuer_elsewhere_has_it() {
        for (issuer, max_age, expected) in [
            (
                "https://auth.example",
                Some(MAX_AGE),
                Some("max-age=31536000"),
            ),
            (
                "https://auth.example/path",
                Some(Duration::ZERO),
                Some("max-age=0"),
            ),
            (
                "HTTPS://auth.example:8443",
                Some(Duration::from_secs(60)),
                Some("max-age=60"),
            ),
            ("https://auth.example", None, None),
            ("http://auth.example", Some(MAX_AGE), None),
            ("https://localhost:8443", Some(MAX_AGE), None),
            ("https://127.0.0.1", Some(MAX_AGE), None),
            ("https://[::1]:8443", Some(MAX_AGE), None),
            ("not a url", Some(MAX_AGE), None),
        ] {
            let value = value(issuer, max_age);
            let value = value.as_ref().and_then(|value| value.to_str().ok());
            assert_eq!(value, expected, "{issuer}");
        }
    }
}
