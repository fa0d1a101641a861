//! Reports which nodes have applied a revocation, and until when the others can have accepted what it ends.

use std::collections::BTreeMap;
use std::time::Duration;

use super::log::StoreError;
use super::register::{Nodes, Register, Registered, over_after};
use crate::id::NodeId;
use crate::time::Clock;

/// The interval at which the register is read while its bell is silent.
const LOOK: Duration = Duration::from_millis(50);

/// The state of a node with respect to a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// The node has applied the revocation.
    Applied,
    /// The node has not acknowledged the revocation yet.
    Pending,
    /// The node did not acknowledge in time. Its freshness has run out, so it refuses every token until it has applied
    /// the revocation.
    Expired,
    /// The node is not in the register any more: it left, or it was removed because its time ran out. It no longer
    /// serves.
    Departed,
}

impl NodeState {
    /// The word for the state in machine-readable output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Pending => "pending",
            Self::Expired => "expired",
            Self::Departed => "departed",
        }
    }
}

/// What is known about a node. Times are uptimes of the watching process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeReport {
    /// The ID of this run of the service.
    pub id: NodeId,
    /// The name that operators gave the node.
    pub name: String,
    /// The state when the register was first read.
    pub at_first: NodeState,
    /// The current state.
    pub standing: NodeState,
    /// The latest time from which the node refuses what was revoked or, if it has not applied the revocation, every
    /// token.
    pub refuses_from: Duration,
}

/// What is known about a revocation at the nodes of a register.
#[derive(Debug)]
pub struct Explanation {
    seq: i64,
    committed: Duration,
    first_read: Option<Duration>,
    nodes: BTreeMap<NodeId, NodeReport>,
}

impl Explanation {
    /// Begins the explanation of the entry `seq`. `committed` is a time at or after its commit.
    #[must_use]
    pub const fn new(seq: i64, committed: Duration) -> Self {
        Self {
            seq,
            committed,
            first_read: None,
            nodes: BTreeMap::new(),
        }
    }

    /// The nodes that may have read an older head, ordered by ID.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeReport> {
        self.nodes.values()
    }

    /// The last instant at which a node can have accepted what was revoked. None while that is unknown.
    #[must_use]
    pub fn last_use(&self) -> Option<Duration> {
        let open = self.nodes().any(|node| node.standing == NodeState::Pending);
        let first = self.first_read.filter(|_| !open)?;
        // A node that left before the register was read can have accepted it until then.
        Some(
            self.nodes()
                .fold(first, |last, node| last.max(node.refuses_from)),
        )
    }

    /// Takes the register as it was at some moment before `read`, and returns the nodes with news: at first all nodes,
    /// then those whose state changed. A register from before the commit proves nothing.
    pub fn take(&mut self, register: &Nodes, read: Duration) -> Vec<NodeReport> {
        if register.seq < self.seq {
            return self.expire(read);
        }
        if self.first_read.is_none() {
            // A node that registers later reads a head that has the revocation.
            self.first_read = Some(read);
            let nodes = register.nodes.iter().map(|node| self.first(node, read));
            self.nodes = nodes.map(|known| (known.id, known)).collect();
            return self.nodes.values().cloned().collect();
        }
        let mut news = Vec::new();
        for known in self
            .nodes
            .values_mut()
            .filter(|node| node.standing == NodeState::Pending)
        {
            let now = register.nodes.iter().find(|now| now.node.id == known.id);
            let standing = match now {
                Some(now) if now.has(self.seq) => NodeState::Applied,
                // A node refuses everything before it leaves. Other nodes remove it once its time is over.
                None => NodeState::Departed,
                Some(_) => continue,
            };
            known.standing = standing;
            known.refuses_from = known.refuses_from.min(read);
            news.push(known.clone());
        }
        news.extend(self.expire(read));
        news
    }

    /// Marks the nodes whose time is over at `now`, and returns them.
    pub fn expire(&mut self, now: Duration) -> Vec<NodeReport> {
        let mut news = Vec::new();
        for known in self.nodes.values_mut() {
            if known.standing == NodeState::Pending && now >= known.refuses_from {
                known.standing = NodeState::Expired;
                news.push(known.clone());
            }
        }
        news
    }

    /// The time at which the next node's time is over.
    fn next(&self) -> Option<Duration> {
        let open = self
            .nodes()
            .filter(|node| node.standing == NodeState::Pending);
        open.map(|node| node.refuses_from).min()
    }

    fn first(&self, registered: &Registered, read: Duration) -> NodeReport {
        let node = &registered.node;
        let over = self.committed + node.over_after();
        let (standing, refuses_from) = match () {
            () if registered.has(self.seq) => (NodeState::Applied, read.min(over)),
            () if read >= over => (NodeState::Expired, over),
            () => (NodeState::Pending, over),
        };
        NodeReport {
            id: node.id,
            name: node.name.clone(),
            at_first: standing,
            standing,
            refuses_from,
        }
    }
}

