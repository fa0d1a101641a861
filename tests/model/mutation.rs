//! Mutations that remove one part of the protocol or of its assumptions, to show that the model then finds a violation.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use waxseal::id::NodeId;
use waxseal::revocation::log::{Page, StoreError};
use waxseal::revocation::register::{Node, Nodes, Register};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// Nothing is removed.
    None,
    /// A node accepts without checking that its list is fresh.
    NoLeaseCheck,
    /// A node reads the list first and checks its freshness afterwards.
    ListBeforeFreshness,
    /// A logout is answered without a fence.
    NoFence,
    /// The list counts as fresh from the answer on, not from before the question.
    ProofFromAnswer,
    /// The head is read before the node's entry is committed.
    HeadBeforeEntry,
    /// The nodes to wait for are read before the revocation is committed, and used as if they were read after.
    RegisterBeforeCommit,
    /// A node is dismissed even if it has entered itself again.
    DismissAnyBeat,
    /// A node is dismissed after half its bound.
    DismissEarly,
    /// The keeper uses the time before its question as the time at which it had read the register.
    KeptFromBefore,
    /// A node leaves the register while it still accepts tokens.
    LeavesFresh,
    /// Every beat has the same number.
    SameBeat,
    /// A bound is over when it has passed by the waiter's clock, without a margin.
    NoMargin,
    /// A node's applied position counts whatever log it came from. For fail-overs that lose commits.
    AnyLogBelieved,
    /// Fail-overs that lose commits lose nodes' entries too, and keepers do not start again.
    EntriesLost,
    /// The log is read from a replica that lags.
    LaggingReads,
    /// The head that proves freshness is read from a replica that lags.
    LaggingHead,
    /// The register is read from a replica that lags, and believed however old it is.
    LaggingRegister,
    /// The store sends an entry a second time, late, and accepts it whatever beat is stored.
    SentTwice,
    /// The clock does not count the time during which its machine is suspended.
    ClockStops,
}

/// The register that nodes see under this mutation.
pub fn mutated(mutation: Mutation, register: Arc<dyn Register>) -> Arc<dyn Register> {
    match mutation {
        Mutation::SameBeat => Arc::new(Liar {
            register,
            beat: |_| 1,
            bound: |bound| bound,
            continued: |continued| continued,
            seq: |seq| seq,
        }),
        Mutation::AnyLogBelieved => Arc::new(Liar {
            register,
            beat: |beat| beat,
            bound: |bound| bound,
            continued: |_| true,
            seq: |seq| seq,
        }),
        Mutation::LaggingRegister => Arc::new(Liar {
            register,
            beat: |beat| beat,
            bound: |bound| bound,
            continued: |continued| continued,
            seq: |_| i64::MAX,
        }),
        // Subtract in advance what `over_after` adds.
        Mutation::NoMargin => Arc::new(Liar {
            register,
            beat: |beat| beat,
            bound: |bound| (bound - Duration::from_millis(50)) * 20 / 21,
            continued: |continued| continued,
            seq: |seq| seq,
        }),
        _ => register,
    }
}

/// The register that a keeper sees under this mutation.
pub fn mutated_for_keeper(mutation: Mutation, register: Arc<dyn Register>) -> Arc<dyn Register> {
    match mutation {
        Mutation::DismissEarly => Arc::new(Liar {
            register,
            beat: |beat| beat,
            bound: |bound| bound / 2,
            continued: |continued| continued,
            seq: |seq| seq,
        }),
        _ => register,
    }
}

/// A register that alters what it stores or what it returns.
#[derive(Debug)]
struct Liar {
    register: Arc<dyn Register>,
    beat: fn(i64) -> i64,
    bound: fn(Duration) -> Duration,
    continued: fn(bool) -> bool,
    seq: fn(i64) -> i64,
}

impl Liar {
    fn told(&self, node: &Node) -> Node {
        Node {
            beat: (self.beat)(node.beat),
            ..node.clone()
        }
    }
}

#[async_trait]
impl Register for Liar {
    async fn enter(&self, node: &Node) -> Result<(), StoreError> {
        self.register.enter(&self.told(node)).await
    }

    async fn attend(&self, node: &Node, limit: u32) -> Result<Page, StoreError> {
        self.register.attend(&self.told(node), limit).await
    }

    async fn nodes(&self) -> Result<Nodes, StoreError> {
        let mut nodes = self.register.nodes().await?;
        nodes.seq = (self.seq)(nodes.seq);
        for registered in &mut nodes.nodes {
            registered.node.bound = (self.bound)(registered.node.bound);
            registered.continued = (self.continued)(registered.continued);
        }
        Ok(nodes)
    }

    async fn dismiss(&self, node: NodeId, beat: i64) -> Result<(), StoreError> {
        self.register.dismiss(node, beat).await
    }

    async fn leave(&self, node: NodeId, beat: i64) -> Result<(), StoreError> {
        self.register.leave(node, beat).await
    }

    fn bell(&self) -> watch::Receiver<u64> {
        self.register.bell()
    }
}

/// A register that shows only the nodes that were present at an earlier time.
#[derive(Debug)]
pub struct Before {
    register: Arc<dyn Register>,
    there: BTreeSet<NodeId>,
}

impl Before {
    pub async fn new(register: Arc<dyn Register>) -> Result<Self, StoreError> {
        let nodes = register.nodes().await?;
        let there = nodes
            .nodes
            .iter()
            .map(|registered| registered.node.id)
            .collect();
        Ok(Self { register, there })
    }
}

#[async_trait]
impl Register for Before {
    async fn enter(&self, node: &Node) -> Result<(), StoreError> {
        self.register.enter(node).await
    }

    async fn attend(&self, node: &Node, limit: u32) -> Result<Page, StoreError> {
        self.register.attend(node, limit).await
    }

    async fn nodes(&self) -> Result<Nodes, StoreError> {
        let mut nodes = self.register.nodes().await?;
        nodes
            .nodes
            .retain(|registered| self.there.contains(&registered.node.id));
        Ok(nodes)
    }

    async fn dismiss(&self, node: NodeId, beat: i64) -> Result<(), StoreError> {
        self.register.dismiss(node, beat).await
    }

    async fn leave(&self, node: NodeId, beat: i64) -> Result<(), StoreError> {
        self.register.leave(node, beat).await
    }

    fn bell(&self) -> watch::Receiver<u64> {
        self.register.bell()
    }
}
