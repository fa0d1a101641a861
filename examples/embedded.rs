//! An app with a route of its own, and Waxseal's beside it.

use std::net::SocketAddr;

use axum::{Router, routing::get};
use waxseal::{Session, Settings, Waxseal};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let waxseal = Waxseal::open(&Settings::default()).await?;
    let hello = get(|session: Session| async move { format!("hello, {}\n", session.subject()) });
    let app = Router::new()
        .route("/hello", hello)
        .with_state(waxseal.verifier());
    tokio::spawn(waxseal.clone().maintain());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    let app = app
        .merge(waxseal.router())
        .into_make_service_with_connect_info::<SocketAddr>();
    Ok(axum::serve(listener, app).await?)
}
