//! News for the streams of the feed.

use std::convert::Infallible;
use std::sync::Arc;

use axum::response::sse::Event;
use futures_util::{Stream, stream};
use metrics::Gauge;
use tokio::sync::watch;

use crate::account::client_limits::QuotaUse;
use crate::meters;
use crate::revocation::list::RevocationList;

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
    /// nothing is kept for anybody. `begun` is dropped with the stream.
    pub(super) fn rings(
        &self,
        begun: QuotaUse,
    ) -> impl Stream<Item = Result<Event, Infallible>> + use<> {
        let mut news = self.list.news();
        news.mark_changed();
        let state = (
            news,
            self.closing.subscribe(),
            OpenStream::new(&self.open, begun),
        );
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
struct OpenStream {
    open: Gauge,
    _begun: QuotaUse,
}

impl OpenStream {
    fn new(open: &Gauge, begun: QuotaUse) -> Self {
        open.increment(1.0);
        Self {
            open: open.clone(),
            _begun: begun,
        }
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.open.decrement(1.0);
    }
}
