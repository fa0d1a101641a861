//! HTTP as a verifier needs it: nothing is followed, nothing is endless.

use std::error::Error;
use std::io::{self, Read};
use std::time::Duration;

use bytes::Bytes;
use flate2::read::GzDecoder;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER,
};
use http::{HeaderValue, Request, Response, StatusCode, Uri, uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;

/// The largest page of the feed that is taken, in bytes, both before and after it is unpacked: several times
/// what the issuer sends.
pub(super) const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// The largest of all other answers.
pub(super) const SMALL_BYTES: usize = 64 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// Nothing came in time.
    #[error("no whole answer within {0:?}")]
    Timeout(Duration),
    /// There is no connection, or it broke.
    #[error("the connection failed: {0}")]
    Connection(String),
    /// The other end did not show that it is who it should be, or does not speak TLS.
    #[error("the TLS connection failed: {0}")]
    Tls(String),
    /// It is a refusal.
    #[error("the answer is {status}")]
    Status {
        /// Its status.
        status: StatusCode,
        /// The code in its body, if it is one of an issuer.
        code: Option<String>,
        /// After how long it asks to be tried again (RFC 9110, section 10.2.3), if it says so in seconds.
        retry_after: Option<Duration>,
    },
    /// It is larger than anything that the issuer sends.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// It cannot be unpacked.
    #[error("the answer cannot be unpacked")]
    Encoding,
}

/// How long the body of a refusal may take to come: the status says nearly as much.
const FOR_A_CODE: Duration = Duration::from_millis(500);

/// What the issuer's log names a request by.
const REQUEST_ID: &str = "x-request-id";

/// How a request says who sends it.
pub(super) enum Credentials<'a> {
    None,
    Basic(&'a str),
    Bearer(&'a str),
}

/// A client of one issuer.
#[derive(Clone, Debug)]
pub(super) struct Http {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    timeout: Duration,
}

/// A base URL that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadBase {
    NotHttp,
    PlainHttp,
}

