//! Responses that last: they end with the token that they were given for.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use tracing::Instrument;

use super::current::in_current_request;
use crate::verifier::{Refusal, Verified, Verifier};

/// The clock may step, and a grace may end, without any news.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// A token that was good when a response began, to be judged for as long as the response lasts: it is over
/// when the token is revoked or expires, or when nobody can say any more that it was not, and so within the
/// same bound as any other request would be refused.
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
/// A WebSocket's task ends with `session.live().during(task)`.
#[derive(Clone, Debug)]
pub struct Live {
    verifier: Arc<Verifier>,
    verified: Verified,
}

impl Live {
    pub(super) const fn new(verifier: Arc<Verifier>, verified: Verified) -> Self {
        Self { verifier, verified }
    }

    /// Waits until the token is not good any more, and gives the reason.
    pub async fn over(&self) -> Refusal {
        let mut news = self.verifier.news();
        loop {
            news.mark_unchanged();
            if let Err(refusal) = self.verifier.verify_again(&self.verified) {
                tracing::debug!(cause = %refusal, "a response that lasts is ended");
                return refusal;
            }
            let settled = self.verifier.settled_for(&self.verified);
            // A millisecond more, so that what ends then has ended.
            let wait = settled.min(LOOK_AGAIN) + Duration::from_millis(1);
            tokio::select! {
                _ = news.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// The stream, which ends with the token.
    pub fn guard<T: Stream>(self, stream: T) -> impl Stream<Item = T::Item> {
        // What ends it is logged as the request's, which is answered by then.
        let over = async move { self.over().await }.in_current_span();
        stream.take_until(Box::pin(in_current_request(over)))
    }

    /// What `task` gives, if it is done before the token is over; after that it is dropped.
    ///
    /// # Errors
    /// [`Refusal`] says why the token is not good any more.
    pub async fn during<T>(self, task: impl Future<Output = T>) -> Result<T, Refusal> {
        tokio::select! {
            biased;
            refusal = in_current_request(self.over().in_current_span()) => Err(refusal),
            done = task => Ok(done),
        }
    }
}
