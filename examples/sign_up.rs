//! An app that signs up its own users: `POST /sign-up` adds a user, and Waxseal's `POST /login` logs the user in.

use std::net::SocketAddr;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use tokio::net::TcpListener;
use waxseal::http::problem::Problem;
use waxseal::{Session, Settings, Waxseal};

#[derive(Deserialize)]
struct SignUp {
    username: String,
    password: String,
}

/// Answers 201, or describes in `application/problem+json` what is wrong with the username or the password.
async fn sign_up(
    State(waxseal): State<Waxseal>,
    Json(wanted): Json<SignUp>,
) -> Result<StatusCode, Problem> {
    // Anyone can call this. Rate-limit it like the app's other public requests.
    waxseal.sign_up(&wanted.username, wanted.password).await?;
    Ok(StatusCode::CREATED)
}

async fn hello(session: Session) -> String {
    format!("hello, {}\n", session.subject())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:3002").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let waxseal = Waxseal::open(&Settings::for_issuer(&url)).await?;
    tokio::spawn(waxseal.clone().maintain());

    let app = Router::new()
        .route("/sign-up", post(sign_up))
        .route("/hello", get(hello))
        .with_state(waxseal.clone())
        .layer(waxseal.cookies())
        .merge(waxseal.router())
        .merge(waxseal.pages());
    eprintln!("listening on {url}");
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    Ok(axum::serve(listener, app).await?)
}
