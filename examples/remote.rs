//! A service in a process of its own. It verifies tokens itself, and refuses sessions that have logged out.

use std::convert::Infallible;
use std::env;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use axum::routing::get;
use futures_util::{Stream, stream};
use waxseal::{Principal, RequiredScopes, Scoped, Service, Session, Verifier};

struct ReadOrders;

impl RequiredScopes for ReadOrders {
    const SCOPES: &'static [&'static str] = &["orders:read"];
}

async fn mine(session: Session) -> String {
    format!("the orders of {}\n", session.subject())
}

async fn all(Scoped(service, ..): Scoped<ReadOrders, Service>) -> String {
    format!("all orders, for {}\n", service.client())
}

/// Streams news for as long as the caller's token is valid.
async fn news(who: Principal) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let ticks = stream::unfold(0_u32, |tick| async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Some((Ok(Event::default().data(tick.to_string())), tick + 1))
    });
    Sse::new(who.live().guard(ticks))
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|cause| format!("{name}: {cause}"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let issuer = variable("ISSUER")?;
    let (client_id, client_secret) = (variable("CLIENT_ID")?, variable("CLIENT_SECRET")?);
    let at = env::var("ISSUER_AT").unwrap_or_else(|_| issuer.clone());
    let verifier = Verifier::remote(&issuer, &client_id, client_secret)
        .at(&at)
        .audience(&issuer)
        .audience("https://orders.example")
        .start()?;
    // The verifier keeps trying. Until it is ready, it refuses tokens with 503.
    if let Err(cause) = verifier.ready().await {
        eprintln!("{cause}");
    }
    let ready = verifier.clone();
    let readyz = async move || match ready.is_fresh() {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let app = Router::new()
        .route("/orders/mine", get(mine))
        .route("/orders", get(all))
        .route("/news", get(news))
        .route("/readyz", get(readyz))
        .with_state(verifier);
    let listen = env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:3001".to_owned());
    let listener = tokio::net::TcpListener::bind(&listen).await;
    let listener = listener.map_err(|cause| format!("LISTEN={listen}: {cause}"))?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, app).await?)
}
