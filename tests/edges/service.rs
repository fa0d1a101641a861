//! The service behind the proxies: it trusts their headers, and records the requests that it receives.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// The service's own cookies.
pub const COOKIES: [&str; 2] = ["theme=dark; Path=/", "seen=1"];
/// The service's cache headers: a session cookie must not get into a cache.
pub const CACHE: &str = "public, max-age=60";
/// A page that the service itself refuses to everyone with 401.
pub const REFUSES: &str = "/api/refuses";
/// A page that redirects everyone to sign in.
pub const SENDS_BACK: &str = "/api/sends-back";

/// A request as it arrived.
#[derive(Debug)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Seen {
    /// Returns the single value of a header, or an empty string if it is absent.
    pub fn header(&self, name: &str) -> &str {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().map_or("", |value| value.to_str().unwrap());
        assert_eq!(values.next(), None, "{name}: {self:?}");
        value
    }

    /// Returns the kind, subject, session, client and scope.
    pub fn identity(&self) -> [&str; 5] {
        ["kind", "subject", "session", "client", "scope"]
            .map(|name| self.header(&format!("x-waxseal-{name}")))
    }
}

type Requests = Arc<Mutex<Vec<Seen>>>;

/// The service. Dropping it stops the server.
pub struct Service {
    pub address: String,
    requests: Requests,
    _runtime: Runtime,
}

impl Service {
    pub fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Requests::default();
        let app = Router::new()
            .fallback(answer)
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&requests));
        runtime.spawn(async { axum::serve(listener, app).await.unwrap() });
        Self {
            address,
            requests,
            _runtime: runtime,
        }
    }

    /// Returns the requests received since the last call.
    pub fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.requests.lock().unwrap())
    }
}

async fn answer(
    State(requests): State<Requests>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    // Otherwise the browser would reuse the redirect from its cache.
    let cache = if uri.path() == SENDS_BACK {
        "no-store"
    } else {
        CACHE
    };
    let answer = match uri.path() {
        REFUSES => StatusCode::UNAUTHORIZED.into_response(),
        SENDS_BACK => Redirect::to(&format!("/?return_to={SENDS_BACK}")).into_response(),
        _ => "the service answers".into_response(),
    };
    requests.lock().unwrap().push(Seen {
        method: method.to_string(),
        path: uri.to_string(),
        headers,
        body,
    });
    let cookies = COOKIES.map(|cookie| ("set-cookie", cookie));
    (AppendHeaders(cookies), [("cache-control", cache)], answer).into_response()
}
