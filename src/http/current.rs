//! The request in progress, so that every log line can name its request.
//!
//! `waxseal serve` writes it into its log. A span of `tracing` has the same data for those who collect spans, but
//! creating one costs as much as all other layers around a resource together, and most requests log nothing.

use std::fmt;

use axum::http::{HeaderValue, Method, Uri};
use tokio::task::futures::TaskLocalFuture;

tokio::task_local! {
    static CURRENT: CurrentRequest;
}

/// How many characters of a method and of a path a log line shows. The sender of the request chooses both.
const METHOD_CHARS: usize = 20;
const PATH_CHARS: usize = 200;

/// A request as a log line names it. The query is left out, because it can contain secrets.
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

    /// Returns the request that this task answers, if any.
    #[must_use]
    pub fn get() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }

    /// Whether this task answers a request of the service.
    pub(super) fn is_known() -> bool {
        CURRENT.try_with(|_| ()).is_ok()
    }

    /// Attributes what `task` logs to this request.
    pub(super) fn during<F: Future>(self, task: F) -> TaskLocalFuture<Self, F> {
        CURRENT.scope(self, task)
    }
}

/// Attributes what `task` logs to the current request, if there is one, even after the request has been answered.
pub(super) fn in_current_request<T>(task: impl Future<Output = T>) -> impl Future<Output = T> {
    let current = CurrentRequest::get();
    async move {
        match current {
            Some(current) => current.during(task).await,
            None => task.await,
        }
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
