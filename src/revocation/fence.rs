//! The fence: an answer that is given only once no node accepts what was revoked.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::log::StoreError;
use super::register::{Register, Registered, over_after};
use crate::id::NodeId;
use crate::time::Clock;

/// How often the register is read while nobody rings.
const LOOK: Duration = Duration::from_millis(50);

/// Whom a fence waited for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fenced {
    /// For how long, since the commit.
    pub took: Duration,
    /// The nodes that had not applied it at once.
    pub waited_for: BTreeSet<NodeId>,
    /// Those of them that never said so: what they knew ran out first.
    pub outlasted: BTreeSet<NodeId>,
}

/// Waits for the nodes of a register.
#[derive(Clone, Debug)]
pub struct Fence {
    register: Arc<dyn Register>,
    clock: Arc<dyn Clock>,
    /// The node that waits, which has applied it already.
    own: Option<NodeId>,
    /// The bound that this node goes by.
    bound: Duration,
}

impl Fence {
    /// A fence around the nodes of that register, but for `own`.
    #[must_use]
    pub const fn new(
        register: Arc<dyn Register>,
        clock: Arc<dyn Clock>,
        own: Option<NodeId>,
        bound: Duration,
    ) -> Self {
        Self {
            register,
            clock,
            own,
            bound,
        }
    }

    /// Waits until every registered node has applied the entry `seq` or cannot serve any more on what it knew
    /// before. `committed` is a time at or after the commit, by the clock's uptime.
    ///
    /// # Errors
    /// [`StoreError`]: the register could not be read, and nobody knows whom to wait for.
    pub async fn wait(&self, seq: i64, committed: Duration) -> Result<Fenced, StoreError> {
        let mut fenced = Fenced::default();
        let mut known = None;
        loop {
            let read = self.register.nodes().await;
            let waited = self.clock.uptime().saturating_sub(committed);
            let nodes = match (read, known.take()) {
                (Ok(nodes), _) => nodes,
                // Who was there after the commit is all that matters: who comes later reads it.
                (Err(_), Some(nodes)) => nodes,
                (Err(cause), None) if waited >= over_after(self.bound) => return Err(cause),
                (Err(_), None) => {
                    self.pause(LOOK).await;
                    continue;
                }
            };
            let pending = self.pending(&nodes, seq);
            let late = |node: &&Registered| waited < node.node.over_after();
            let next = pending
                .iter()
                .filter(late)
                .map(|node| node.node.over_after());
            let next = next.min();
            let ids = pending.iter().map(|node| node.node.id);
            fenced.waited_for.extend(ids.clone());
            let Some(next) = next else {
                fenced.outlasted = ids.collect();
                fenced.took = waited;
                return Ok(fenced);
            };
            known = Some(nodes);
            self.pause(LOOK.min(next.saturating_sub(waited))).await;
        }
    }

    /// The nodes that have not applied it, but for the own one.
    fn pending(&self, nodes: &[Registered], seq: i64) -> Vec<Registered> {
        let others = nodes.iter().filter(|node| Some(node.node.id) != self.own);
        others.filter(|node| !node.has(seq)).cloned().collect()
    }

    async fn pause(&self, at_most: Duration) {
        // What is decided is decided by the clock; this is only when to look again.
        let _ = tokio::time::timeout(at_most, self.register.rung()).await;
    }
}
