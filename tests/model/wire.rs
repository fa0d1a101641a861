//! A node's connections to the primary: the store as the node sees it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};
use waxseal::id::{Lineage, NodeId};
use waxseal::revocation::Reason;
use waxseal::revocation::log::{LogReader, Page, RevocationLog, Revoke, StoreError};
use waxseal::revocation::register::{Node, Nodes, Register, over_after};
use waxseal::time::Timestamp;

use crate::faults;
use crate::mutation::Mutation;
use crate::primary::Primary;
use crate::world::World;

#[derive(Clone, Debug)]
enum Request {
    Read(i64, u32),
    Revoke(Lineage),
    Enter(Node),
    Attend(Node, u32),
    Nodes,
    Dismiss(NodeId, i64),
    Leave(NodeId, i64),
}

#[derive(Debug)]
enum Answer {
    Page(Page),
    Seq(i64),
    Nodes(Nodes),
    Done,
}

/// The longest time that a request waits on its own machine for a connection.
pub const POOL_PATIENCE: Duration = Duration::from_secs(1);

/// The connection broke, or none was available.
#[derive(Debug)]
struct Refused;

#[derive(Clone, Debug)]
pub struct Wire {
    pub world: Arc<World>,
    pub host: usize,
    /// How many requests in a thousand wait for a connection.
    pub crowded: u64,
}

impl Wire {
    /// Sends a request, and times out after the world's patience. A request that timed out may have been executed, may
    /// be executed later, or may never be.
    async fn ask(&self, request: Request) -> Result<Answer, StoreError> {
        let waits = self.world.fault(self.crowded);
        if waits {
            let longest = u64::try_from(POOL_PATIENCE.as_millis()).unwrap();
            self.world.pass(1, longest).await;
        }
        let (reply, answer) = oneshot::channel();
        tokio::spawn(self.clone().carry(request, waits, reply));
        let answer = async {
            match answer.await {
                Ok(answer) => answer,
                // A lost message is not reported: the answer never arrives.
                Err(_) => std::future::pending().await,
            }
        };
        match timeout(self.world.patience, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(Refused)) => Err(StoreError::new("ask", "the connection broke")),
            Err(_) => Err(StoreError::new("ask", "no answer in time")),
        }
    }

    async fn carry(
        self,
        request: Request,
        waited: bool,
        reply: oneshot::Sender<Result<Answer, Refused>>,
    ) {
        let Self { world, host, .. } = &self;
        let epoch = world.primary.lock().unwrap().epoch;
        world.travel(*host).await;
        let lost = |until: Duration| world.now() < until || world.fault(10);
        let requests_lost_until = world.hosts[*host]
            .faults
            .lock()
            .unwrap()
            .requests_lost_until;
        if lost(requests_lost_until) {
            return;
        }
        let often = if matches!(request, Request::Dismiss(..)) {
            400
        } else {
            20
        };
        if world.fault(often) {
            // The request is delayed, and is executed even if the node no longer waits for the answer.
            world.pass(20, 2_500).await;
        }
        let answer = self.serve(epoch, request).await;
        if waited {
            faults::at_a_bad_moment(world, 200);
        }
        world.travel(*host).await;
        let answers_lost_until = world.hosts[*host].faults.lock().unwrap().answers_lost_until;
        if !lost(answers_lost_until) {
            let _ = reply.send(answer);
        }
    }

    /// Executes the request at the primary. Each step is one transaction.
    async fn serve(&self, epoch: u64, request: Request) -> Result<Answer, Refused> {
        let Self { world, host, .. } = self;
        self.turn(epoch).await?;
        let now = world.now();
        let lock = || world.primary.lock().unwrap();
        let id = *host as u64;
        match request {
            Request::Read(after, limit) => {
                let page = self.seen(Mutation::LaggingReads, |seen| seen.page(after, limit));
                Ok(Answer::Page(page))
            }
            Request::Revoke(lineage) => {
                let seq = lock().append(now, lineage);
                world.note("commits a revocation: node, seq", &[id, seq.unsigned_abs()]);
                world.committed(lineage);
                faults::at_a_bad_moment(world, 150);
                world.ring();
                Ok(Answer::Seq(seq))
            }
            Request::Enter(node) => {
                self.enter(node);
                Ok(Answer::Done)
            }
            Request::Attend(node, limit) => {
                let after = node.applied.seq;
                let early = lock().page(after, limit);
                if !lock().is_entered(node.id) {
                    world.is_a_moment();
                }
                if world.mutation == Mutation::HeadBeforeEntry {
                    self.between(epoch).await?;
                    self.enter(node);
                    return Ok(Answer::Page(early));
                }
                self.enter(node);
                self.between(epoch).await?;
                let page = self.seen(Mutation::LaggingHead, |seen| seen.page(after, limit));
                world.note(
                    "reads the head: node, seq",
                    &[id, page.head.cursor.seq.unsigned_abs()],
                );
                Ok(Answer::Page(page))
            }
            Request::Nodes => {
                let nodes = self.seen(Mutation::LaggingRegister, Primary::nodes);
                Ok(Answer::Nodes(nodes))
            }
            Request::Dismiss(node, beat) => {
                let any = world.mutation == Mutation::DismissAnyBeat;
                if lock().dismiss(now, node, (!any).then_some(beat)) {
                    world.note(
                        "dismisses: node, the other's beat",
                        &[id, beat.unsigned_abs()],
                    );
                    world.tally.lock().unwrap().dismissed += 1;
                    world.is_a_moment();
                }
                world.ring();
                Ok(Answer::Done)
            }
            Request::Leave(node, beat) => {
                world.note("takes out: node", &[id]);
                lock().leave(now, node, beat);
                world.ring();
                Ok(Answer::Done)
            }
        }
    }

    /// The state that a read shows: the committed one, or that of a replica that lags.
    fn seen<T>(&self, lags: Mutation, read: impl Fn(&Primary) -> T) -> T {
        let world = &self.world;
        if world.mutation == lags && !world.calm() {
            let then = world.now().saturating_sub(world.millis(0, 300));
            return read(&world.primary.lock().unwrap().as_of(then));
        }
        read(&world.primary.lock().unwrap())
    }

    fn enter(&self, node: Node) {
        let Self { world, host, .. } = self;
        let (beat, applied) = (node.beat.unsigned_abs(), node.applied.seq.unsigned_abs());
        let news = world
            .primary
            .lock()
            .unwrap()
            .enter(world.now(), node.clone());
        world.note(
            "enters: node, beat, applied",
            &[*host as u64, beat, applied],
        );
        if news {
            world.ring();
        }
        if world.mutation == Mutation::SentTwice && world.fault(300) {
            let world = Arc::clone(world);
            tokio::spawn(async move {
                sleep(over_after(world.bound).saturating_sub(world.millis(0, 600))).await;
                world.note("enters again: beat", &[node.beat.unsigned_abs()]);
                world.primary.lock().unwrap().enter(world.now(), node);
            });
        }
    }

    /// What may happen between two transactions of one request.
    async fn between(&self, epoch: u64) -> Result<(), Refused> {
        if self.world.fault(150) {
            self.world.pass(5, 700).await;
        }
        self.turn(epoch).await
    }

    /// Waits until the primary serves this connection. Fails if the primary is down or its epoch has changed.
    async fn turn(&self, epoch: u64) -> Result<(), Refused> {
        let world = &self.world;
        if world.now() < world.primary.lock().unwrap().slow_until {
            world.pass(10, 500).await;
        }
        loop {
            let (hung_until, down_until) = {
                let primary = world.primary.lock().unwrap();
                if primary.epoch != epoch {
                    return Err(Refused);
                }
                (primary.hung_until, primary.down_until)
            };
            let now = world.now();
            if now < down_until {
                return Err(Refused);
            }
            if now >= hung_until {
                return Ok(());
            }
            sleep(hung_until - now).await;
            // Requests that waited are not executed in order of arrival.
            world.pass(0, 5).await;
        }
    }
}

