//! The ID of a request, in its answer and in each of its log lines.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::encoding::base64url;
use crate::random::Random;

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const BYTES: usize = 12;

/// Perf: how many IDs are drawn at once, because a call to the system costs more than the rest of an ID.
const DRAWN: usize = 64;

/// Gives an ID to requests that have none.
pub(super) struct RequestIds {
    random: Arc<dyn Random>,
    left: Mutex<Vec<[u8; BYTES]>>,
}

impl fmt::Debug for RequestIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestIds").finish_non_exhaustive()
    }
}

impl RequestIds {
    pub(super) const fn new(random: Arc<dyn Random>) -> Self {
        Self {
            random,
            left: Mutex::new(Vec::new()),
        }
    }

    /// Returns the request's own ID if it is short and plain, because every log line repeats it; else a new one.
    pub(super) fn of(&self, headers: &HeaderMap) -> HeaderValue {
        let own = headers.get(REQUEST_ID);
        match own.filter(|id| is_plain(id.as_bytes())) {
            Some(id) => id.clone(),
            None => self.next(),
        }
    }

    fn next(&self) -> HeaderValue {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        if left.is_empty() {
            let mut drawn = [0; BYTES * DRAWN];
            self.random.fill(&mut drawn);
            left.extend(drawn.as_chunks().0);
        }
        let id = left.pop().unwrap_or_default();
        drop(left);
        HeaderValue::try_from(base64url::encode(&id)).unwrap_or(HeaderValue::from_static("none"))
    }
}

fn is_plain(id: &[u8]) -> bool {
    (1..=64).contains(&id.len())
        && id
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(b))
}
