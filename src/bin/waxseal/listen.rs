//! The ports, and the HTTP server on them with its limits.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum_server::{Handle, Server};
use hyper_util::rt::TokioTimer;
use tokio::net::TcpSocket;

use crate::connections::{Connections, Gate, Peer};
use crate::failure::Failure;
use crate::patience::IdleTimeoutAcceptor;

/// How long an HTTP/2 client may be silent before the server sends a PING. A PING counts as activity of the connection,
/// so this is shorter than the limit in [`IdleTimeoutAcceptor`].
const PING: Duration = Duration::from_secs(10);

/// The maximum size of a request's head in HTTP/1.1, in bytes. A longer head gets 431 (RFC 6585, section 5).
const MAX_HEAD: usize = 64 * 1024;

/// The maximum size of a request's head in HTTP/2, in bytes. It is lower because one connection has many heads at once
/// (RFC 9113, section 6.5.2: SETTINGS_MAX_HEADER_LIST_SIZE).
const MAX_HEADER_LIST: u32 = 16 * 1024;

/// The maximum number of concurrent requests on an HTTP/2 connection: not fewer than RFC 9113 recommends
/// (section 6.5.2).
const MAX_STREAMS: u32 = 100;

/// The maximum number of streams that the client of a connection resets before the server accepts them. More close the
/// connection (CVE-2023-44487).
const MAX_PENDING_RESETS: usize = 20;

/// The maximum number of streams that the server resets for errors of a connection's client. More close the connection.
const MAX_ERROR_RESETS: usize = 100;

/// How many bytes of bodies an HTTP/2 client may send ahead, on one stream and on the whole connection. An accepted
/// body has at most 16 KiB, and a connection starts with at least 65,535 (RFC 9113, section 6.9.2).
const STREAM_WINDOW: u32 = 16 * 1024;
const CONNECTION_WINDOW: u32 = 65_535;

/// How many bytes of an answer may wait to be sent on an HTTP/2 stream.
const SEND_BUFFER: usize = 64 * 1024;

/// How many connections may wait to be accepted. The system may have a lower limit.
const WAITING: u32 = 4096;

/// The service's port, bound and not yet listening. It refuses connections until the service is ready, so that load
/// balancers and clients turn to other nodes instead of waiting.
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
        // Connections of an earlier service may still be closing. The option lets two services that start at the same
        // moment bind the port; the second one fails when it listens.
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

/// Binds a port and listens. The error names the flag that chooses another address.
pub fn bind(address: SocketAddr, flag: &str) -> Result<(TcpListener, SocketAddr), Failure> {
    let refused = |cause| not_listening(address, flag, &cause);
    let listener = TcpListener::bind(address).map_err(refused)?;
    listener.set_nonblocking(true).map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    Ok((listener, address))
}

/// Returns a server that limits the number of connections, the memory of each, and the time to wait for a client.
pub fn server(
    listener: TcpListener,
    handle: Handle<Peer>,
    connections: Arc<Connections>,
) -> Result<Server<Peer, IdleTimeoutAcceptor>, Failure> {
    let gate = Gate::new(listener, connections).map_err(Failure::refused)?;
    let mut server = Server::<Peer>::from_listener(gate)
        .handle(handle)
        .acceptor(IdleTimeoutAcceptor);
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
