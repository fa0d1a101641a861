//! HTTP requests of a verifier. They follow no redirects, and have limits on size and time.

use std::error::Error;
use std::io::{self, Read};
use std::iter::successors;
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

/// The largest accepted page of the feed, in bytes, both compressed and decompressed: several times what the issuer
/// sends.
pub(super) const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// The largest accepted size of any other answer, in bytes.
pub(super) const SMALL_BYTES: usize = 64 * 1024;

/// The reason why a request has no usable answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The answer was not complete in time.
    #[error("request timed out after {0:?}")]
    Timeout(Duration),
    /// The connection failed or broke.
    #[error("the connection failed")]
    Connection(#[source] Box<dyn Error + Send + Sync>),
    /// The server did not prove its identity, or does not speak TLS.
    #[error("the TLS connection failed")]
    Tls(#[source] Box<dyn Error + Send + Sync>),
    /// The answer is a refusal.
    #[error("the answer is {status}")]
    Status {
        /// The status of the answer.
        status: StatusCode,
        /// The error code in the body, if the body is that of an issuer.
        code: Option<String>,
        /// The time after which the server wants to be asked again (RFC 9110, section 10.2.3), if given in seconds.
        retry_after: Option<Duration>,
    },
    /// The answer is larger than anything that the issuer sends.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// The answer cannot be decompressed.
    #[error("the answer cannot be unpacked")]
    Encoding,
}

/// The timeout for the body of a refusal. It is short, because the status alone says nearly as much.
const FOR_A_CODE: Duration = Duration::from_millis(500);

/// The header with the request ID, which appears in the issuer's log.
const REQUEST_ID: &str = "x-request-id";

/// The credentials of a request.
pub(super) enum Credentials<'a> {
    None,
    Basic(&'a str),
    Bearer(&'a str),
}

/// An HTTP client of one issuer.
#[derive(Clone, Debug)]
pub(super) struct Http {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    timeout: Duration,
}

/// The reason why a base URL cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadBase {
    NotHttp,
    PlainHttp,
}

impl Http {
    /// A client for the issuer at `base`. Each request must be answered within `timeout`.
    pub(super) fn new(
        base: &str,
        timeout: Duration,
    ) -> Result<Result<Self, std::io::Error>, BadBase> {
        let base = base.trim_end_matches('/');
        // User information in the URL would get into the log, and a query has no meaning here.
        if base.contains(['@', '?', '#']) {
            return Err(BadBase::NotHttp);
        }
        let uri: Uri = base.parse().map_err(|_| BadBase::NotHttp)?;
        let host = uri.host().ok_or(BadBase::NotHttp)?;
        let local = ["localhost", "127.0.0.1", "[::1]"].contains(&host);
        match uri.scheme() {
            Some(scheme) if *scheme == uri::Scheme::HTTPS => {}
            // Plain HTTP is for this machine alone: on a network, anyone on the path could read the secret and forge
            // answers.
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
        let response = response.map_err(broken)?;
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
                false => broken(cause),
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

    /// Calls `heard` for each piece of an event stream, until the stream ends or is silent for `silence`.
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
            frame.map_err(broken)?;
            heard();
        }
        Ok(())
    }
}

fn finish(request: http::request::Builder, body: Bytes) -> Result<Request<Full<Bytes>>, HttpError> {
    let request = request.body(Full::new(body));
    request.map_err(broken)
}

/// Returns the error for a connection that failed. The cause shows whether TLS is at fault.
fn broken(cause: impl Into<Box<dyn Error + Send + Sync>>) -> HttpError {
    let cause = cause.into();
    let mut causes = successors(Some(&*cause as &(dyn Error + 'static)), |&cause| {
        // An I/O error exposes the error that it wraps only through `get_ref`.
        let within = cause.downcast_ref().and_then(io::Error::get_ref);
        match within {
            Some(within) => Some(within as &(dyn Error + 'static)),
            None => cause.source(),
        }
    });
    if causes.any(|cause| cause.is::<rustls::Error>()) {
        HttpError::Tls(cause)
    } else {
        HttpError::Connection(cause)
    }
}

fn retry_after<T>(response: &Response<T>) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    seconds.parse().ok().map(Duration::from_secs)
}

/// The error code in a refusal, as in OAuth (RFC 6749, section 5.2) or in an issuer's problem document.
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

/// Decompresses an answer up to `limit`: a small answer may decompress to any size.
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
