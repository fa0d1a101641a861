//! Requests that name exactly one host (RFC 9112, section 3.2).

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use axum::http::header::HOST;
use axum::http::{Request, Version};
use axum::response::{IntoResponse, Response};
use futures_util::future::Either;
use tower_service::Service;

use super::layers;
use crate::http::host::without_port;
use crate::http::problem::Problem;

/// A service that answers 400 to requests that do not name exactly one host, before they reach `S` (RFC 9112, section
/// 3.2). These are an HTTP/1.1 request without `Host`, an HTTP/2 request without `:authority` and `Host`, and any
/// request with two `Host` headers, with a malformed one, or with one that differs from `:authority`.
///
/// An app puts it around everything that its server serves. `waxseal serve` uses it.
#[derive(Clone, Debug)]
pub struct OneHost<S>(S);

impl<S> OneHost<S> {
    /// Wraps a service.
    #[must_use]
    pub const fn new(inner: S) -> Self {
        Self(inner)
    }
}

impl<S, B> Service<Request<B>> for OneHost<S>
where
    S: Service<Request<B>, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<S::Future, Ready<Result<Response, Infallible>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match has_one_host(&request) {
            true => Either::Left(self.0.call(request)),
            false => {
                let answer = layers::refused(Problem::bad_host(), request.uri().path());
                Either::Right(ready(Ok(answer.into_response())))
            }
        }
    }
}

fn has_one_host<B>(request: &Request<B>) -> bool {
    let mut lines = request.headers().get_all(HOST).iter();
    let authority = request.uri().authority();
    match (lines.next(), lines.next()) {
        (None, _) => match request.version() {
            Version::HTTP_09 | Version::HTTP_10 => true,
            Version::HTTP_11 => false,
            _ => authority.is_some(),
        },
        (Some(line), None) => {
            let is_host = without_port(line.as_bytes()).is_some();
            // In HTTP/1.1 the host of the target takes precedence (RFC 9112, section 3.2.2).
            let agrees = request.version() < Version::HTTP_2
                || authority.is_none_or(|authority| {
                    authority
                        .as_str()
                        .as_bytes()
                        .eq_ignore_ascii_case(line.as_bytes())
                });
            is_host && agrees
        }
        (Some(_), Some(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(version: Version, target: &str, hosts: &[&str]) -> Request<()> {
        let mut request = Request::builder().version(version).uri(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn a_request_names_exactly_one_host() {
        let whole = "http://auth.example/session";
        let (one, two) = (Version::HTTP_11, Version::HTTP_2);
        for (version, target, hosts, right) in [
            (one, "/session", &["auth.example"][..], true),
            (one, "/session", &[], false),
            (one, whole, &[], false),
            (one, whole, &["other.example"], true),
            (one, "/session", &["auth.example", "auth.example"], false),
            (one, "/session", &[""], false),
            (one, "/session", &["a b"], false),
            (Version::HTTP_10, "/session", &[], true),
            (Version::HTTP_10, "/session", &["a", "a"], false),
            (two, whole, &[], true),
            (two, whole, &["Auth.Example"], true),
            (two, whole, &["other.example"], false),
            (two, "/session", &[], false),
            (two, "/session", &["auth.example"], true),
        ] {
            let request = request(version, target, hosts);
            assert_eq!(has_one_host(&request), right, "{request:?}");
        }
    }
}
