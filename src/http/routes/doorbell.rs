//! Notifications for the streams of the revocation feed.

use std::convert::Infallible;
use std::sync::Arc;

use axum::response::sse::Event;
use futures_util::{Stream, stream};
use metrics::Gauge;
use tokio::sync::watch;

use crate::account::client_limits::QuotaUse;
use crate::meters;
use crate::revocation::list::RevocationList;

/// Notifies the streams of the feed about new revocations and about the shutdown.
#[derive(Clone, Debug)]
pub struct Doorbell {
    list: Arc<RevocationList>,
    closing: watch::Sender<bool>,
    open: Gauge,
}

impl Doorbell {
    /// Creates a doorbell that rings when `list` learns of a revocation.
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

    /// Whether the service is stopping.
    pub(super) fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    /// Sends the newest `seq` at once, and whenever it grows. A slow reader gets only the newest; nothing is queued.
    /// `begun` is dropped with the stream.
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

/// Counts a stream while it is open.
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