#[async_trait]
impl Register for Wire {
    async fn enter(&self, node: &Node) -> Result<(), StoreError> {
        self.ask(Request::Enter(node.clone())).await.map(drop)
    }

    async fn attend(&self, node: &Node, limit: u32) -> Result<Page, StoreError> {
        match self.ask(Request::Attend(node.clone(), limit)).await? {
            Answer::Page(page) => Ok(page),
            other => panic!("{other:?}"),
        }
    }

    async fn nodes(&self) -> Result<Nodes, StoreError> {
        match self.ask(Request::Nodes).await? {
            Answer::Nodes(nodes) => Ok(nodes),
            other => panic!("{other:?}"),
        }
    }

    async fn dismiss(&self, node: NodeId, beat: i64) -> Result<(), StoreError> {
        self.ask(Request::Dismiss(node, beat)).await.map(drop)
    }

    async fn leave(&self, node: NodeId, beat: i64) -> Result<(), StoreError> {
        self.ask(Request::Leave(node, beat)).await.map(drop)
    }

    fn bell(&self) -> watch::Receiver<u64> {
        self.world.hosts[self.host].bell()
    }
}

#[async_trait]
impl LogReader for Wire {
    async fn read(&self, after: i64, limit: u32) -> Result<Page, StoreError> {
        match self.ask(Request::Read(after, limit)).await? {
            Answer::Page(page) => Ok(page),
            other => panic!("{other:?}"),
        }
    }
}

#[async_trait]
impl RevocationLog for Wire {
    async fn revoke(&self, what: Revoke, _: Reason, _: Timestamp) -> Result<i64, StoreError> {
        let Revoke::Session(lineage, _) = what else {
            panic!("the model has sessions alone: {what:?}");
        };
        match self.ask(Request::Revoke(lineage)).await? {
            Answer::Seq(seq) => Ok(seq),
            other => panic!("{other:?}"),
        }
    }

    async fn compact(&self, _: Timestamp) -> Result<u64, StoreError> {
        panic!("the model's log is not compacted")
    }

    async fn change_leeway(&self, _: Duration, _: Timestamp) -> Result<(), StoreError> {
        panic!("the model has no leeway")
    }

    async fn raise_horizon(&self, _: Timestamp) -> Result<(), StoreError> {
        panic!("the model has no horizon")
    }
}
