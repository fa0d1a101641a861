//! What the service measures of itself as a whole.

use metrics::Counter;

use super::Waxseal;
use crate::meters::{self, Compactions, Counters};

#[derive(Debug)]
pub(super) struct Meters {
    pub(super) compactions: Counters<Compactions>,
    pub(super) dropped: Counter,
}

impl Default for Meters {
    fn default() -> Self {
        Self {
            compactions: Counters::default(),
            dropped: meters::compacted_revocations(),
        }
    }
}

impl Waxseal {
    /// Measures what is as it is only now: the list, the log, the keys, the hashing of passwords. For a recorder
    /// of the crate `metrics`: call it when the metrics are read.
    pub async fn measure(&self) {
        self.verifier.measure();
        self.issuer.measure().await;
    }
}
