//! The fence: delays an answer until no node accepts what was revoked.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::log::StoreError;
use super::register::{Node, Register, Registered, over_after};
use crate::id::NodeId;
use crate::meters::{Fences, Fencing};
use crate::time::Clock;

/// The interval at which the register is read while its bell is silent.
const LOOK: Duration = Duration::from_millis(50);

/// The nodes that a fence waited for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fenced {
    /// The time that the wait took, since the commit.
    pub took: Duration,
    /// The nodes that had not applied the entry when the register was read.
    pub waited_for: BTreeSet<NodeId>,
    /// The nodes among them that never acknowledged, so that the fence waited until their knowledge had expired.
    pub expired_leases: BTreeSet<NodeId>,
}

/// Waits for the nodes of a register.
#[derive(Clone, Debug)]
pub struct Fence {
    register: Arc<dyn Register>,
    clock: Arc<dyn Clock>,
    /// The waiting node, which has already applied the entry.
    own: Option<NodeId>,
    /// The bound of this node.
    bound: Duration,
    meters: Arc<Fencing>,
}

impl Fence {
    /// A fence around the nodes of the register, except `own`.
    #[must_use]
    pub fn new(
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
            meters: Arc::default(),
        }
    }

    /// Waits until every registered node has applied the entry `seq` or can no longer serve on what it knew before.
    /// `committed` is a time at or after the commit, by the clock's uptime.
    ///
    /// # Errors
    /// [`StoreError`] if the register could not be read, so that the nodes to wait for are unknown.
    pub async fn wait(&self, seq: i64, committed: Duration) -> Result<Fenced, StoreError> {
        let begun = self.meters.fences.begun(Fences::Failed);
        let fenced = self.wait_for_all(seq, committed).await;
        let waited = self.clock.uptime().saturating_sub(committed);
        self.meters.waited.record(waited);
        let fenced = fenced?;
        begun.ended(if fenced.expired_leases.is_empty() {
            Fences::Acknowledged
        } else {
            Fences::LeaseExpired
        });
        Ok(fenced)
    }

    async fn wait_for_all(&self, seq: i64, committed: Duration) -> Result<Fenced, StoreError> {
        let mut fenced = Fenced::default();
        let mut known: Option<Vec<Registered>> = None;
        let mut bell = self.register.bell();
        loop {
            bell.mark_unchanged();
            let read = self.register.nodes().await;
            let waited = self.clock.uptime().saturating_sub(committed);
            match read {
                // Only a register from after the commit lists every node that may have read an older head.
                Ok(read) if read.seq >= seq => known = Some(read.nodes),
                // Only the nodes present just after the commit matter: a node that registers later reads the entry.
                _ if known.is_some() => {}
                Err(cause) if waited >= over_after(self.bound) => return Err(cause),
                Ok(read) if waited >= over_after(self.bound) => {
                    let cause = format!("it has seq {} after a commit of {seq}", read.seq);
                    return Err(StoreError::new("read the register of nodes", cause));
                }
                _ => {}
            }
            let mut next = LOOK;
            if let Some(nodes) = &known {
                let pending = self.pending(nodes, seq);
                let ids = pending.iter().map(|node| node.id);
                fenced.waited_for.extend(ids.clone());
                let over = pending.iter().map(|node| node.over_after());
                let Some(soonest) = over.filter(|over| waited < *over).min() else {
                    fenced.expired_leases = ids.collect();
                    fenced.took = waited;
                    return Ok(fenced);
                };
                next = next.min(soonest.saturating_sub(waited));
            }
            // The clock decides; the bell and the timeout only say when to look again.
            let _ = tokio::time::timeout(next, bell.changed()).await;
        }
    }

    /// The nodes that have not applied the entry, except this one.
    fn pending<'n>(&self, nodes: &'n [Registered], seq: i64) -> Vec<&'n Node> {
        let others = nodes.iter().filter(|node| Some(node.node.id) != self.own);
        let pending = others.filter(|node| !node.has(seq));
        pending.map(|node| &node.node).collect()
    }
}
