//! The metrics of the service as a whole.

use std::sync::atomic::AtomicBool;

use metrics::Counter;

use crate::meters::{self, Compactions, Counters, Fencing, Together};

#[derive(Debug)]
pub(super) struct ServiceMetrics {
    pub(super) compactions: Counters<Compactions>,
    pub(super) dropped: Counter,
    /// `true` after a failure to follow the log.
    pub(super) failing: AtomicBool,
    /// `true` once the log reports that no key signs.
    pub(super) cannot_sign: AtomicBool,
    /// `true` once the log reports that the key folder cannot be read for lack of file descriptors.
    pub(super) keys_unread: AtomicBool,
    pub(super) together: Together,
}

impl Default for ServiceMetrics {
    fn default() -> Self {
        // Registers the fence metrics from the start, even where logouts are not fenced.
        drop(Fencing::default());
        Self {
            compactions: Counters::default(),
            dropped: meters::compacted_revocations(),
            failing: AtomicBool::default(),
            cannot_sign: AtomicBool::default(),
            keys_unread: AtomicBool::default(),
            together: Together::default(),
        }
    }
}
