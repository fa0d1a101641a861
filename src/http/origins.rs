//! Which sites may send requests on behalf of a browser's user.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::http::header::ORIGIN;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

#[cfg(feature = "server")]
use super::host;
use super::problem::Problem;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The origin of a site that is trusted like the service itself, such as `https://app.example`, exactly as browsers
/// serialize it (RFC 6454, section 6.2). `http` is accepted for this machine only: elsewhere, anyone on the network
/// path could impersonate the site.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin(String);

/// A text that is not an origin, or not an origin that can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an origin such as https://app.example: lower case, no path, no default port, http only for localhost"
)]
pub struct InvalidOrigin;

impl Origin {
    /// Returns the origin as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        let origin = of_url(text).ok_or(InvalidOrigin)?;
        let host = origin.split_once("://").map(|(_, host)| host);
        let local = host.is_some_and(|host| {
            ["localhost", "127.0.0.1", "[::1]"].iter().any(|local| {
                host.strip_prefix(local)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
            })
        });
        let canonical = origin == text && !text.contains('*');
        if canonical && (origin.starts_with("https://") || local) {
            Ok(Self(origin))
        } else {
            Err(InvalidOrigin)
        }
    }
}

/// Returns the origin of a URL, as browsers serialize it.
fn of_url(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
    let default = match scheme {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return None;
    }
    let host = authority.host().to_ascii_lowercase();
    let port = match authority.port_u16() {
        Some(port) if port != default => format!(":{port}"),
        _ => String::new(),
    };
    Some(format!("{scheme}://{host}{port}"))
}

#[cfg(feature = "server")]
fn host_of(origin: &str) -> Option<&str> {
    let (_, authority) = origin.split_once("://")?;
    host::without_port(authority.as_bytes())
}

/// The service's own origin and the listed ones.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    own: Option<Arc<str>>,
    listed: Arc<BTreeSet<String>>,
}

/// Whose page sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestSource {
    /// A page of the service's own origin, or of a listed one.
    Trusted,
    /// A page of another site, or a header is present twice.
    CrossSite,
    /// The request names no origin, so it is not from a current browser.
    Unknown,
}

impl Origins {
    /// Creates the origins of a service with this issuer URL.
    #[must_use]
    pub fn new(issuer: &str, listed: &[Origin]) -> Self {
        Self {
            own: of_url(issuer).map(Into::into),
            listed: Arc::new(listed.iter().map(|origin| origin.0.clone()).collect()),
        }
    }

    /// Whether the service is reached at this host: that of the issuer or of a listed origin. The port is not compared,
    /// since proxies and port mappings change it. If the issuer is a loopback name, every loopback name matches. If the
    /// issuer is not a URL, every host matches.
    #[cfg(feature = "server")]
    pub(super) fn has_host(&self, host: &str) -> bool {
        let Some(own) = self.own.as_deref().and_then(host_of) else {
            return true;
        };
        let mut listed = self.listed.iter().filter_map(|origin| host_of(origin));
        own.eq_ignore_ascii_case(host)
            || (host::is_loopback(own) && host::is_loopback(host))
            || listed.any(|listed| listed.eq_ignore_ascii_case(host))
    }

    pub(super) fn lists(&self, origin: &HeaderValue) -> bool {
        origin
            .to_str()
            .is_ok_and(|origin| self.listed.contains(origin))
    }

    /// Classifies the sender by `Sec-Fetch-Site` if the browser sends it, else by `Origin` (RFC 6454, section 7).
    pub(super) fn sender(&self, headers: &HeaderMap) -> RequestSource {
        let (Ok(site), Ok(origin)) = (single(headers, SEC_FETCH_SITE), single(headers, ORIGIN))
        else {
            return RequestSource::CrossSite;
        };
        let listed = origin.is_some_and(|origin| self.lists(origin));
        let own = origin.is_some_and(|origin| {
            let own = self.own.as_deref().map(str::as_bytes);
            Some(origin.as_bytes()) == own
        });
        match (site, origin) {
            (Some(site), _) if site == "same-origin" || listed => RequestSource::Trusted,
            (Some(_), _) => RequestSource::CrossSite,
            (None, Some(_)) if own || listed => RequestSource::Trusted,
            (None, Some(_)) => RequestSource::CrossSite,
            (None, None) => RequestSource::Unknown,
        }
    }

