//! The service behind the proxies: it believes what they say, and remembers what it saw.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, Uri};
use axum::response::{AppendHeaders, IntoResponse};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// Cookies of its own.
pub const COOKIES: [&str; 2] = ["theme=dark; Path=/", "seen=1"];
/// What it says of caches: a session cookie must not get into one.
pub const CACHE: &str = "public, max-age=60";

/// A request as it arrived.
#[derive(Debug)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Seen {
    /// The one value of a header; none is as good as an empty one.
    pub fn header(&self, name: &str) -> &str {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().map_or("", |value| value.to_str().unwrap());
        assert_eq!(values.next(), None, "{name}: {self:?}");
        value
    }

    /// Kind, subject, session, client and scope.
    pub fn identity(&self) -> [&str; 5] {
        ["kind", "subject", "session", "client", "scope"]
            .map(|name| self.header(&format!("x-waxseal-{name}")))
    }
}

type Requests = Arc<Mutex<Vec<Seen>>>;

/// It runs until this is dropped.
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

    /// What has arrived since it was last asked.
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
) -> impl IntoResponse {
    requests.lock().unwrap().push(Seen {
        method: method.to_string(),
        path: uri.to_string(),
        headers,
        body,
    });
    let cookies = COOKIES.map(|cookie| ("set-cookie", cookie));
    (
        AppendHeaders(cookies),
        [("cache-control", CACHE)],
        "the service answers",
    )
}
