//! The register of serving nodes: those that must apply a revocation before no node accepts its token.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use super::log::{Cursor, Page, StoreError};
use crate::id::NodeId;

/// One run of a service, as it registers itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The ID of this run.
    pub id: NodeId,
    /// The name that operators gave the node.
    pub name: String,
    /// The number of times that the node has registered. Each number is used once.
    pub beat: i64,
    /// The position up to which the node has applied the log.
    pub applied: Cursor,
    /// The time for which the node may serve, from the moment before it asked for the log's head.
    pub bound: Duration,
}

impl Node {
    /// The time after which, by a waiting process's clock, the node's earlier knowledge has certainly expired: its
    /// bound, plus the most that two clocks which run at nearly the true rate can drift apart meanwhile.
    #[must_use]
    pub fn over_after(&self) -> Duration {
        over_after(self.bound)
    }
}

/// See [`Node::over_after`].
#[must_use]
pub fn over_after(bound: Duration) -> Duration {
    bound + bound / 20 + Duration::from_millis(50)
}

/// A node of the register, and whether the current log continues what the node has applied. After a fail-over that lost
/// the last commits, the node may have applied another log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The node.
    pub node: Node,
    /// Whether the node's cursor is a position of this log.
    pub continued: bool,
}

impl Registered {
    /// Whether the node has applied entry `seq` of this log.
    // A test overwrites this function in the built program, to check that its absence is noticed.
    #[cfg_attr(debug_assertions, inline(never))]
    #[must_use]
    pub const fn has(&self, seq: i64) -> bool {
        self.continued && self.node.applied.seq >= seq
    }
}

/// The register at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nodes {
    /// The newest entry of the log at that moment. It shows whether a revocation was committed before.
    pub seq: i64,
    /// The registered nodes.
    pub nodes: Vec<Registered>,
}

/// The register, kept at the writable primary beside the log.
///
/// A node serves only on a head that it read *after* its entry was committed. A process that commits a revocation and
/// then reads the register therefore sees every node that may have read an older head. A node that is absent will read
/// a head that has the revocation.
#[async_trait]
pub trait Register: Send + Sync + fmt::Debug {
    /// Registers the node or replaces its entry, and commits.
    async fn enter(&self, node: &Node) -> Result<(), StoreError>;

    /// Registers the node, commits, and only then reads the head and up to `limit` entries after what the node has
    /// applied, at the same server.
    async fn attend(&self, node: &Node, limit: u32) -> Result<Page, StoreError>;

    /// Reads the registered nodes.
    async fn nodes(&self) -> Result<Nodes, StoreError>;

    /// Removes a node, unless it has registered again since `beat`.
    async fn dismiss(&self, node: NodeId, beat: i64) -> Result<(), StoreError>;

    /// Removes a node that no longer serves, unless it has registered after `beat`: a late request must not remove a
    /// node that has come back.
    async fn leave(&self, node: NodeId, beat: i64) -> Result<(), StoreError>;

    /// Changes whenever something may have been written or acknowledged. The bell is only a hint and may be silent.
    fn bell(&self) -> watch::Receiver<u64>;
}

/// Detects nodes that are gone: they have not registered again for as long as their knowledge can last.
#[derive(Debug, Default)]
pub struct Keeper(HashMap<NodeId, (i64, Duration)>);

impl Keeper {
    /// Returns the nodes that are gone, with their last beat. `read` is the time at which `nodes` had been read, by a
    /// clock that counts suspension.
    pub fn gone(&mut self, nodes: &[Registered], read: Duration) -> Vec<(NodeId, i64)> {
        let before = std::mem::take(&mut self.0);
        let mut gone = Vec::new();
        for Registered { node, .. } in nodes {
            let seen = before.get(&node.id).filter(|(beat, _)| *beat == node.beat);
            let since = seen.map_or(read, |(_, since)| *since);
            if read.saturating_sub(since) > node.over_after() {
                gone.push((node.id, node.beat));
            }
            self.0.insert(node.id, (node.beat, since));
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRandom;
    use crate::time::Timestamp;

    fn registered(id: NodeId, beat: i64) -> Registered {
        let node = Node {
            id,
            name: "a".to_owned(),
            beat,
            applied: Cursor::START,
            bound: Duration::from_secs(2),
        };
        Registered {
            node,
            continued: true,
        }
    }

    #[test]
    fn a_node_is_gone_once_its_bound_has_passed_without_a_beat() {
        let id = NodeId::new(Timestamp::from_secs(1), &SeededRandom::new(1));
        let mut keeper = Keeper::default();
        let at = Duration::from_millis;
        assert_eq!(keeper.gone(&[registered(id, 1)], at(10_000)), []);
        assert_eq!(keeper.gone(&[registered(id, 1)], at(12_150)), []);
        assert_eq!(keeper.gone(&[registered(id, 1)], at(12_151)), [(id, 1)]);
        assert_eq!(keeper.gone(&[registered(id, 2)], at(12_152)), []);
        assert_eq!(keeper.gone(&[registered(id, 2)], at(14_302)), []);
        assert_eq!(keeper.gone(&[registered(id, 2)], at(14_303)), [(id, 2)]);
        // A node that has left and come back is treated as new.
        assert_eq!(keeper.gone(&[], at(14_400)), []);
        assert_eq!(keeper.gone(&[registered(id, 2)], at(20_000)), []);
    }
}