    /// Whether a request with the session cookie is allowed: it only reads, or a page of a trusted origin sent it. A
    /// WebSocket handshake is a GET, but does not count as reading: the connection can do anything later.
    pub(super) fn permit_cookie(&self, method: &Method, headers: &HeaderMap) -> bool {
        let looks = [Method::GET, Method::HEAD, Method::OPTIONS].contains(method)
            && !headers.contains_key(axum::http::header::UPGRADE);
        looks || self.sender(headers) == RequestSource::Trusted
    }
}

/// The refusal of a request that [`Origins::permit_cookie`] does not permit. Browsers send `Sec-Fetch-Site` or `Origin`
/// with each request that changes something. Without both, the sender is not a page.
pub(super) fn cookie_not_permitted(headers: &HeaderMap) -> Problem {
    if headers.contains_key(SEC_FETCH_SITE) || headers.contains_key(ORIGIN) {
        Problem::cross_site()
    } else {
        Problem::cookie_without_origin()
    }
}

fn single(headers: &HeaderMap, name: HeaderName) -> Result<Option<&HeaderValue>, ()> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(());
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_exact_and_not_guessed_at() {
        for good in [
            "https://app.example",
            "https://app.example:8443",
            "http://localhost:5173",
            "http://127.0.0.1",
            "http://[::1]:3000",
            "https://[2001:db8::1]",
        ] {
            assert_eq!(good.parse::<Origin>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "*",
            "null",
            "app.example",
            "https://",
            "https://app.example/",
            "https://app.example/path",
            "https://app.example?x",
            "https://APP.example",
            "HTTPS://app.example",
            "https://app.example:443",
            "https://user@app.example",
            "https://*.example",
            "http://app.example",
            "http://localhost.example",
            "http://127.0.0.1.example",
            "ftp://app.example",
            " https://app.example",
            "https://app.example,https://b.example",
        ] {
            assert!(bad.parse::<Origin>().is_err(), "{bad:?}");
        }
    }

    #[cfg(feature = "server")]
    #[test]
    fn the_hosts_are_those_of_the_issuer_and_the_listed_origins() {
        let listed = ["https://app.example:8443".parse().unwrap()];
        let origins = |issuer: &str| Origins::new(issuer, &listed);
        for (issuer, host, right) in [
            ("https://auth.example/path", "auth.example", true),
            ("https://auth.example/path", "AUTH.example", true),
            ("https://auth.example/path", "app.example", true),
            ("https://auth.example", "evil.example", false),
            ("https://auth.example", "auth.example.evil.example", false),
            ("https://auth.example", "localhost", false),
            ("https://auth.example", "127.0.0.1", false),
            ("http://localhost:8080", "127.0.0.1", true),
            ("http://127.0.0.1:8080", "[::1]", true),
            ("http://[::1]:8080", "localhost", true),
            ("http://localhost:8080", "evil.example", false),
            ("http://localhost:8080", "192.168.0.1", false),
            ("no URL", "evil.example", true),
        ] {
            assert_eq!(origins(issuer).has_host(host), right, "{issuer}: {host}");
        }
    }

    #[test]
    fn the_own_origin_is_that_of_the_issuer() {
        let own = |issuer: &str| Origins::new(issuer, &[]).own.as_deref().map(str::to_owned);
        assert_eq!(
            own("https://Auth.example:443/realm"),
            Some("https://auth.example".to_owned())
        );
        assert_eq!(
            own("http://127.0.0.1:8080"),
            Some("http://127.0.0.1:8080".to_owned())
        );
        assert_eq!(own("https://good@evil.example"), None);
    }
}
