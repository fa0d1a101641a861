//! The metrics of the service as a whole.

use std::sync::atomic::AtomicBool;

use metrics::Counter;

use crate::meters::{self, Compactions, Counters, Fencing, Together};

#[derive(Debug)]
pub(super) struct ServiceMetrics {
    pub(super) compactions: Counters<Compactions>,
    pub(super) dropped: Counter,
    /// The log could not be followed.
    pub(super) failing: AtomicBool,
    /// No key signs, and the log says so.
    pub(super) cannot_sign: AtomicBool,
    /// The key folder could not be read for want of descriptors, and the log says so.
    pub(super) keys_unread: AtomicBool,
    pub(super) together: Together,
}

impl Default for ServiceMetrics {
    fn default() -> Self {
        // What fences count is there from the beginning, also where there is none.
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
