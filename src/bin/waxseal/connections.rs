//! The limits on open connections: in total, and from one address.
//!
//! Both limits leave descriptors for the database, the mark and the keys. In a flood of connections the service may
//! refuse new ones, but a logout on an accepted connection can still be written.

mod descriptors;
mod gate;
mod meters;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use ipnet::IpNet;

pub use descriptors::{most_connections, raise_limit};
pub use gate::{Admitted, Gate, Peer};
pub use meters::{ConnectionMetrics, Refused, describe};

/// One address has at most an eighth of all connections, so that it takes eight addresses to use them all.
const PARTS: usize = 8;

/// One address has at least this many connections, even if the total is low: a browser opens 6 (HTTP/1.1).
const LEAST_EACH: usize = 8;

/// The connections of one port, with their limits.
#[derive(Debug)]
pub struct Connections {
    total: usize,
    each: usize,
    /// The networks of trusted proxies, without the limit of one address.
    proxies: Vec<IpNet>,
    open: Mutex<Counts>,
    meters: ConnectionMetrics,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    /// The connections by address, where the limit of one address applies. An address without connections has no entry.
    each: HashMap<IpAddr, usize>,
}

impl Connections {
    /// Limits the connections to `total`. Connections from `proxies` count only in the total.
    pub fn new(total: usize, proxies: &[IpNet], meters: ConnectionMetrics) -> Arc<Self> {
        Arc::new(Self {
            total,
            each: (total / PARTS).max(LEAST_EACH).min(total),
            proxies: proxies.to_vec(),
            open: Mutex::default(),
            meters,
        })
    }

    /// Counts a connection from this address until its [`AdmittedConnection`] is dropped.
    ///
    /// # Errors
    /// [`Refused`] says which limit is reached.
    pub fn admit(self: &Arc<Self>, peer: IpAddr) -> Result<AdmittedConnection, Refused> {
        let subscriber = self.subscriber(peer);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = if open.total >= self.total {
            Some(Refused::Total)
        } else if let Some(subscriber) = subscriber
            && open.each.get(&subscriber).copied().unwrap_or(0) >= self.each
        {
            Some(Refused::Address)
        } else {
            None
        };
        if let Some(refused) = refused {
            drop(open);
            self.meters.refused(refused);
            return Err(refused);
        }
        open.total += 1;
        if let Some(subscriber) = subscriber {
            *open.each.entry(subscriber).or_default() += 1;
        }
        self.meters.open(open.total);
        Ok(AdmittedConnection {
            connections: Arc::clone(self),
            subscriber,
        })
    }

    /// Returns the address under which connections count together; `None` for a trusted proxy, which connects for many.
    fn subscriber(&self, peer: IpAddr) -> Option<IpAddr> {
        let peer = peer.to_canonical();
        if self.proxies.iter().any(|network| network.contains(&peer)) {
            return None;
        }
        Some(match peer {
            IpAddr::V4(_) => peer,
            // One subscriber has a whole /64 (RFC 6177, section 2).
            IpAddr::V6(address) => {
                let prefix = address.to_bits() & !u128::from(u64::MAX);
                Ipv6Addr::from_bits(prefix).into()
            }
        })
    }
}

/// An accepted connection, which counts until this value is dropped.
#[derive(Debug)]
pub struct AdmittedConnection {
    connections: Arc<Connections>,
    subscriber: Option<IpAddr>,
}

impl Drop for AdmittedConnection {
    fn drop(&mut self) {
        let mut open = self
            .connections
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        open.total -= 1;
        if let Some(subscriber) = self.subscriber
            && let Some(count) = open.each.get_mut(&subscriber)
        {
            *count -= 1;
            if *count == 0 {
                open.each.remove(&subscriber);
            }
        }
        self.connections.meters.open(open.total);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(total: usize) -> Arc<Connections> {
        let proxies = ["10.0.0.0/8", "2001:db8:ffff::/48"].map(|network| network.parse().unwrap());
        Connections::new(total, &proxies, ConnectionMetrics::default())
    }

    /// Opens connections from these addresses in turn. Returns the accepted ones, and why the next one is refused.
    fn fill(connections: &Arc<Connections>, peers: &[&str]) -> (Vec<AdmittedConnection>, Refused) {
        let mut places = Vec::new();
        for peer in peers.iter().cycle() {
            match connections.admit(peer.parse().unwrap()) {
                Ok(place) => places.push(place),
                Err(refused) => return (places, refused),
            }
        }
        unreachable!("the peers are repeated without end")
    }

    #[test]
    fn an_address_has_an_eighth_and_its_other_spellings_count_with_it() {
        for (peers, accepted) in [
            (&["203.0.113.7"][..], 100),
            (&["203.0.113.7", "::ffff:203.0.113.7"], 100),
            // A /64 of IPv6.
            (&["2001:db8::1", "2001:db8::ffff:0:0:1"], 100),
            (&["2001:db8::1", "2001:db8:0:1::1"], 200),
            (&["203.0.113.7", "203.0.113.8"], 200),
        ] {
            let (places, refused) = fill(&connections(800), peers);
            assert_eq!(
                (places.len(), refused),
                (accepted, Refused::Address),
                "{peers:?}"
            );
        }
    }

    #[test]
    fn a_trusted_proxy_has_all_of_them_and_no_more() {
        for peers in [
            &["10.1.2.3"][..],
            &["::ffff:10.1.2.3"],
            &["2001:db8:ffff::1"],
        ] {
            let (places, refused) = fill(&connections(800), peers);
            assert_eq!((places.len(), refused), (800, Refused::Total), "{peers:?}");
        }
    }

    #[test]
    fn a_connection_that_ends_makes_room_for_another() {
        let connections = connections(16);
        let (places, _) = fill(&connections, &["203.0.113.7"]);
        assert_eq!(places.len(), LEAST_EACH);
        let (others, refused) = fill(&connections, &["203.0.113.8", "203.0.113.9"]);
        assert_eq!((others.len(), refused), (8, Refused::Total));
        drop(places);
        let (again, refused) = fill(&connections, &["203.0.113.7"]);
        assert_eq!((again.len(), refused), (8, Refused::Total));
        drop((others, again));
        let open = connections.open.lock().unwrap();
        assert_eq!(
            (open.total, open.each.len()),
            (0, 0),
            "nothing is left behind"
        );
    }
}
