//! `waxseal serve`.

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use axum::ServiceExt;
use axum_server::Handle;
use futures_util::future::Either;
use hyper::Request;
use hyper::body::Incoming;
use tokio::signal::unix::{SignalKind, signal};
use waxseal::Waxseal;
use waxseal::embedded::make_data_dir;
use waxseal::http::OneHost;

use crate::config::Config;
use crate::connections::{self, ConnectionMetrics, Connections};
use crate::failure::Failure;
use crate::first_user;
use crate::listen::{Port, server};
use crate::metrics::{self, Metrics};
use crate::tls::Tls;
use crate::traces::Traces;

/// How long requests in flight may take after the service is told to stop.
const DRAIN: Duration = Duration::from_secs(20);

pub async fn run(config: &Config) -> Result<(), Failure> {
    let traces = Traces::start()?;
    let served = serve(config).await;
    traces.stop().await;
    served
}

async fn serve(config: &Config) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::refused)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::refused)?;

    config.old_names.warn();
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
    // Before the service creates anything, so that it leaves nothing behind if the port is in use.
    let port = Port::take(config.listen)?;
    // Also before the service creates anything with metrics.
    let metrics = Metrics::bind(config)?;
    let descriptors = connections::raise_limit();
    let most = connections::most_connections(descriptors, config.max_connections)?;
    let _lock = match config.settings.database.is_shared() {
        true => None,
        false => Some(lock(config)?),
    };
    let open = async {
        let opened = Waxseal::open(&config.settings).await;
        let waxseal = opened.map_err(Failure::refused)?;
        first_user::make(&waxseal, config).await?;
        Ok::<_, Failure>(waxseal)
    };
    // Opening may wait long for the database.
    let waxseal = tokio::select! {
        opened = open => opened?,
        _ = terminate.recv() => return stopped_early(),
        _ = interrupt.recv() => return stopped_early(),
    };

    let (listener, address) = port.listen()?;
    let handle = Handle::new();
    let meters = ConnectionMetrics::default();
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
            let server = server.map(|acceptor| tls.acceptor(acceptor));
            tls.follow();
            Either::Right(server.serve(app))
        }
    };
    let stop = async {
        let notice = tokio::select! {
            _ = terminate.recv() => config.shutdown_delay,
            _ = interrupt.recv() => Duration::ZERO,
        };
        waxseal.close_streams();
        if !notice.is_zero() {
            tracing::info!(
                "stopping in {} s: /readyz says so already",
                notice.as_secs()
            );
            // A second signal ends the wait.
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
    tracing::info!("stopping: the service had not started");
    Ok(())
}

/// Locks the data folder against a second server. Commands may run beside a server: they write through the same head
/// row.
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
