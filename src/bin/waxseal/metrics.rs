//! `GET /metrics`, on a separate port for operators.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::IntoResponse;
use axum::routing::get;
use axum_server::Handle;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::task::JoinHandle;
use waxseal::{Waxseal, meters};

use crate::config::Config;
use crate::connections::{self, ConnectionMetrics, Connections};
use crate::failure::Failure;
use crate::listen::{bind, server};
use crate::tls::{self, Tls};

/// How often the recorder aggregates the samples of histograms. Otherwise they would accumulate while nobody scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

/// The maximum number of connections to this port. It is separate from the service's limit: a flood of one port must
/// not block the other.
const CONNECTIONS: usize = 32;

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The operators' port, bound, and a recorder for every metric that is created from now on.
pub struct Metrics {
    listener: TcpListener,
    address: SocketAddr,
    recorder: PrometheusHandle,
}

#[derive(Clone)]
struct MetricsPage {
    waxseal: Waxseal,
    tls: Option<Tls>,
    recorder: PrometheusHandle,
}

/// The task that serves the metrics.
pub type Serving = JoinHandle<std::io::Result<()>>;

impl Metrics {
    /// Binds the port and installs the recorder. Returns `None`, and records nothing, if `metrics_listen` is not set.
    pub fn bind(config: &Config) -> Result<Option<Self>, Failure> {
        let Some(address) = config.metrics_listen else {
            return Ok(None);
        };
        let (listener, address) = bind(address, "--metrics-listen")?;
        let recorder = PrometheusBuilder::new()
            .set_buckets(&meters::BUCKETS)
            .and_then(PrometheusBuilder::install_recorder)
            .map_err(Failure::refused)?;
        meters::describe();
        connections::describe();
        Ok(Some(Self {
            listener,
            address,
            recorder,
        }))
    }

    /// Serves the metrics in a separate task, which still answers when the service hangs.
    pub fn serve(
        self,
        waxseal: &Waxseal,
        meters: ConnectionMetrics,
        tls: Option<Tls>,
    ) -> Result<Serving, Failure> {
        let page = MetricsPage {
            waxseal: waxseal.clone(),
            tls,
            recorder: self.recorder.clone(),
        };
        let app = Router::new()
            .route("/metrics", get(metrics))
            .with_state(page);
        let connections = Connections::new(CONNECTIONS, &[], meters);
        let server = server(self.listener, Handle::new(), connections)?;
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(UPKEEP).await;
                self.recorder.run_upkeep();
            }
        });
        tracing::info!("metrics are at http://{}/metrics", self.address);
        Ok(tokio::spawn(server.serve(app.into_make_service())))
    }
}

/// Waits until the metrics server fails, and returns the cause. Without a metrics server it waits forever.
pub async fn failed(serving: Option<Serving>) -> Failure {
    match serving {
        None => std::future::pending().await,
        Some(serving) => match serving.await {
            Ok(Ok(())) => Failure::refused("the metrics are not served any more"),
            Ok(Err(cause)) => Failure::refused(cause),
            Err(cause) => Failure::refused(cause),
        },
    }
}

async fn metrics(State(page): State<MetricsPage>, headers: HeaderMap) -> impl IntoResponse {
    page.waxseal.measure().await;
    tls::measure(page.tls.as_ref());
    let text = page.recorder.render();
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let (content_type, text) = match accept {
        Some(accept) if accept.contains("application/openmetrics-text") => {
            (OPENMETRICS, openmetrics(&text))
        }
        _ => (TEXT, text),
    };
    let fields = [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (fields, text)
}

/// Converts the text to OpenMetrics, which names a counter without `_total` above its lines, has no empty lines, and
/// ends with a mark.
fn openmetrics(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.is_empty());
    let lines = lines.map(|line| {
        let words = line.strip_prefix("# ").map(|line| line.splitn(3, ' '));
        match words.map(Iterator::collect::<Vec<_>>).as_deref() {
            Some([what, name, rest]) => {
                let name = name.strip_suffix("_total").unwrap_or(name);
                format!("# {what} {name} {rest}\n")
            }
            _ => format!("{line}\n"),
        }
    });
    lines.chain(["# EOF\n".to_owned()]).collect()
}
