//! Metrics that the service reads on demand.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Waxseal;
use super::meters::ServiceMetrics;

/// Limits how long a store that hangs can delay the other metrics.
const READ_TIMEOUT: Duration = Duration::from_secs(1);

impl Waxseal {
    /// Updates the gauges: the list, the log, the keys, password hashing and the nodes. An app that installs a recorder
    /// of the crate `metrics` calls it before each read of the metrics.
    pub async fn measure(&self) {
        self.verifier.measure();
        tokio::join!(self.issuer.measure(), self.measure_nodes());
    }

    async fn measure_nodes(&self) {
        let ServiceMetrics {
            failing, together, ..
        } = &*self.meters;
        let failing = failing.load(Ordering::Relaxed);
        together.followed.set(if failing { 0.0 } else { 1.0 });
        let ahead = self.store.clock_ahead();
        let ahead = ahead.map_or(f64::NAN, |millis| millis as f64 / 1e3);
        together.clock_offset.set(ahead);
        let Some(register) = &self.register else {
            together.nodes.set(1.0);
            together.behind.set(0.0);
            return;
        };
        let read = tokio::time::timeout(READ_TIMEOUT, register.nodes()).await;
        let (nodes, behind) = match read {
            Ok(Ok(read)) => {
                let behind = read.nodes.iter().filter(|node| !node.has(read.seq));
                (read.nodes.len() as f64, behind.count() as f64)
            }
            _ => (f64::NAN, f64::NAN),
        };
        together.nodes.set(nodes);
        together.behind.set(behind);
    }
}
