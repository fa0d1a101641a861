//! The log on standard error, and the export of spans to a collector if OpenTelemetry's variables name one.

use std::env;
use std::io::IsTerminal;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Handle;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{FilterExt, LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};
use waxseal::report::report;

use crate::failure::Failure;
use crate::lines::Lines;
use crate::repeats::Repeats;
use crate::streams;

/// The log filter without `RUST_LOG`. sqlx warns of slow statements and connections, which a flood causes, and h2 of
/// each frame that violates the protocol.
const LOGGED: &str =
    "info,sqlx=error,h2=error,hyper=error,hyper_util=error,axum_server=error,rustls=error";

/// The standard variables that name a collector. If none is set, nothing is exported.
const ENDPOINTS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
];

/// The maximum time of a request to the collector.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The maximum size of a collector's answer, in bytes.
const ANSWER_BYTES: usize = 64 * 1024;

/// The export of spans and the counts of repeated lines, until the program ends.
pub struct Traces {
    provider: Option<SdkTracerProvider>,
    repeats: Repeats,
}

impl Traces {
    /// Starts the log, and the export if there is a collector.
    pub fn start() -> Result<Self, Failure> {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOGGED));
        let repeats = Repeats::default();
        // An operator who asks for more than `info` wants to see each request.
        let is_usual = filter.max_level_hint() <= Some(LevelFilter::INFO);
        let repeated = is_usual.then(|| repeats.clone());
        // The hint is the laxest, so that the other filter's hint decides.
        let logged = filter_fn(is_logged).with_max_level_hint(LevelFilter::TRACE);
        let ansi = std::io::stderr().is_terminal();
        let log = tracing_subscriber::fmt::layer()
            .event_format(Lines::new(ansi))
            .with_writer(streams::Log)
            .with_ansi(ansi)
            .log_internal_errors(false)
            .with_filter(filter.and(logged).and(repeated));
        let named = |name: &&&str| env::var(**name).is_ok_and(|url| !url.is_empty());
        let provider = match ENDPOINTS.iter().find(named) {
            None => None,
            Some(variable) => Some(provider(variable)?),
        };
        let registry = tracing_subscriber::registry().with(log);
        match &provider {
            Some(provider) => {
                let spans = tracing_opentelemetry::layer()
                    .with_tracer(provider.tracer("waxseal"))
                    .with_location(false)
                    .with_threads(false)
                    .with_filter(filter_fn(is_exported));
                registry.with(spans).init();
            }
            // No layer at all: with an optional layer that is `None`, every span would be created for nobody.
            None => registry.init(),
        }
        tokio::spawn(repeats.clone().tell());
        Ok(Self { provider, repeats })
    }

    /// Writes the remaining counts, and exports the remaining spans.
    pub async fn stop(self) {
        self.repeats.tell_all();
        if let Some(provider) = self.provider {
            // `shutdown` blocks until the collector has answered.
            let stopped = tokio::task::spawn_blocking(move || provider.shutdown()).await;
            if !matches!(stopped, Ok(Ok(()))) {
                tracing::warn!("the last spans were not exported");
            }
        }
    }
}

/// Whether the log takes it. It does not take the span of a request: the lines name the request themselves.
fn is_logged(metadata: &Metadata<'_>) -> bool {
    metadata.is_event() || metadata.name() != "request" || !metadata.target().starts_with("waxseal")
}

/// Whether a collector gets it: the service's own spans, and its log lines up to `info`. Never the exporter's.
fn is_exported(metadata: &Metadata<'_>) -> bool {
    let level = match metadata.is_span() {
        true => Level::DEBUG,
        false => Level::INFO,
    };
    metadata.target().starts_with("waxseal") && *metadata.level() <= level
}

fn provider(variable: &str) -> Result<SdkTracerProvider, Failure> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(SpanSender::new()?)
        .build()
        .map_err(|cause| Failure::Usage(format!("{variable}: {cause}")))?;
    let mut resource = Resource::builder();
    if env::var_os("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name("waxseal");
    }
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource.build())
        .build())
}

/// Sends spans to the collector, with the same TLS as the rest of the program. The exporter's thread is outside of the
/// runtime, so the requests run in a task of the runtime.
#[derive(Debug)]
struct SpanSender {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    runtime: Handle,
}

impl SpanSender {
    fn new() -> Result<Self, Failure> {
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_platform_verifier(rustls::crypto::ring::default_provider())
            .map_err(Failure::refused)?;
        let connector = connector.https_or_http().enable_http1().build();
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            runtime: Handle::current(),
        })
    }
}

#[async_trait]
impl HttpClient for SpanSender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let send = async move {
            let answer = client.request(request.map(Full::new)).await?;
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, ANSWER_BYTES).collect().await?;
            Ok(Response::from_parts(parts, body.to_bytes()))
        };
        let send = async { tokio::time::timeout(TIMEOUT, send).await };
        let sent: Result<_, HttpError> = match self.runtime.spawn(send).await {
            Ok(Ok(sent)) => sent,
            Ok(Err(late)) => Err(late.into()),
            Err(lost) => Err(lost.into()),
        };
        match &sent {
            Ok(answer) if answer.status().is_success() => {}
            Ok(answer) => tracing::warn!(status = %answer.status(), "spans were not exported"),
            Err(cause) => tracing::warn!(cause = %report(&**cause), "spans were not exported"),
        }
        sent
    }
}
