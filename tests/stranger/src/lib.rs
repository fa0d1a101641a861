//! An app that embeds the library in axum: one route needs a session, the other one does not.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use waxseal::{Session, Verifier};

/// `/mine` needs a session; `/hello` uses one if the request has it.
pub fn app(verifier: Arc<Verifier>) -> Router {
    let mine = get(async |session: Session| session.subject().to_string());
    let hello = get(async |session: Option<Session>| match session {
        Some(session) => format!("hello, {}", session.subject()),
        None => "hello, stranger".to_owned(),
    });
    Router::new()
        .route("/mine", mine)
        .route("/hello", hello)
        .with_state(verifier)
}
