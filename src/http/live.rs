//! Long-lived responses, which end with the token that they were given for.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use tracing::Instrument;

use super::current::in_current_request;
use crate::report::report;
use crate::verifier::{Refusal, Verified, Verifier};

/// The longest time between two checks. A clock step and the end of a renewal grace send no notification.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// A token that was valid when a response began, checked for as long as the response lasts. It is over when the token
/// is revoked or expires, or when the revocation list is not provably fresh any more: within the same bound within
/// which any other request would be refused.
///
/// ```
/// # use std::convert::Infallible;
/// # use axum::response::sse::{Event, Sse};
/// # use futures_util::Stream;
/// # use waxseal::Session;
/// # fn news() -> impl Stream<Item = Result<Event, Infallible>> { futures_util::stream::pending() }
/// async fn events(session: Session) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
///     Sse::new(session.live().guard(news()))
/// }
/// ```
///
/// To end a WebSocket's task with the token, use `session.live().during(task)`.
#[derive(Clone, Debug)]
pub struct Live {
    verifier: Arc<Verifier>,
    verified: Verified,
}

impl Live {
    pub(super) const fn new(verifier: Arc<Verifier>, verified: Verified) -> Self {
        Self { verifier, verified }
    }

    /// Waits until the token is no longer valid, and returns the reason.
    pub async fn over(&self) -> Refusal {
        let mut news = self.verifier.news();
        loop {
            news.mark_unchanged();
            if let Err(refusal) = self.verifier.verify_again(&self.verified) {
                tracing::debug!(cause = %report(&refusal), "a response that lasts is ended");
                return refusal;
            }
            let settled = self.verifier.settled_for(&self.verified);
            // One millisecond more, so that what ends at that time has ended.
            let wait = settled.min(LOOK_AGAIN) + Duration::from_millis(1);
            tokio::select! {
                _ = news.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Returns the stream, which ends with the token.
    pub fn guard<T: Stream>(self, stream: T) -> impl Stream<Item = T::Item> {
        // The end is logged under the request, which has been answered by then.
        let over = async move { self.over().await }.in_current_span();
        stream.take_until(Box::pin(in_current_request(over)))
    }

    /// Returns the output of `task` if it completes before the token is over; otherwise drops `task`.
    ///
    /// # Errors
    /// [`Refusal`] is the reason why the token is no longer valid.
    pub async fn during<T>(self, task: impl Future<Output = T>) -> Result<T, Refusal> {
        tokio::select! {
            biased;
            refusal = in_current_request(self.over().in_current_span()) => Err(refusal),
            done = task => Ok(done),
        }
    }
}
