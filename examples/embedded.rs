//! An app with a route of its own. Waxseal's API and pages run in the same process.

use std::net::SocketAddr;

use axum::{Router, routing::get};
use tokio::net::TcpListener;
use waxseal::{Session, Settings, Waxseal};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let waxseal = Waxseal::open(&Settings::for_issuer(&url)).await?;
    if waxseal.accounts().users().await?.is_empty() {
        let password = waxseal.random_password();
        println!("first user: admin, password: {password} (shown once, works for one hour)");
        waxseal.add_with_initial_password("admin", password).await?;
    }
    tokio::spawn(waxseal.clone().maintain());

    let hello = get(|session: Session| async move { format!("hello, {}\n", session.subject()) });
    let app = Router::new()
        .route("/hello", hello)
        .with_state(waxseal.verifier())
        .layer(waxseal.cookies())
        .merge(waxseal.router())
        .merge(waxseal.pages());
    eprintln!("listening on {url}");
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    Ok(axum::serve(listener, app).await?)
}