impl Http {
    /// For the issuer at `base`. Every request must be answered within `timeout`.
    pub(super) fn new(
        base: &str,
        timeout: Duration,
    ) -> Result<Result<Self, std::io::Error>, BadBase> {
        let base = base.trim_end_matches('/');
        // A name and a password in it would get into the log, and a query is none of ours.
        if base.contains(['@', '?', '#']) {
            return Err(BadBase::NotHttp);
        }
        let uri: Uri = base.parse().map_err(|_| BadBase::NotHttp)?;
        let host = uri.host().ok_or(BadBase::NotHttp)?;
        let local = ["localhost", "127.0.0.1", "[::1]"].contains(&host);
        match uri.scheme() {
            Some(scheme) if *scheme == uri::Scheme::HTTPS => {}
            // Whoever is on the way could read the secret, and say whatever they like.
            Some(scheme) if *scheme == uri::Scheme::HTTP && local => {}
            Some(scheme) if *scheme == uri::Scheme::HTTP => return Err(BadBase::PlainHttp),
            _ => return Err(BadBase::NotHttp),
        }
        let provider = rustls::crypto::ring::default_provider();
        let connector =
            match HttpsConnectorBuilder::new().with_provider_and_platform_verifier(provider) {
                Ok(connector) => connector.https_or_http().enable_http1().build(),
                Err(cause) => return Ok(Err(std::io::Error::other(cause))),
            };
        Ok(Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            base: base.to_owned(),
            timeout,
        }))
    }

    fn request(
        &self,
        path: &str,
        credentials: &Credentials<'_>,
        accept: &'static str,
    ) -> http::request::Builder {
        let request = Request::builder()
            .uri(format!("{}{path}", self.base))
            .header(ACCEPT, HeaderValue::from_static(accept));
        let authorization = match credentials {
            Credentials::None => return request,
            Credentials::Basic(encoded) => format!("Basic {encoded}"),
            Credentials::Bearer(token) => format!("Bearer {token}"),
        };
        match HeaderValue::try_from(authorization) {
            Ok(mut value) => {
                value.set_sensitive(true);
                request.header(AUTHORIZATION, value)
            }
            Err(_) => request,
        }
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, HttpError> {
        let response = self.client.request(request).await;
        let response = response.map_err(|cause| broken(&cause))?;
        match response.status() {
            StatusCode::OK => Ok(response),
            status => {
                let retry_after = retry_after(&response);
                let code = tokio::time::timeout(FOR_A_CODE, code(response)).await;
                let code = code.ok().flatten();
                Err(HttpError::Status {
                    status,
                    code,
                    retry_after,
                })
            }
        }
    }

    async fn whole(
        &self,
        request: Request<Full<Bytes>>,
        limit: usize,
    ) -> Result<Vec<u8>, HttpError> {
        let answer = async {
            let response = self.send(request).await?;
            let encoding = response.headers().get(CONTENT_ENCODING);
            let gzip = encoding.is_some_and(|encoding| encoding == "gzip");
            let body = response.into_body();
            let body = Limited::new(body, limit).collect().await;
            let body = body.map_err(|cause| match cause.is::<LengthLimitError>() {
                true => HttpError::TooLarge(limit),
                false => broken(&*cause),
            })?;
            let body = body.to_bytes();
            if gzip {
                unpack(&body, limit)
            } else {
                Ok(body.into())
            }
        };
        let answer = tokio::time::timeout(self.timeout, answer).await;
        answer.unwrap_or(Err(HttpError::Timeout(self.timeout)))
    }

    pub(super) async fn get(
        &self,
        path: &str,
        credentials: Credentials<'_>,
        id: Option<&str>,
        limit: usize,
    ) -> Result<Vec<u8>, HttpError> {
        let mut request = self.request(path, &credentials, "application/json");
        if let Some(id) = id {
            request = request.header(REQUEST_ID, id);
        }
        let request = request.header(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        self.whole(finish(request, Bytes::new())?, limit).await
    }

    pub(super) async fn post_form(
        &self,
        path: &str,
        credentials: Credentials<'_>,
        form: &'static str,
    ) -> Result<Vec<u8>, HttpError> {
        let request = self.request(path, &credentials, "application/json");
        let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        let request = request.method("POST").header(CONTENT_TYPE, form_type);
        let body = Bytes::from_static(form.as_bytes());
        self.whole(finish(request, body)?, SMALL_BYTES).await
    }

    /// Calls `heard` for each piece of a stream of events, until it ends or is silent for `silence`.
    pub(super) async fn listen(
        &self,
        path: &str,
        credentials: Credentials<'_>,
        silence: Duration,
        mut heard: impl FnMut(),
    ) -> Result<(), HttpError> {
        let request = self.request(path, &credentials, "text/event-stream");
        let request = finish(request, Bytes::new())?;
        let timeout = |_| HttpError::Timeout(silence);
        let answer = tokio::time::timeout(silence, self.send(request)).await;
        let mut body = answer.map_err(timeout)??.into_body();
        while let Some(frame) = tokio::time::timeout(silence, body.frame())
            .await
            .map_err(timeout)?
        {
            frame.map_err(|cause| broken(&cause))?;
            heard();
        }
        Ok(())
    }
}

fn finish(request: http::request::Builder, body: Bytes) -> Result<Request<Full<Bytes>>, HttpError> {
    let request = request.body(Full::new(body));
    request.map_err(|cause| broken(&cause))
}

/// The whole chain of causes: the outermost error says only that there is no connection.
fn broken(cause: &(dyn Error + 'static)) -> HttpError {
    let (mut causes, mut tls) = (vec![cause.to_string()], false);
    let mut next = Some(cause);
    while let Some(cause) = next {
        tls |= cause.is::<rustls::Error>();
        // An I/O error gives the error that it was made from in no other way.
        let within = cause.downcast_ref().and_then(io::Error::get_ref);
        next = match within {
            Some(within) => Some(within as &(dyn Error + 'static)),
            None => cause.source(),
        };
        let text = next.map(ToString::to_string);
        causes.extend(text.filter(|text| causes.last().is_none_or(|last| !last.contains(text))));
    }
    let causes = causes.join(": ");
    if tls {
        HttpError::Tls(causes)
    } else {
        HttpError::Connection(causes)
    }
}

fn retry_after<T>(response: &Response<T>) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    seconds.parse().ok().map(Duration::from_secs)
}

/// The code in a refusal, as OAuth (RFC 6749, section 5.2) or a problem of an issuer's own has it.
async fn code(response: Response<Incoming>) -> Option<String> {
    let body = Limited::new(response.into_body(), SMALL_BYTES).collect();
    let body = body.await.ok()?.to_bytes();
    let Code { error, code } = serde_json::from_slice(&body).ok()?;
    let is_word = |code: &String| {
        (1..=40).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
    };
    error.or(code).filter(is_word)
}

#[derive(Deserialize)]
struct Code {
    error: Option<String>,
    code: Option<String>,
}

/// A small answer may unpack to any size: it is unpacked only as far as it may go.
fn unpack(packed: &[u8], limit: usize) -> Result<Vec<u8>, HttpError> {
    let mut body = Vec::new();
    let read = GzDecoder::new(packed)
        .take(limit as u64 + 1)
        .read_to_end(&mut body);
    read.map_err(|_| HttpError::Encoding)?;
    if body.len() > limit {
        return Err(HttpError::TooLarge(limit));
    }
    Ok(body)
}
