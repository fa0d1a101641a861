//! The cause of a refusal or a failure, for the log.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::response::Response;

use super::current::CurrentRequest;
use crate::report::{Report, report};

/// The cause of a refusal or a failure: the error, and how the log says it. Callers of the service do not see it.
///
/// A response has the cause in its extensions, where a layer of an app can read it:
///
/// ```
/// use axum::response::Response;
/// use waxseal::http::cause::Cause;
///
/// fn cause(response: &Response) -> Option<String> {
///     let cause = response.extensions().get::<Cause>()?;
///     Some(waxseal::report::report(cause.error()).to_string())
/// }
/// ```
///
/// The log gets it once, at the latest when the last clone is dropped.
#[derive(Clone)]
pub struct Cause {
    inner: Arc<LoggedOnce>,
}

struct LoggedOnce {
    error: Box<dyn Error + Send + Sync>,
    log: Box<dyn Fn(Report<'_>) + Send + Sync>,
    is_logged: AtomicBool,
}

impl LoggedOnce {
    /// Writes the cause to the log, unless it is there already.
    fn log(&self) {
        if !self.is_logged.swap(true, Ordering::Relaxed) {
            (self.log)(report(&*self.error));
        }
    }
}

/// A request that is given up on its way back has no answer that shows the cause.
impl Drop for LoggedOnce {
    fn drop(&mut self) {
        self.log();
    }
}

impl Cause {
    pub(super) fn new(
        error: impl Into<Box<dyn Error + Send + Sync>>,
        log: impl Fn(Report<'_>) + Send + Sync + 'static,
    ) -> Self {
        let inner = LoggedOnce {
            error: error.into(),
            log: Box::new(log),
            is_logged: AtomicBool::new(false),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The error, with its sources.
    #[must_use]
    pub fn error(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.inner.error
    }

    pub(super) fn log(&self) {
        self.inner.log();
    }

    /// Puts the cause into the response's extensions. Within a request of the service, the layer around every resource
    /// logs it. Elsewhere no layer does, so it is logged here, within the spans of the app.
    pub(super) fn put(self, response: &mut Response) {
        if !CurrentRequest::is_known() {
            self.log();
        }
        response.extensions_mut().insert(self);
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cause").field(&self.inner.error).finish()
    }
}
