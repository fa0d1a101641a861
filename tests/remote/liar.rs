//! An issuer whose feed can lie: the real service, under a manual clock, behind a server that alters its answers.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tower::ServiceExt;
use waxseal::account::client::{Client, SecretDigest};
use waxseal::encoding::base64url;
use waxseal::id::ClientId;
use waxseal::key::{Format, SigningKey};
use waxseal::random::{OsRandom, SeededRandom};
use waxseal::revocation::feed::{FeedPage, Statement};
use waxseal::time::{Clock, ManualClock};
use waxseal::token::statement;
use waxseal::token::types::REVOCATIONS;
use waxseal::verifier::Refusal;
use waxseal::{Settings, Verifier};

use super::common::{ISSUER, TestServer, signing_pem};
use super::service::until;

/// A function that alters a page of the feed on its way.
pub type Lie = Arc<dyn Fn(FeedPage) -> Response + Send + Sync>;

/// How the server answers.
#[derive(Clone)]
pub enum Answers {
    Truth,
    /// Altered pages.
    Lies(Lie),
    /// No answer.
    Never,
}

#[derive(Default)]
struct Seen {
    keys: usize,
    pages: usize,
    tokens: usize,
    last_page: Option<Vec<u8>>,
    bells: Vec<mpsc::UnboundedSender<Bytes>>,
}

