//! A stranger's axum app: two routes, one of which is for anybody.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use waxseal::{Session, Verifier};

/// `/mine` needs a session; `/hello` takes one if it is there.
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
