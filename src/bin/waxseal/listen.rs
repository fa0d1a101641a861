//! Ports, and the HTTP server on them with its limits.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum_server::{Handle, Server};
use hyper_util::rt::TokioTimer;
use tokio::net::TcpSocket;

use crate::connections::{Connections, Gate, Peer};
use crate::failure::Failure;
use crate::patience::Patience;

/// How long a client of HTTP/2 may be silent before it is asked whether it is there. What is asked is news to whoever
/// watches the connection, so this is shorter than that one waits.
const PING: Duration = Duration::from_secs(10);

/// The most bytes of a request's head in HTTP/1.1. A longer one is answered with 431 (RFC 6585, section 5).
const MAX_HEAD: usize = 64 * 1024;

/// The same for HTTP/2, where one connection has many heads at once (RFC 9113, section 6.5.2:
/// SETTINGS_MAX_HEADER_LIST_SIZE).
const MAX_HEADER_LIST: u32 = 16 * 1024;

/// The most requests at once on a connection of HTTP/2: not fewer than RFC 9113 recommends (section 6.5.2).
const MAX_STREAMS: u32 = 100;

/// The most streams of a connection that its client reset before they were looked at: more close it
/// (CVE-2023-44487).
const MAX_PENDING_RESETS: usize = 20;

/// The most streams of a connection that were reset for an error of its client: more close it.
const MAX_ERROR_RESETS: usize = 100;

/// The bytes of bodies that a client of HTTP/2 may send ahead, on one stream and on the whole connection: a body that
/// is accepted is at most 16 KiB, and 65,535 is the least that a connection starts with (RFC 9113, section 6.9.2).
const STREAM_WINDOW: u32 = 16 * 1024;
const CONNECTION_WINDOW: u32 = 65_535;

/// The bytes of an answer that wait to be sent on a stream of HTTP/2.
const SEND_BUFFER: usize = 64 * 1024;

/// How many connections wait to be accepted, at most: the system may have a lower limit of its own.
const WAITING: u32 = 4096;

/// The service's port, taken. Until the service is ready to answer it refuses connections, so that balancers and
/// clients turn to others instead of waiting.
pub struct Port {
    socket: TcpSocket,
    wanted: SocketAddr,
}

impl Port {
    pub fn take(wanted: SocketAddr) -> Result<Self, Failure> {
        let socket = match wanted {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        };
        let refused = |cause| not_listening(wanted, "--listen", &cause);
        let socket = socket.map_err(refused)?;
        // Connections of a service that ran here before may still be ending. It lets two services take the port that
        // start at the same moment; the second one fails when it listens.
        socket.set_reuseaddr(true).map_err(refused)?;
        socket.bind(wanted).map_err(refused)?;
        Ok(Self { socket, wanted })
    }

    pub fn listen(self) -> Result<(TcpListener, SocketAddr), Failure> {
        let wanted = self.wanted;
        let refused = |cause| not_listening(wanted, "--listen", &cause);
        let listener = self.socket.listen(WAITING).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        Ok((listener.into_std().map_err(refused)?, address))
    }
}

fn not_listening(address: SocketAddr, flag: &str, cause: &io::Error) -> Failure {
    Failure::refused(format!(
        "cannot listen on {address}: {cause}; choose another address with {flag}"
    ))
}

/// Takes a port and listens, or names the flag that chooses another.
pub fn bind(address: SocketAddr, flag: &str) -> Result<(TcpListener, SocketAddr), Failure> {
    let refused = |cause| not_listening(address, flag, &cause);
    let listener = TcpListener::bind(address).map_err(refused)?;
    listener.set_nonblocking(true).map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    Ok((listener, address))
}

/// A server whose connections, and the memory of each, are limited, and which waits for no client without end.
pub fn server(
    listener: TcpListener,
    handle: Handle<Peer>,
    connections: Arc<Connections>,
) -> Result<Server<Peer, Patience>, Failure> {
    let gate = Gate::new(listener, connections).map_err(Failure::refused)?;
    let mut server = Server::<Peer>::from_listener(gate)
        .handle(handle)
        .acceptor(Patience);
    let http = server.http_builder();
    http.http1().max_buf_size(MAX_HEAD);
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .max_header_list_size(MAX_HEADER_LIST)
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_ERROR_RESETS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER);
    Ok(server)
}