/// The issuer, the server in front of it, and a verifier that follows it.
pub struct Liar {
    pub server: TestServer,
    pub verifier: Arc<Verifier>,
    pub here: Arc<ManualClock>,
    pub client: ClientId,
    url: String,
    answers: Arc<Mutex<Answers>>,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl Liar {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let server = TestServer::with(change).await;
        server.add_user("alice").await;
        let (secret, digest) = SecretDigest::make(&SeededRandom::new(99));
        let now = server.clock.now();
        let id = ClientId::new(now, &SeededRandom::new(98));
        let mut client = Client::new(id, "reader".parse().unwrap(), now);
        client.scopes = "revocations:read".parse().unwrap();
        client.secrets = vec![digest];
        assert!(server.waxseal.clients().add_client(client).await.unwrap());
        let answers = Arc::new(Mutex::new(Answers::Truth));
        let seen = Arc::new(Mutex::new(Seen::default()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (router, says, saw) = (
            server.router.clone(),
            Arc::clone(&answers),
            Arc::clone(&seen),
        );
        let app = axum::Router::new().fallback(move |request: Request| {
            let router = router.clone();
            let (says, saw) = (says.lock().unwrap().clone(), Arc::clone(&saw));
            answer(router, says, saw, request)
        });
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let here = Arc::new(ManualClock::at(server.clock.now()));
        let verifier = Verifier::remote(ISSUER, &id.to_string(), secret)
            .at(&url)
            .clock(Arc::clone(&here) as _)
            .start()
            .unwrap();
        let liar = Self {
            server,
            verifier,
            here,
            client: id,
            url,
            answers,
            seen,
            task,
        };
        until("it is fresh", async || liar.verifier.is_fresh()).await;
        liar
    }

    /// Advances both clocks.
    pub async fn pass(&self, time: Duration) {
        self.here.advance(time);
        self.server.pass(time).await;
    }

    pub fn answer(&self, answers: Answers) {
        *self.answers.lock().unwrap() = answers;
    }

    pub fn lie(&self, lie: impl Fn(FeedPage) -> Response + Send + Sync + 'static) {
        self.answer(Answers::Lies(Arc::new(lie)));
    }

    /// Waits until `more` further questions were sent.
    pub async fn asked(&self, more: usize) {
        let before = self.questions();
        until("it asks", async || self.questions() >= before + more).await;
    }

    pub fn questions(&self) -> usize {
        self.seen.lock().unwrap().pages
    }

    pub fn fetches_of_keys(&self) -> usize {
        self.seen.lock().unwrap().keys
    }

    /// The last page as the issuer made it.
    pub fn last_page(&self) -> Vec<u8> {
        self.seen.lock().unwrap().last_page.clone().unwrap()
    }

    /// Writes the text to every open stream.
    pub fn ring(&self, text: &'static str) {
        let bells = &mut self.seen.lock().unwrap().bells;
        bells.retain(|bell| bell.send(Bytes::from_static(text.as_bytes())).is_ok());
    }

    pub fn listeners(&self) -> usize {
        self.seen.lock().unwrap().bells.len()
    }

    /// The key that signs true pages. An issuer with it can lie convincingly.
    pub fn key(&self) -> SigningKey {
        let pem = signing_pem(&self.server.settings.keys_dir, Format::Jwt);
        SigningKey::from_pem(pem.as_bytes(), Format::Jwt).unwrap()
    }

    pub fn is_good(&self, token: &str) -> bool {
        self.verifier.verify(token).is_ok()
    }

    pub fn is_stale(&self, token: &str) -> bool {
        self.verifier.verify(token) == Err(Refusal::Stale)
    }

    /// The address of the server, for another verifier of the same issuer.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub async fn logout(&self, token: &str) {
        let answer = self.server.post("/logout", Some(token), None).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    router: axum::Router,
    says: Answers,
    saw: Arc<Mutex<Seen>>,
    request: Request,
) -> Result<Response, Infallible> {
    let path = request.uri().path().to_owned();
    let streams = request
        .headers()
        .get("accept")
        .is_some_and(|accept| accept == "text/event-stream");
    if matches!(says, Answers::Never) {
        saw.lock().unwrap().pages += usize::from(path == "/revocations" && !streams);
        std::future::pending::<()>().await;
    }
    match path.as_str() {
        "/.well-known/jwks.json" => saw.lock().unwrap().keys += 1,
        "/oauth/token" => saw.lock().unwrap().tokens += 1,
        _ => {}
    }
    if path != "/revocations" {
        return router.oneshot(request).await;
    }
    if streams {
        let (bell, rings) = mpsc::unbounded_channel::<Bytes>();
        saw.lock().unwrap().bells.push(bell);
        let rings = futures_util::stream::unfold(rings, async |mut rings| {
            let ring = rings.recv().await?;
            Some((Ok::<_, Infallible>(ring), rings))
        });
        return Ok(Body::from_stream(Box::pin(rings)).into_response());
    }
    let (mut parts, body) = request.into_parts();
    parts.headers.remove("accept-encoding");
    let response = router.oneshot(Request::from_parts(parts, body)).await?;
    if response.status() != StatusCode::OK {
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let mut answer = match says {
        Answers::Truth | Answers::Never => Response::from_parts(parts, Body::from(bytes.clone())),
        Answers::Lies(lie) => lie(serde_json::from_slice(&bytes).unwrap()),
    };
    // The body's length may have changed.
    answer.headers_mut().remove("content-length");
    let mut seen = saw.lock().unwrap();
    seen.pages += 1;
    seen.last_page = Some(bytes.into());
    drop(seen);
    Ok(answer)
}

/// A page as a response.
pub fn sent(page: &FeedPage) -> Response {
    raw(serde_json::to_vec(page).unwrap(), None)
}

/// A response with any body.
pub fn raw(body: impl Into<Body>, encoding: Option<&'static str>) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    if let Some(encoding) = encoding {
        headers.insert("content-encoding", HeaderValue::from_static(encoding));
    }
    (headers, body.into()).into_response()
}

/// The statement of a page, unverified.
pub fn said(page: &FeedPage) -> Statement {
    let payload = page.page.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64url::decode(payload.as_bytes()).unwrap()).unwrap()
}

/// A page with a changed statement, signed again with that key.
pub fn resigned(
    mut page: FeedPage,
    key: &SigningKey,
    change: impl FnOnce(&mut Statement),
) -> FeedPage {
    let mut statement = said(&page);
    change(&mut statement);
    page.page = statement::sign(REVOCATIONS, &statement, key).unwrap();
    page
}

/// A page with changed entries and its original signature.
pub fn with_entries(page: &FeedPage, change: impl FnOnce(&mut Vec<Value>)) -> FeedPage {
    let mut entries: Vec<Value> = page.entries.iter().map(|entry| json!(entry)).collect();
    change(&mut entries);
    serde_json::from_value(json!({ "page": page.page, "entries": entries })).unwrap()
}

/// A key that the issuer does not have.
pub fn strangers_key() -> SigningKey {
    let algorithm = waxseal::key::Algorithm::EdDsa;
    let pem = waxseal::key::generate_pem(algorithm, &OsRandom::new());
    SigningKey::from_pem(pem.as_bytes(), Format::Jwt).unwrap()
}
