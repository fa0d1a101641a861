//! The metrics of connections. docs/metrics.md says what each means.

use std::sync::Arc;

use metrics::{Counter, Gauge, Unit, counter, describe_counter, describe_gauge, gauge};
use waxseal::meters::{Counters, Label};

const OPEN: &str = "waxseal_connections";
const MOST: &str = "waxseal_connections_max";
const FAILED: &str = "waxseal_accepts_failed_total";

/// Which limit refused a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The limit on all connections.
    Total,
    /// The limit on one address.
    Address,
}

impl Label for Refused {
    const METRIC: &'static str = "waxseal_connections_refused_total";
    const LABEL: &'static str = "limit";
    const VALUES: &'static [&'static str] = &["total", "address"];

    fn index(self) -> usize {
        self as usize
    }
}

/// The metrics of a port's connections. Only the service's port has gauges; both ports share the counters.
#[derive(Clone, Debug, Default)]
pub struct ConnectionMetrics {
    shared: Arc<Shared>,
    open: Option<Gauge>,
}

#[derive(Debug)]
struct Shared {
    refused: Counters<Refused>,
    failed: Counter,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            refused: Counters::default(),
            failed: counter!(FAILED),
        }
    }
}

impl ConnectionMetrics {
    /// Returns the metrics with the gauges of the service's port, which allows at most `most` connections.
    pub fn of_service(&self, most: usize) -> Self {
        gauge!(MOST).set(most as f64);
        Self {
            shared: Arc::clone(&self.shared),
            open: Some(gauge!(OPEN)),
        }
    }

    pub(super) fn open(&self, count: usize) {
        if let Some(open) = &self.open {
            open.set(count as f64);
        }
    }

    pub(super) fn refused(&self, refused: Refused) {
        self.shared.refused.count(refused);
    }

    /// Counts a connection that the system could not accept.
    pub(super) fn failed(&self) {
        self.shared.failed.increment(1);
    }
}

/// Describes each metric to the recorder.
pub fn describe() {
    describe_gauge!(
        OPEN,
        Unit::Count,
        "Connections that are open at the service's port."
    );
    describe_gauge!(
        MOST,
        Unit::Count,
        "How many connections may be open there at once."
    );
    describe_counter!(
        Refused::METRIC,
        Unit::Count,
        "Connections that were closed at once, by the limit that was reached."
    );
    describe_counter!(
        FAILED,
        Unit::Count,
        "Connections that the system could not accept."
    );
}
