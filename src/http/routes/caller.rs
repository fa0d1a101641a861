//! The caller of a request: its network address, and the browser that it claims to be.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{ConnectInfo, FromRef, FromRequestParts};
use axum::http::header::USER_AGENT;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;

use crate::inventory::LoginOrigin;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The most `X-Forwarded-For` entries that are read, from the nearest proxy backwards.
const MAX_HOPS: usize = 32;

/// The proxies whose `X-Forwarded-For` is trusted.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Arc<Proxies>);

#[derive(Debug, Default)]
struct Proxies {
    networks: Vec<IpNet>,
    told: AtomicBool,
}

impl TrustedProxies {
    /// Trusts the proxies in these networks.
    #[must_use]
    pub fn new(networks: &[IpNet]) -> Self {
        Self(Arc::new(Proxies {
            networks: networks.to_vec(),
            told: AtomicBool::new(false),
        }))
    }

    fn trusts(&self, address: IpAddr) -> bool {
        let networks = &self.0.networks;
        networks.iter().any(|network| network.contains(&address))
    }

    /// Logs once, since it would be true of every request. At `info`, because any client can cause it.
    fn tell(&self, why: &str) {
        if !self.0.told.swap(true, Ordering::Relaxed) {
            tracing::info!("logins are limited together, and not by client address: {why}");
        }
    }

    /// Returns the nearest address that is not a trusted proxy, walking back from `peer` through `X-Forwarded-For`.
    /// Entries beyond it are not trustworthy: a client can send them. If `peer` is not trusted, neither is any entry.
    #[doc(hidden)]
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut nearest = peer.to_canonical();
        let lines: Vec<_> = headers.get_all(X_FORWARDED_FOR).iter().collect();
        let hops = lines.iter().rev().flat_map(|line| {
            let line = line.to_str().unwrap_or_default();
            line.rsplit(',').map(str::trim)
        });
        for hop in hops.take(MAX_HOPS) {
            if !self.trusts(nearest) {
                break;
            }
            match address(hop) {
                Some(address) => nearest = address,
                // The proxy wrote a text that is not an address: only the proxy's own address is known.
                None => break,
            }
        }
        nearest
    }
}

/// Parses an address, with or without the port that some proxies add.
fn address(text: &str) -> Option<IpAddr> {
    let address = text
        .parse()
        .or_else(|_| text.parse().map(|address: SocketAddr| address.ip()));
    address.ok().map(|address| address.to_canonical())
}

#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) address: Option<IpAddr>,
    browser: Option<String>,
}

impl Caller {
    pub(super) fn origin(&self) -> LoginOrigin {
        LoginOrigin::new(self.address, self.browser.as_deref())
    }
}

impl<S> FromRequestParts<S> for Caller
where
    TrustedProxies: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let proxies = TrustedProxies::from_ref(state);
        match peer {
            None => proxies.tell(
                "the server gives no ConnectInfo; serve with into_make_service_with_connect_info",
            ),
            Some(ConnectInfo(peer)) if parts.headers.contains_key(X_FORWARDED_FOR) => {
                if !proxies.trusts(peer.ip().to_canonical()) {
                    proxies.tell("a request came with X-Forwarded-For from an address that is not among trusted_proxies; if that is your proxy, list it");
                }
            }
            Some(_) => {}
        }
        let browser = parts.headers.get(USER_AGENT);
        Ok(Self {
            address: peer.map(|peer| proxies.client(peer.0.ip(), &parts.headers)),
            browser: browser
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, lines: &[&str]) -> String {
        let trusted = ["10.0.0.0/8", "2001:db8:ffff::/48"].map(|network| network.parse().unwrap());
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(X_FORWARDED_FOR, line.parse().unwrap());
        }
        let proxies = TrustedProxies::new(&trusted);
        proxies.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn forwarded_addresses_of_strangers_are_ignored() {
        assert_eq!(client("203.0.113.7", &["198.51.100.1"]), "203.0.113.7");
        assert_eq!(client("203.0.113.7", &["10.0.0.1"]), "203.0.113.7");
        assert_eq!(client("203.0.113.7", &[]), "203.0.113.7");
    }

    #[test]
    fn forwarded_addresses_count_as_far_as_trusted_proxies_go() {
        assert_eq!(client("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        // The client itself sent the first entry.
        assert_eq!(
            client("10.0.0.1", &["127.0.0.1, 198.51.100.1"]),
            "198.51.100.1"
        );
        assert_eq!(
            client("10.0.0.1", &["127.0.0.1, 198.51.100.1, 10.0.0.9"]),
            "198.51.100.1"
        );
        assert_eq!(
            client("10.0.0.1", &["127.0.0.1", "198.51.100.1", "10.0.0.9"]),
            "198.51.100.1"
        );
        assert_eq!(client("10.0.0.1", &["10.0.0.5"]), "10.0.0.5");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(
            client("::ffff:10.0.0.1", &["::ffff:198.51.100.1"]),
            "198.51.100.1"
        );
        assert_eq!(
            client("2001:db8:ffff::1", &["[2001:db8::9]:4711"]),
            "2001:db8::9"
        );
        assert_eq!(client("10.0.0.1", &["198.51.100.1:4711"]), "198.51.100.1");
    }

    #[test]
    fn a_malformed_address_ends_the_walk() {
        for odd in [
            "unknown",
            "",
            "_hidden",
            "198.51.100.1 evil",
            "198.51.100",
            "::g",
        ] {
            assert_eq!(client("10.0.0.1", &[odd]), "10.0.0.1", "{odd}");
            assert_eq!(
                client("10.0.0.1", &[&format!("192.0.2.1, {odd}")]),
                "10.0.0.1"
            );
        }
        let long = ["10.0.0.2"; 100].join(",");
        assert_eq!(
            client("10.0.0.1", &[&format!("192.0.2.1,{long}")]),
            "10.0.0.2"
        );
    }
}
