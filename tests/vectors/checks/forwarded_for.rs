//! `X-Forwarded-For` against a plain reading of its lines as one list.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::LazyLock;

use axum::http::{HeaderMap, HeaderValue};
use waxseal::http::TrustedProxies;

/// The networks of the trusted proxies.
const NETWORKS: [(IpAddr, u8); 3] = [
    (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 0)), 8),
    (IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)), 32),
    (
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 0)),
        48,
    ),
];

/// The peers that the first byte of an input chooses, modulo 4.
const PEERS: [&str; 4] = [
    "10.0.0.1",
    "::ffff:10.0.0.1",
    "2001:db8:ffff::1",
    "203.0.113.7",
];

/// The most entries that are read.
const MOST: usize = 32;

static PROXIES: LazyLock<TrustedProxies> = LazyLock::new(|| {
    let network = |(address, bits): (IpAddr, u8)| format!("{address}/{bits}").parse().unwrap();
    TrustedProxies::new(&NETWORKS.map(network))
});

pub fn check(data: &[u8]) -> bool {
    let Some((choice, rest)) = data.split_first() else {
        return false;
    };
    let peer: IpAddr = PEERS[usize::from(choice % 4)].parse().unwrap();
    let lines = rest.split(|byte| *byte == b'\n');
    let Ok(lines) = lines
        .map(HeaderValue::from_bytes)
        .collect::<Result<Vec<_>, _>>()
    else {
        return false;
    };
    let mut headers = HeaderMap::new();
    for line in &lines {
        headers.append("x-forwarded-for", line.clone());
    }
    let client = PROXIES.client(peer, &headers);
    let hops = hops(peer, &lines);
    assert!(hops.contains(&client), "{client} of {hops:?}");
    // Waxseal reads nothing of a line with other bytes.
    if lines.iter().all(|line| line.to_str().is_ok()) {
        assert_eq!(Some(&client), hops.last(), "{hops:?}");
    }
    client != plain(peer)
}

/// The addresses that a request came from, nearest first: the peer, and each entry from the end of the list that a
/// trusted proxy wrote, up to the first that is not an address.
fn hops(peer: IpAddr, lines: &[HeaderValue]) -> Vec<IpAddr> {
    let lines: Vec<_> = lines.iter().map(HeaderValue::as_bytes).collect();
    let list = lines.join(&b","[..]);
    let entries: Vec<_> = list.split(|byte| *byte == b',').collect();
    let mut hops = vec![plain(peer)];
    for entry in entries.iter().rev().take(MOST) {
        if !hops.last().is_some_and(is_trusted) {
            break;
        }
        let Some(address) = str::from_utf8(entry.trim_ascii()).ok().and_then(address) else {
            break;
        };
        hops.push(plain(address));
    }
    hops
}

fn address(text: &str) -> Option<IpAddr> {
    let with_port = text.parse::<SocketAddr>().map(|address| address.ip());
    with_port.or_else(|_| text.parse()).ok()
}

/// Writes an IPv4 address within IPv6 (RFC 4291, section 2.5.5.2) as IPv4.
fn plain(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => match v6.octets() {
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d] => {
                Ipv4Addr::new(a, b, c, d).into()
            }
            _ => address,
        },
        IpAddr::V4(_) => address,
    }
}

fn is_trusted(address: &IpAddr) -> bool {
    NETWORKS
        .iter()
        .any(|(network, bits)| match (network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                network.to_bits() >> (32 - bits) == address.to_bits() >> (32 - bits)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                network.to_bits() >> (128 - bits) == address.to_bits() >> (128 - bits)
            }
            _ => false,
        })
}
