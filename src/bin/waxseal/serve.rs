//! `waxseal serve`.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::time::Duration;

use axum::ServiceExt;
use axum_server::{Handle, Server};
use futures_util::future::Either;
use hyper::Request;
use hyper::body::Incoming;
use hyper_util::rt::TokioTimer;
use tokio::net::TcpSocket;
use tokio::signal::unix::{SignalKind, signal};
use waxseal::Waxseal;
use waxseal::embedded::{Database, make_data_dir};
use waxseal::http::OneHost;

use crate::config::Config;
use crate::connections::{self, Connections, Gate, Meters, Peer};
use crate::failure::Failure;
use crate::first_user;
use crate::metrics::{self, Metrics};
use crate::patience::Patience;
use crate::tls::Tls;
use crate::traces::Traces;

/// How long requests under way may take to finish once the service is told to stop.
const DRAIN: Duration = Duration::from_secs(20);

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

pub async fn run(config: &Config) -> Result<(), Failure> {
    let traces = Traces::start()?;
    let served = serve(config).await;
    traces.stop().await;
    served
}

async fn serve(config: &Config) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::refused)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::refused)?;

    config.check_issuer()?;
    if config.loses_cookies() {
        tracing::warn!(
            issuer = config.settings.issuer,
            "browsers do not keep the session cookie of an http:// issuer on another machine; put a proxy with TLS in front, and set the issuer to its https:// URL"
        );
    }
    let tls = config.tls.as_ref().map(Tls::open).transpose()?;
    if config.tls.is_some() && config.settings.issuer.starts_with("http://") {
        return Err(Failure::Usage(format!(
            "the service speaks HTTPS, because tls_cert is set, and the issuer is {}; set --issuer or WAXSEAL_ISSUER to the https:// URL that clients use",
            config.settings.issuer
        )));
    }
    // Before anything is made: a port that is taken leaves no traces.
    let port = Port::take(config.listen)?;
    // And before anything is made that is measured.
    let metrics = Metrics::bind(config)?;
    let descriptors = connections::raise_limit();
    let most = connections::most_connections(descriptors, config.max_connections)?;
    let _lock = match config.settings.database {
        Database::Sqlite => Some(lock(config)?),
        Database::Postgres(_) => None,
    };
    let open = async {
        let opened = Waxseal::open(&config.settings).await;
        let waxseal = opened.map_err(Failure::refused)?;
        first_user::make(&waxseal, config).await?;
        Ok::<_, Failure>(waxseal)
    };
    // It may wait for its database for long.
    let waxseal = tokio::select! {
        opened = open => opened?,
        _ = terminate.recv() => return stopped_early(),
        _ = interrupt.recv() => return stopped_early(),
    };

    let (listener, address) = port.listen()?;
    let handle = Handle::new();
    let meters = Meters::default();
    let proxies = &config.settings.trusted_proxies;
    let connections = Connections::new(most, proxies, meters.of_service(most));
    let server = server(listener, handle.clone(), connections)?;
    let metrics = metrics.map(|metrics| metrics.serve(&waxseal, meters, tls.clone()));
    let metrics = metrics.transpose()?;
    tracing::debug!(descriptors, connections = most, "limits");
    let scheme = if tls.is_some() { "https" } else { "http" };
    tracing::info!("listening on {scheme}://{address}");

    let app = OneHost::new(waxseal.router().merge(waxseal.pages()));
    let app =
        ServiceExt::<Request<Incoming>>::into_make_service_with_connect_info::<SocketAddr>(app);
    let serving = match tls {
        None => Either::Left(server.serve(app)),
        Some(tls) => {
            let server = server.map(|patience| tls.acceptor(patience));
            tls.follow();
            Either::Right(server.serve(app))
        }
    };
    let stop = async {
        let notice = tokio::select! {
            _ = terminate.recv() => config.stop_notice,
            _ = interrupt.recv() => Duration::ZERO,
        };
        waxseal.close_streams();
        if !notice.is_zero() {
            tracing::info!(
                "stopping in {} s: /readyz says so already",
                notice.as_secs()
            );
            // Who asks again does not want to wait.
            tokio::select! {
                () = tokio::time::sleep(notice) => {}
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        tracing::info!("stopping: requests under way are answered first");
        handle.graceful_shutdown(Some(DRAIN));
        std::future::pending::<()>().await;
    };
    let served = tokio::select! {
        served = serving => served.map_err(Failure::refused),
        failed = metrics::failed(metrics) => Err(failed),
        () = waxseal.clone().maintain() => Ok(()),
        () = stop => Ok(()),
    };
    waxseal.leave().await;
    served
}

fn stopped_early() -> Result<(), Failure> {
    tracing::info!("stopping: it had not begun to serve");
    Ok(())
}

/// The service's port, taken. Until the service is ready to answer it refuses connections, so that balancers and
/// clients turn to others instead of waiting.
struct Port {
    socket: TcpSocket,
    wanted: SocketAddr,
}

impl Port {
    fn take(wanted: SocketAddr) -> Result<Self, Failure> {
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

    fn listen(self) -> Result<(TcpListener, SocketAddr), Failure> {
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

/// Keeps a second server off the data folder. The command line may work beside a server: it writes
/// through the same head row.
pub fn lock(config: &Config) -> Result<File, Failure> {
    make_data_dir(&config.settings).map_err(Failure::refused)?;
    let path = config.settings.data_dir.join("lock");
    let refused = |why: String| Failure::refused(format!("{}: {why}", path.display()));
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|cause| refused(cause.to_string()))?;
    file.try_lock().map_err(|_| {
        refused("another server runs on this data folder; stop it, or set --data-dir".to_owned())
    })?;
    Ok(file)
}
