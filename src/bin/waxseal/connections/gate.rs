//! The listener. It accepts connections within the limits, and logs refusals and failures.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum_server::{AddrListener, Address};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use waxseal::report::report;
use waxseal::time::{Clock, SystemClock};

use super::{AdmittedConnection, Connections, Refused};

/// The pause after the system failed to accept a connection: an attempt without a pause would fail in the same way.
const PAUSE: Duration = Duration::from_millis(50);

/// A burst of refusals or failures is over after this time without another.
const QUIET: Duration = Duration::from_secs(10);

/// The address that a connection comes from.
#[derive(Clone, Copy, Debug)]
pub struct Peer(SocketAddr);

impl Address for Peer {
    type Stream = Admitted;
    type Listener = Gate;
}

impl Connected<Peer> for SocketAddr {
    fn connect_info(Peer(address): Peer) -> Self {
        address
    }
}

/// An accepted connection, and its place in the limits.
#[derive(Debug)]
pub struct Admitted {
    pub stream: TcpStream,
    pub place: AdmittedConnection,
}

/// A listener that closes connections beyond the limits at once. It never closes one to make room for another.
#[derive(Debug)]
pub struct Gate {
    listener: TcpListener,
    connections: Arc<Connections>,
    bursts: Mutex<Bursts>,
}

#[derive(Debug, Default)]
struct Bursts {
    refused: Burst,
    failed: Burst,
}

impl Gate {
    pub fn new(listener: StdListener, connections: Arc<Connections>) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener: TcpListener::from_std(listener)?,
            connections,
            bursts: Mutex::default(),
        })
    }

    fn refused(&self, limit: Refused) {
        if self.bursts(|bursts, now| bursts.refused.happened(now)) {
            let (what, limit) = match limit {
                Refused::Total => ("in all", self.connections.total),
                Refused::Address => ("from one address", self.connections.each),
            };
            tracing::info!("connections are refused: there are {limit} {what}");
        }
    }

    fn failed(&self, cause: &io::Error) {
        self.connections.meters.failed();
        if self.bursts(|bursts, now| bursts.failed.happened(now)) {
            tracing::warn!(cause = %report(cause), "connections cannot be accepted");
        }
    }

    /// Logs which bursts are over. Returns whether none continues.
    fn tell_ends(&self) -> bool {
        let (refused, failed, none) = self.bursts(|bursts, now| {
            let ended = (bursts.refused.ended(now), bursts.failed.ended(now));
            let none = bursts.refused.count == 0 && bursts.failed.count == 0;
            (ended.0, ended.1, none)
        });
        if let Some(count) = refused {
            tracing::info!(count, "connections are no longer refused");
        }
        if let Some(count) = failed {
            tracing::info!(count, "connections are accepted again");
        }
        none
    }

    fn bursts<T>(&self, work: impl FnOnce(&mut Bursts, Duration) -> T) -> T {
        let mut bursts = self.bursts.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut bursts, SystemClock.uptime())
    }
}

impl AddrListener<Admitted, Peer> for Gate {
    async fn bind_to(_: Peer) -> io::Result<Self> {
        // An address does not have the limits. `Gate::new` creates a gate.
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn accept_stream(&self) -> io::Result<(Admitted, Peer)> {
        loop {
            let accept = self.listener.accept();
            let accepted = match self.tell_ends() {
                true => accept.await,
                false => match timeout(QUIET, accept).await {
                    Ok(accepted) => accepted,
                    Err(_) => continue,
                },
            };
            match accepted {
                Ok((stream, peer)) => match self.connections.admit(peer.ip()) {
                    Ok(place) => return Ok((Admitted { stream, place }, Peer(peer))),
                    Err(limit) => {
                        self.refused(limit);
                        // Reset a refused connection, so that it leaves no TIME-WAIT state (RFC 9293, section 3.6.1).
                        let _ = stream.set_zero_linger();
                    }
                },
                Err(cause) => {
                    self.failed(&cause);
                    if !is_of_one_connection(&cause) {
                        sleep(PAUSE).await;
                    }
                }
            }
        }
    }

    fn get_local_addr(&self) -> io::Result<Peer> {
        self.listener.local_addr().map(Peer)
    }
}

/// Whether the error concerns only the connection that was to be accepted: on Linux, accept(2) returns the network
/// errors that are pending on it.
fn is_of_one_connection(cause: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted,
        NetworkDown, NetworkUnreachable,
    };
    matches!(
        cause.kind(),
        ConnectionAborted
            | ConnectionRefused
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | NetworkDown
            | NetworkUnreachable
    )
}

/// Events of one kind in close succession. The log shows the start of a burst, and its end with a count.
#[derive(Debug, Default)]
struct Burst {
    count: u64,
    last: Duration,
}

impl Burst {
    /// Counts an event. Returns whether it starts the burst.
    fn happened(&mut self, now: Duration) -> bool {
        self.count += 1;
        self.last = now;
        self.count == 1
    }

    /// Returns the number of events if the burst is over, and resets it.
    fn ended(&mut self, now: Duration) -> Option<u64> {
        if self.count == 0 || now.saturating_sub(self.last) < QUIET {
            return None;
        }
        Some(std::mem::take(&mut self.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_begins_once_and_ends_with_its_count() {
        let mut burst = Burst::default();
        for _ in 0..2 {
            let mut now = Duration::from_secs(100);
            assert_eq!(burst.ended(now), None, "there was none");
            assert!(burst.happened(now));
            for _ in 0..1000 {
                now += QUIET / 2;
                assert_eq!(burst.ended(now), None);
                assert!(!burst.happened(now));
            }
            assert_eq!(burst.ended(now + QUIET), Some(1001));
        }
    }
}
