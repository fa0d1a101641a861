//! The time limit for operations on the database.

use std::time::Duration;

use super::advice::{BoxedError, explained};

/// The time limit for every request to the server. After it the caller gets an error, and the connection is dropped,
/// because its state is unknown.
pub(super) const LIMIT: Duration = Duration::from_secs(5);

/// Runs `work` within the limit, and drops it after that. A server can go away without notice; a local file cannot, and
/// has no limit.
pub(super) async fn within_limit<T>(
    limit: Option<Duration>,
    work: impl Future<Output = Result<T, BoxedError>>,
) -> Result<T, BoxedError> {
    let done = match limit {
        None => work.await,
        Some(limit) => match tokio::time::timeout(limit, work).await {
            Ok(done) => done,
            Err(_) => Err(format!("no answer within {} s", limit.as_secs()).into()),
        },
    };
    done.map_err(explained)
}
