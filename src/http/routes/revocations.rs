//! `GET /revocations`: the revocation feed, for clients with the scope `revocations:read`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRef, Query, State};
use axum::http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, VARY,
};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{Stream, stream};
use serde::Deserialize;

use super::answers::over_quota;
use super::doorbell::Doorbell;
use super::oauth::quotas::ClientQuotas;
use super::state::AppState;
use crate::account::client_limits::QuotaUse;
use crate::http::principal::Service;
use crate::http::problem::Problem;
use crate::http::scoped::{RequiredScopes, Scoped};
use crate::issuer::Issuer;
use crate::issuer::feed::FeedError;
use crate::revocation::feed::{FeedPosition, MAX_NONCE_BYTES};
use crate::scope::READ_REVOCATIONS;
use crate::verifier::Verifier;

/// The interval of heartbeats on an idle stream. They show that the connection is alive, and prove nothing else.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// How long a request beyond the quota waits for its refusal. A reader that retries at once, on hundreds of
/// connections, then costs little. It is shorter than the timeout of a verifier with the strictest bound.
const HELD: Duration = Duration::from_millis(400);

/// The size of the pieces that a page is sent in, in bytes.
const PIECE: usize = 16 * 1024;

/// The state of the feed's route. Only its verifier accepts tokens for the feed's audience.
#[derive(Clone, Debug)]
pub(super) struct Feed {
    issuer: Arc<Issuer>,
    verifier: Arc<Verifier>,
    doorbell: Doorbell,
    quotas: Arc<ClientQuotas>,
}

impl Feed {
    pub(super) fn of(state: &AppState) -> Self {
        let audience = state.verifier.policy().feed_audience();
        Self {
            issuer: Arc::clone(&state.issuer),
            verifier: Arc::new(state.verifier.with_additional_audience(audience)),
            doorbell: state.doorbell.clone(),
            quotas: Arc::clone(&state.quotas),
        }
    }
}

impl FromRef<Feed> for Arc<Verifier> {
    fn from_ref(feed: &Feed) -> Self {
        Self::clone(&feed.verifier)
    }
}

/// Requires the scope `revocations:read`.
pub(super) struct ReadRevocations;

impl RequiredScopes for ReadRevocations {
    const SCOPES: &'static [&'static str] = &[READ_REVOCATIONS];
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FeedQuery {
    after: Option<i64>,
    snapshot: Option<i64>,
    #[serde(default)]
    nonce: String,
}

impl FeedQuery {
    fn place(&self) -> Option<FeedPosition> {
        let place = match (self.after, self.snapshot) {
            (None, None) => FeedPosition::Snapshot(0),
            (Some(seq), None) if seq >= 0 => FeedPosition::Delta(seq),
            (None, Some(seq)) if seq >= 0 => FeedPosition::Snapshot(seq),
            _ => return None,
        };
        let plain = self
            .nonce
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        (plain && self.nonce.len() <= MAX_NONCE_BYTES).then_some(place)
    }
}

/// Whether the answer may be compressed (RFC 9110, section 12.5.3): `gzip` is listed, and its weight is not 0.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let named = headers.get_all(ACCEPT_ENCODING).iter();
    let named = named.filter_map(|value| value.to_str().ok());
    let mut named = named.flat_map(|value| value.split(','));
    named.any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().strip_prefix("q=").map(str::parse::<f32>);
        name.trim().eq_ignore_ascii_case("gzip") && weight != Some(Ok(0.0))
    })
}

pub(super) async fn revocations(
    State(feed): State<Feed>,
    Scoped(reader, ..): Scoped<ReadRevocations, Service>,
    headers: HeaderMap,
    asked: Result<Query<FeedQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let wrong = || {
        Problem::invalid_request(
            "It takes after or snapshot, whole numbers from 0, and a nonce of at most 64 letters, digits, - and _.",
        )
    };
    let Query(asked) = asked.map_err(|_| wrong())?;
    let place = asked.place().ok_or_else(wrong)?;
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    let streams = accept.is_some_and(|accept| accept.trim().starts_with("text/event-stream"));
    if streams {
        let quota = feed.quotas.streams();
        let begun = match quota.begin(reader.client()) {
            Ok(begun) => begun,
            Err(after) => {
                tracing::info!("a reader of the feed has too many open streams");
                tokio::time::sleep(HELD).await;
                return Err(over_quota("streams", quota.at_a_time(), after));
            }
        };
        let rings = reader.live().guard(feed.doorbell.rings(begun));
        let heartbeat = KeepAlive::new().interval(HEARTBEAT);
        return Ok(Sse::new(rings).keep_alive(heartbeat).into_response());
    }
    let page = feed
        .issuer
        .feed_page(reader.client(), place, &asked.nonce, takes_gzip(&headers));
    let page = page.await;
    if matches!(page, Err(FeedError::Crowded)) {
        tokio::time::sleep(HELD).await;
    }
    let page = page?;
    let length = page.bytes.len();
    let quota = feed.quotas.pages(length);
    let begun = match quota.begin(reader.client()) {
        Ok(begun) => begun,
        Err(after) => {
            tracing::info!("a reader of the feed does not read the pages that it requested");
            // Free the page while its refusal waits.
            drop(page);
            tokio::time::sleep(HELD).await;
            return Err(over_quota("pages", quota.at_a_time(), after));
        }
    };
    let mut response = Body::from_stream(pieces(page.bytes, begun)).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, length.into());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if page.gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}

/// Streams a page in pieces, because each piece that is handed over stays in memory until it is sent. `begun` is
/// dropped after the last one.
fn pieces(page: Bytes, begun: QuotaUse) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::unfold((page, begun), |(mut left, begun)| async move {
        let piece = left.split_to(left.len().min(PIECE));
        (!piece.is_empty()).then_some((Ok(piece), (left, begun)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_compressed_for_those_who_take_it() {
        for (value, takes) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("deflate , gzip ; q=1", true),
            ("gzip;q=0", false),
            ("gzip;q=0.000", false),
            ("br, gzipped", false),
            ("identity", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(value));
            assert_eq!(takes_gzip(&headers), takes, "{value}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
