//! The listener: it accepts within the limits, and says so when it does not.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum_server::{AddrListener, Address};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use waxseal::time::{Clock, SystemClock};

use super::{AdmittedConnection, Connections, Refused};

/// How long to wait after the system could not accept: the next attempt would fail in the same way.
const PAUSE: Duration = Duration::from_millis(50);

/// A burst of refusals or failures is over after so long without one.
const QUIET: Duration = Duration::from_secs(10);

/// Where a connection comes from.
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

/// A connection that was accepted, and its place among the others.
#[derive(Debug)]
pub struct Admitted {
    pub stream: TcpStream,
    pub place: AdmittedConnection,
}

/// A listener that closes at once what is beyond the limits. It never closes a connection to make room for another.
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
            tracing::warn!(%cause, "connections cannot be accepted");
        }
    }

    /// Says which bursts are over. True if none goes on.
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
        // Its limits are not part of an address: it is made by `Gate::new`.
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
                        // Reset: what is refused leaves nothing behind in the system (TIME-WAIT, RFC 9293, 3.6.1).
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

/// Whether only the connection that was to be accepted is lost: accept(2) on Linux gives errors of the network that
/// are pending on it.
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

/// Events of one kind that follow each other closely. The log has its beginning, and its end with a count.
#[derive(Debug, Default)]
struct Burst {
    count: u64,
    last: Duration,
}

impl Burst {
    /// True if it begins with this.
    fn happened(&mut self, now: Duration) -> bool {
        self.count += 1;
        self.last = now;
        self.count == 1
    }

    /// How many events it had, if it is over.
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
