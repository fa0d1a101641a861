//! The peers in Rust, one by its name: what people put into an axum app instead.

mod jwt;
mod sessions;

use std::env;
use std::error::Error;

use axum::Router;
use axum::routing::get;
use peers::variable;
use tokio::net::TcpListener;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Result<()> {
    let app = match env::args().nth(1).as_deref() {
        Some("hello") => Router::new().route("/", get(async || "hello")),
        Some("jwt") => jwt::router().await?,
        Some("sessions") => sessions::router().await?,
        _ => return Err("which one: hello, jwt or sessions".into()),
    };
    let port = env::var(variable::PORT)?.parse()?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    Ok(axum::serve(listener, app).await?)
}
