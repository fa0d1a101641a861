//! The request that is answered now, so that every line of the log can say which one it is about.
//!
//! A span of tracing says it too, to those who take spans. Making one costs as much as all else that stands around a
//! resource, and most requests log nothing: so this is what `waxseal serve` writes into its log.

use std::fmt;

use axum::http::{HeaderValue, Method, Uri};
use tokio::task::futures::TaskLocalFuture;
#[cfg(feature = "server")]
use tracing::Instrument;

tokio::task_local! {
    static CURRENT: CurrentRequest;
}

/// How much of a method and of a path a line shows, in characters: a stranger chooses both.
const METHOD_CHARS: usize = 20;
const PATH_CHARS: usize = 200;

/// A request, as a line of the log names it. It shows no query, which may have what does not belong in a log.
#[derive(Clone, Debug)]
pub struct CurrentRequest {
    method: Method,
    uri: Uri,
    id: HeaderValue,
    trace: Option<String>,
}

impl CurrentRequest {
    #[cfg(feature = "server")]
    pub(super) const fn new(
        method: Method,
        uri: Uri,
        id: HeaderValue,
        trace: Option<String>,
    ) -> Self {
        Self {
            method,
            uri,
            id,
            trace,
        }
    }

    /// The one that this task answers, if it answers one.
    #[must_use]
    pub fn get() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }

    /// What `task` logs is about this request.
    pub(super) fn during<F: Future>(self, task: F) -> TaskLocalFuture<Self, F> {
        CURRENT.scope(self, task)
    }
}

/// What `task` logs is about the request that is answered now, if there is one, also when it is answered by then.
pub(super) fn in_current_request<T>(task: impl Future<Output = T>) -> impl Future<Output = T> {
    let current = CurrentRequest::get();
    async move {
        match current {
            Some(current) => current.during(task).await,
            None => task.await,
        }
    }
}

/// Runs `task` to its end, even if the caller goes away before.
#[cfg(feature = "server")]
pub(super) async fn to_the_end<T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
) -> T {
    let task = tokio::spawn(in_current_request(task).in_current_span());
    match task.await {
        Ok(done) => done,
        // Nothing aborts the task, so it has panicked, or the runtime is shutting down and drops this one as well.
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => std::future::pending().await,
        },
    }
}

impl fmt::Display for CurrentRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (method, path) = (self.method.as_str(), self.uri.path());
        let path = path.get(..PATH_CHARS).unwrap_or(path);
        let id = self.id.to_str().unwrap_or_default();
        write!(
            f,
            "request{{method={method:.METHOD_CHARS$} path={path:?} id={id:?}"
        )?;
        if let Some(trace) = &self.trace {
            write!(f, " trace={trace}")?;
        }
        f.write_str("}")
    }
}
