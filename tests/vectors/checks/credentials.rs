//! Requests with the tokens of two sessions, as an app behind the extractor `Session` reads them.

use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::routing::get;
use axum::{Extension, Router};
use tower::ServiceExt;
use waxseal::Session;
use waxseal::http::origins::Origins;
use waxseal::http::session_cookies::SessionCookies;
use waxseal::id::SessionId;
use waxseal::token;

use super::fixture::{EDDSA, Fixture};

/// In a header, these bytes stand for the token of the first session and of the second one. No header can have them.
pub const FIRST: u8 = 1;
pub const SECOND: u8 = 2;

/// How the app reads a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Reading {
    Refused,
    /// The request has no token.
    Anonymous,
    /// The request has the valid token of a session.
    Token(&'static str),
}

struct App {
    router: Router,
    tokens: [(String, SessionId); 2],
}

static APP: LazyLock<App> = LazyLock::new(|| {
    let fixture = Fixture::get();
    let key = &fixture.signer(EDDSA).unwrap().key;
    let tokens = [1, 2].map(|seed| {
        let claims = fixture.claims(seed);
        (token::sign(&claims, key).unwrap(), claims.session_id)
    });
    let who = async |session: Option<Session>| Extension(session.map(|session| session.id()));
    let router = Router::new()
        .route("/", get(who))
        .layer(SessionCookies::new(Origins::default()))
        .with_state(Arc::clone(&fixture.plain));
    App { router, tokens }
});

/// The lines of an input as values of a header. None if a line cannot be one.
pub fn lines(data: &[u8]) -> Option<Vec<HeaderValue>> {
    let token = |byte: u8| match byte {
        FIRST => Some(APP.tokens[0].0.as_bytes()),
        SECOND => Some(APP.tokens[1].0.as_bytes()),
        _ => None,
    };
    let value = |line: &[u8]| {
        let mut bytes = Vec::new();
        for byte in line {
            bytes.extend_from_slice(token(*byte).unwrap_or(&[*byte]));
        }
        HeaderValue::from_bytes(&bytes).ok()
    };
    data.split(|byte| *byte == b'\n').map(value).collect()
}

/// Sends a request with these lines of the header `name`.
pub fn ask(name: &HeaderName, lines: &[HeaderValue]) -> Reading {
    let mut request = Request::new(Body::empty());
    for line in lines {
        request.headers_mut().append(name, line.clone());
    }
    let mut answer = pin!(APP.router.clone().oneshot(request));
    let polled = answer
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(Ok(response)) = polled else {
        panic!("a verification waits for nothing");
    };
    match response.extensions().get::<Option<SessionId>>() {
        None => Reading::Refused,
        Some(None) => Reading::Anonymous,
        Some(Some(id)) => {
            let found = APP.tokens.iter().find(|(_, session)| session == id);
            Reading::Token(&found.unwrap().0)
        }
    }
}
