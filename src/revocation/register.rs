//! The register of the nodes that serve: who must have applied a revocation before nobody accepts its token.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use super::log::{Cursor, Page, StoreError};
use crate::id::NodeId;

/// One run of a service, as it enters itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Which run it is.
    pub id: NodeId,
    /// What operators call it.
    pub name: String,
    /// How many times it has entered itself: never the same number twice.
    pub beat: i64,
    /// How far it has applied the log.
    pub applied: Cursor,
    /// For how long it may serve from the moment before it asked for the log's head.
    pub bound: Duration,
}

impl Node {
    /// After how long, by the clock of whoever waits, what it knew before is certainly over: its bound, and
    /// what two clocks that run at nearly the true rate may differ by meanwhile.
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

/// A node of the register, and whether the log as it is goes on from what the node has applied: after
/// a fail-over that lost the last commits it may have applied another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The node.
    pub node: Node,
    /// Whether its cursor is one of this log.
    pub continued: bool,
}

impl Registered {
    /// Whether it has applied that entry of this log.
    // A test overwrites the function in the program that was built, to see that its absence is noticed.
    #[cfg_attr(debug_assertions, inline(never))]
    #[must_use]
    pub const fn has(&self, seq: i64) -> bool {
        self.continued && self.node.applied.seq >= seq
    }
}

/// The register at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nodes {
    /// The newest entry of the log at that moment: it says whether a revocation was committed before.
    pub seq: i64,
    /// The nodes.
    pub nodes: Vec<Registered>,
}

/// The register, kept at the writable primary beside the log.
///
/// A node serves only on a head that it read *after* its entry was committed. So whoever commits a revocation
/// and reads the register then sees every node that may have read an older head: a node that is not there
/// reads one that has the revocation.
#[async_trait]
pub trait Register: Send + Sync + fmt::Debug {
    /// Enters the node or replaces its entry, and commits that.
    async fn enter(&self, node: &Node) -> Result<(), StoreError>;

    /// Enters the node, commits, and only then reads the head and up to `limit` entries after what the node
    /// has applied, at the same server.
    async fn attend(&self, node: &Node, limit: u32) -> Result<Page, StoreError>;

    /// The nodes.
    async fn nodes(&self) -> Result<Nodes, StoreError>;

    /// Takes a node out, if it has not entered itself again since that beat.
    async fn dismiss(&self, node: NodeId, beat: i64) -> Result<(), StoreError>;

    /// Takes a node out that serves no more, if it has not entered itself after that beat: what arrives late must
    /// not take out one that has come back.
    async fn leave(&self, node: NodeId, beat: i64) -> Result<(), StoreError>;

    /// Changes whenever something was perhaps written or acknowledged: a doorbell, which may be silent.
    fn bell(&self) -> watch::Receiver<u64>;
}

/// Notices nodes that are gone: for as long as what they knew can have lasted, they did not enter themselves
/// again.
#[derive(Debug, Default)]
pub struct Keeper(HashMap<NodeId, (i64, Duration)>);

impl Keeper {
    /// Those that are gone, with their last beat. `read` is the time, by a clock that counts suspension, at
    /// which `nodes` had been read.
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
        // One that has left and come back is not known from before.
        assert_eq!(keeper.gone(&[], at(14_400)), []);
        assert_eq!(keeper.gone(&[registered(id, 2)], at(20_000)), []);
    }
}
