//! `waxseal serve`.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
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
use waxseal::random::OsRandom;

use crate::config::Config;
use crate::failure::Failure;
use crate::metrics::{self, Metrics};
use crate::patience::Patience;
use crate::tls::Tls;
use crate::traces::Traces;
use crate::{passwords, streams, user};

/// How long requests under way may take to finish once the service is told to stop.
const DRAIN: Duration = Duration::from_secs(20);

/// How long a client of HTTP/2 may be silent before it is asked whether it is there. What is asked is news to whoever
/// watches the connection, so this is shorter than that one waits.
const PING: Duration = Duration::from_secs(10);

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
    // Before anything is made: a port that is taken leaves no traces.
    let port = Port::take(config.listen)?;
    // And before anything is made that is measured.
    let metrics = Metrics::bind(config)?;
    let _lock = match config.settings.database {
        Database::Sqlite => Some(lock(config)?),
        Database::Postgres(_) => None,
    };
    let open = async {
        let opened = Waxseal::open(&config.settings).await;
        let waxseal = opened.map_err(Failure::refused)?;
        first_user(&waxseal).await?;
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
    let server = server(listener, handle.clone())?;
    let metrics = metrics
        .map(|metrics| metrics.serve(&waxseal, tls.clone()))
        .transpose()?;
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

/// A server that waits for nobody for ever.
pub fn server(
    listener: TcpListener,
    handle: Handle<SocketAddr>,
) -> Result<Server<SocketAddr, Patience>, Failure> {
    let mut server = axum_server::from_tcp(listener)
        .map_err(Failure::refused)?
        .handle(handle)
        .acceptor(Patience);
    server
        .http_builder()
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING);
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

async fn first_user(waxseal: &Waxseal) -> Result<(), Failure> {
    let accounts = waxseal.accounts();
    if !accounts.users().await.map_err(Failure::refused)?.is_empty() {
        return Ok(());
    }
    let user = user::new_user("admin")?;
    let password = passwords::random(&OsRandom::new());
    let hash = passwords::hash(password.clone(), user.username.as_str()).await?;
    // The password is shown before the user is made. A user whose password nobody has seen would keep the next start
    // from making another.
    let shown = streams::err(&format!(
        "waxseal: there was no user, so one is made. This is shown once:\n  username: admin\n  password: {password}\n"
    ));
    shown.map_err(|cause| {
        Failure::refused(format!(
            "there is no user, and none was made: the password of the first one could not be shown on standard error: {cause}. Start with a standard error that can be written, or add a user with: waxseal user add NAME"
        ))
    })?;
    let Err(failure) = user::insert(&*accounts, &user, &hash).await else {
        return Ok(());
    };
    // Another node that starts at the same moment may have made it.
    let users = accounts.users().await.unwrap_or_default();
    if users.iter().any(|known| known.id == user.id) {
        return Ok(());
    }
    if !users.is_empty() {
        streams::note(
            "the password shown here is not valid: another node made the first user at the same moment, and shows its password",
        );
        return Ok(());
    }
    Err(failure.with("; the password that was shown may be valid or not: keep it secret"))
}
