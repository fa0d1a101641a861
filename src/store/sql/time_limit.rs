//! How long the database may take.

use std::time::Duration;

use super::advice::{Cause, explained};

/// How long anything that is asked of the server may take. Whoever waits longer gets an error, and the
/// connection, whose state nobody knows then, is dropped.
pub(super) const LIMIT: Duration = Duration::from_secs(5);

/// A server may be gone without a word; a file is not. What does not come in time is dropped.
pub(super) async fn within_limit<T>(
    limit: Option<Duration>,
    work: impl Future<Output = Result<T, Cause>>,
) -> Result<T, Cause> {
    let done = match limit {
        None => work.await,
        Some(limit) => match tokio::time::timeout(limit, work).await {
            Ok(done) => done,
            Err(_) => Err(format!("no answer within {} s", limit.as_secs()).into()),
        },
    };
    done.map_err(explained)
}