/// Watches the register until the last use is known, and calls `tell` for each change of a node's state. `bound` is the
/// bound of the watching process: it limits the time after the commit in which the register must become readable.
///
/// # Errors
/// [`StoreError`] if the register could not be read, so that the nodes are unknown.
pub async fn watch(
    explanation: &mut Explanation,
    register: &dyn Register,
    clock: &dyn Clock,
    bound: Duration,
    mut tell: impl FnMut(&NodeReport),
) -> Result<(), StoreError> {
    let give_up = explanation.committed + over_after(bound);
    let mut bell = register.bell();
    loop {
        bell.mark_unchanged();
        let read = register.nodes().await;
        let now = clock.uptime();
        let news = match &read {
            Ok(nodes) => explanation.take(nodes, now),
            Err(_) => explanation.expire(now),
        };
        news.iter().for_each(&mut tell);
        if explanation.last_use().is_some() {
            return Ok(());
        }
        if explanation.first_read.is_none() && now >= give_up {
            let seq = read?.seq;
            let cause = format!("it has seq {seq} after a commit of {}", explanation.seq);
            return Err(StoreError::new("read the register of nodes", cause));
        }
        let next = explanation.next().map(|next| next.saturating_sub(now));
        // The clock decides; the bell and the timeout only say when to look again.
        let pause = next.map_or(LOOK, |next| next.min(LOOK));
        let _ = tokio::time::timeout(pause, bell.changed()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::super::log::Cursor;
    use super::super::register::Node;
    use super::*;
    use crate::random::SeededRandom;
    use crate::time::Timestamp;

    const MILLI: Duration = Duration::from_millis(1);

    fn id(seed: u64) -> NodeId {
        NodeId::new(Timestamp::from_secs(1), &SeededRandom::new(seed))
    }

    fn node(seed: u64, seq: i64) -> Registered {
        let applied = Cursor { seq, hash: [7; 32] };
        let node = Node {
            id: id(seed),
            name: format!("host-{seed}"),
            beat: 1,
            applied,
            bound: Duration::from_secs(2),
        };
        Registered {
            node,
            continued: true,
        }
    }

    fn at(seq: i64, nodes: &[Registered]) -> Nodes {
        let nodes = nodes.to_vec();
        Nodes { seq, nodes }
    }

    fn standings(explanation: &Explanation) -> Vec<(NodeId, NodeState, Duration)> {
        let mut all: Vec<_> = explanation
            .nodes()
            .map(|known| (known.id, known.standing, known.refuses_from))
            .collect();
        all.sort_by_key(|(id, ..)| (1..9).find(|seed| self::id(*seed) == *id));
        all
    }

    #[test]
    fn a_register_from_before_the_commit_says_nothing() {
        let mut explanation = Explanation::new(5, 1000 * MILLI);
        assert_eq!(explanation.take(&at(4, &[]), 1001 * MILLI), []);
        assert_eq!(explanation.last_use(), None);
        explanation.take(&at(5, &[]), 1003 * MILLI);
        assert_eq!(explanation.last_use(), Some(1003 * MILLI));
    }

    #[test]
    fn the_last_use_is_known_once_no_node_is_pending() {
        let mut explanation = Explanation::new(5, 1000 * MILLI);
        let over = 3150 * MILLI;
        let first = [node(1, 5), node(2, 4), node(3, 4), node(4, 4)];
        assert_eq!(explanation.take(&at(5, &first), 1010 * MILLI).len(), 4);
        assert_eq!(explanation.last_use(), None);
        // Node 5 registers later and reads a head that has the revocation. Node 4 has left.
        let second = [node(1, 5), node(2, 6), node(3, 4), node(5, 0)];
        let news = explanation.take(&at(6, &second), 1500 * MILLI);
        assert_eq!(news.len(), 2);
        assert_eq!(explanation.expire(over - MILLI), []);
        assert_eq!(explanation.last_use(), None);
        assert_eq!(explanation.expire(over).len(), 1);
        assert_eq!(
            standings(&explanation),
            [
                (id(1), NodeState::Applied, 1010 * MILLI),
                (id(2), NodeState::Applied, 1500 * MILLI),
                (id(3), NodeState::Expired, over),
                (id(4), NodeState::Departed, 1500 * MILLI),
            ]
        );
        assert_eq!(explanation.last_use(), Some(over));
    }

    #[test]
    fn a_node_on_another_log_has_not_applied_it() {
        let mut explanation = Explanation::new(5, 1000 * MILLI);
        let mut other = node(1, 9);
        other.continued = false;
        explanation.take(&at(5, &[other]), 1010 * MILLI);
        assert_eq!(explanation.last_use(), None);
    }

    #[test]
    fn a_late_look_does_not_make_the_last_use_later() {
        let mut explanation = Explanation::new(5, 1000 * MILLI);
        explanation.take(&at(5, &[node(1, 4), node(2, 4)]), 1010 * MILLI);
        explanation.take(&at(5, &[node(1, 5), node(2, 4)]), 9000 * MILLI);
        assert_eq!(explanation.last_use(), Some(3150 * MILLI));
    }
}
