//! `GET /revocations`: the feed, for clients with the scope `revocations:read`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRef, Query, State};
use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, stream};
use metrics::Gauge;
use serde::Deserialize;
use tokio::sync::watch;

use super::problem::Problem;
use super::router::AppState;
use super::service::{RequiredScopes, Scoped, Service};
use crate::issuer::Issuer;
use crate::issuer::feed::FeedError;
use crate::meters;
use crate::revocation::feed::{After, MAX_NONCE_BYTES};
use crate::revocation::list::RevocationList;
use crate::scope::READ_REVOCATIONS;
use crate::verifier::Verifier;

/// How often a stream without news shows that it is alive. It proves nothing else.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// What the feed needs. Its verifier takes tokens that are meant for the feed, which no other does.
#[derive(Clone, Debug)]
pub(super) struct Feed {
    issuer: Arc<Issuer>,
    verifier: Arc<Verifier>,
    doorbell: Doorbell,
}

impl Feed {
    pub(super) fn of(state: &AppState) -> Self {
        let audience = state.verifier.policy().feed_audience();
        Self {
            issuer: Arc::clone(&state.issuer),
            verifier: Arc::new(state.verifier.also_for(audience)),
            doorbell: state.doorbell.clone(),
        }
    }
}

impl FromRef<Feed> for Arc<Verifier> {
    fn from_ref(feed: &Feed) -> Self {
        Self::clone(&feed.verifier)
    }
}

/// Lets a client read revocations.
pub(super) struct ReadRevocations;

impl RequiredScopes for ReadRevocations {
    const SCOPES: &'static [&'static str] = &[READ_REVOCATIONS];
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    after: Option<i64>,
    snapshot: Option<i64>,
    #[serde(default)]
    nonce: String,
}

impl Asked {
    fn place(&self) -> Option<After> {
        let place = match (self.after, self.snapshot) {
            (None, None) => After::Snapshot(0),
            (Some(seq), None) if seq >= 0 => After::Delta(seq),
            (None, Some(seq)) if seq >= 0 => After::Snapshot(seq),
            _ => return None,
        };
        let plain = self
            .nonce
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        (plain && self.nonce.len() <= MAX_NONCE_BYTES).then_some(place)
    }
}

/// What streams need: news, and the word that the service stops.
#[derive(Clone, Debug)]
pub struct Doorbell {
    list: Arc<RevocationList>,
    closing: watch::Sender<bool>,
    open: Gauge,
}

impl Doorbell {
    /// Rings when `list` learns something.
    #[must_use]
    pub fn new(list: Arc<RevocationList>) -> Self {
        let closing = watch::Sender::new(false);
        let open = meters::feed_streams();
        Self {
            list,
            closing,
            open,
        }
    }

    /// Ends all streams, so that the service can stop.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Whether the service stops.
    pub(super) fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    /// The newest `seq` now, and whenever there is a newer one. Who reads slowly gets the newest, and
    /// nothing is kept for anybody.
    fn rings(&self) -> impl Stream<Item = Result<Event, Infallible>> + use<> {
        let mut news = self.list.news();
        news.mark_changed();
        let state = (news, self.closing.subscribe(), Open::new(&self.open));
        stream::unfold(state, |(mut news, mut closing, open)| async move {
            let rings = tokio::select! {
                biased;
                _ = closing.wait_for(|closing| *closing) => false,
                changed = news.changed() => changed.is_ok(),
            };
            let seq = *news.borrow_and_update();
            let event = Event::default().event("head");
            let event = event.data(format!(r#"{{"seq":{seq}}}"#));
            rings.then_some((Ok(event), (news, closing, open)))
        })
    }
}

/// A stream, for as long as it is open.
struct Open(Gauge);

impl Open {
    fn new(open: &Gauge) -> Self {
        open.increment(1.0);
        Self(open.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

pub(super) async fn revocations(
    State(feed): State<Feed>,
    Scoped(reader, ..): Scoped<ReadRevocations, Service>,
    headers: HeaderMap,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Problem> {
    let wrong = Problem::invalid_request(
        "It takes after or snapshot, whole numbers from 0, and a nonce of at most 64 letters, digits, - and _.",
    );
    let Query(asked) = asked.map_err(|_| wrong)?;
    let place = asked.place().ok_or(wrong)?;
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    let streams = accept.is_some_and(|accept| accept.trim().starts_with("text/event-stream"));
    if streams {
        let rings = reader.live().guard(feed.doorbell.rings());
        let heartbeat = KeepAlive::new().interval(HEARTBEAT);
        return Ok(Sse::new(rings).keep_alive(heartbeat).into_response());
    }
    let page = feed
        .issuer
        .feed_page(reader.client(), place, &asked.nonce)
        .await?;
    Ok(Json(page).into_response())
}

impl From<FeedError> for Problem {
    fn from(error: FeedError) -> Self {
        match error {
            FeedError::Store(error) => error.into(),
            FeedError::Signing(error) => error.into(),
            FeedError::Stale => {
                tracing::warn!("a page of the feed was refused: the list is not provably fresh");
                Self::unavailable("The revocation list is not provably fresh.")
            }
        }
    }
}
