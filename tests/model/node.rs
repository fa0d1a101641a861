//! A node's process: the protocol's own code, and the service's use of it.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use waxseal::id::{Lineage, NodeId};
use waxseal::revocation::Reason;
use waxseal::revocation::fence::{Fence, Fenced};
use waxseal::revocation::follower::{FollowError, Follower};
use waxseal::revocation::freshness::Freshness;
use waxseal::revocation::internals;
use waxseal::revocation::list::RevocationList;
use waxseal::revocation::log::{RevocationLog, Revoke};
use waxseal::revocation::register::{Keeper, Register, over_after};
use waxseal::time::{Clock, Timestamp};

use crate::host::OnHost;
use crate::mutation::{self, Mutation};
use crate::wire::{POOL_PATIENCE, Wire};
use crate::world::{FailOver, World};

/// The interval at which a node proves its list fresh.
pub const BEAT: Duration = Duration::from_millis(250);
/// The interval at which a node looks for dead nodes.
const KEEP: Duration = Duration::from_millis(500);

/// The interval at which a fence polls when no bell rings.
const LOOK: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub struct Process {
    pub world: Arc<World>,
    pub host: usize,
    pub run: u64,
    id: NodeId,
    log: Arc<dyn RevocationLog>,
    register: Arc<dyn Register>,
    follower: Follower,
    list: Arc<RevocationList>,
    freshness: Arc<Freshness>,
    clock: Arc<dyn Clock>,
    maintained: Mutex<Option<AbortHandle>>,
}

/// A node's verdict on a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Accepted,
    Revoked,
    Stale,
}

impl Process {
    /// Starts a process on a machine, and replaces the previous one.
    pub fn start(world: &Arc<World>, host: usize) {
        let run = world.hosts[host].run.fetch_add(1, SeqCst) + 1;
        let wire = Arc::new(Wire {
            world: Arc::clone(world),
            host,
            crowded: 20,
        });
        let id = NodeId::new(Timestamp::from_secs(1), &world.random);
        let clock: Arc<dyn Clock> = world.hosts[host].clock.clone();
        let register = mutation::mutated(world.mutation, wire.clone());
        let follower = Follower::new(wire.clone(), world.bound, Arc::clone(&clock));
        let (list, freshness) = (follower.list(), follower.freshness());
        let process = Arc::new(Self {
            world: Arc::clone(world),
            host,
            run,
            id,
            log: wire,
            follower: follower.registered(Arc::clone(&register), id, format!("node {host}")),
            register,
            list,
            freshness,
            clock,
            maintained: Mutex::default(),
        });
        world.note("starts: node, run", &[host as u64, run]);
        *world.hosts[host].process.lock().unwrap() = Some(Arc::clone(&process));
        let maintained = async |process: Arc<Self>| {
            tokio::join!(
                Arc::clone(&process).keep_fresh(),
                Arc::clone(&process).hear(),
                process.keep(),
            )
        };
        let maintained = OnHost::new(&process, maintained(Arc::clone(&process)));
        *process.maintained.lock().unwrap() = Some(tokio::spawn(maintained).abort_handle());
    }

    pub fn is_fresh(&self) -> bool {
        self.freshness.holds(self.clock.uptime())
    }

    /// Proves the list fresh at every beat.
    async fn keep_fresh(self: Arc<Self>) {
        let world = &self.world;
        loop {
            // A caller may cancel the future at any await.
            let kept = match world.fault(50) {
                true => timeout(world.millis(0, 300), self.follower.keep_fresh()).await,
                false => Ok(self.follower.keep_fresh().await),
            };
            match kept {
                Ok(Ok(())) if world.mutation == Mutation::ProofFromAnswer => {
                    internals::prove(&self.freshness, self.clock.uptime());
                }
                Ok(Err(FollowError::Broken(_))) => return self.broken().await,
                _ => {}
            }
            sleep(BEAT).await;
        }
    }

    /// Applies new entries when the bell rings, and acknowledges them.
    async fn hear(self: Arc<Self>) {
        let mut bell = self.register.bell();
        while bell.changed().await.is_ok() {
            if self.follower.catch_up().await.is_ok() {
                let _ = self.follower.acknowledge().await;
            }
        }
    }

    /// Shuts down in order, as the service does: the node stops accepting tokens, then leaves the register. Clients may
    /// still send it requests.
    pub async fn leave(self: Arc<Self>) {
        if let Some(maintained) = self.maintained.lock().unwrap().take() {
            maintained.abort();
        }
        let _ = if self.world.mutation == Mutation::LeavesFresh {
            self.register.leave(self.id, i64::MAX).await
        } else {
            self.follower.leave().await
        };
    }

    /// Handles a log that is no longer the one that the node followed: the node reports it, keeps beating, and is
    /// restarted.
    async fn broken(&self) {
        let world = &self.world;
        // To a node, a replica that lags looks like another log.
        if world.fail_over == FailOver::KeepsAll && world.mutation != Mutation::LaggingHead {
            world.found("a log that never went back is said to have".to_owned());
        }
        world.note("notices another log: node", &[self.host as u64]);
        world.tally.lock().unwrap().broken += 1;
        for _ in 0..1 + world.below(8) {
            sleep(BEAT).await;
            let _ = self.follower.keep_fresh().await;
            let _ = self.follower.acknowledge().await;
        }
        let (world, host) = (Arc::clone(world), self.host);
        tokio::spawn(async move { Self::start(&world, host) });
    }

    /// Dismisses dead nodes.
    async fn keep(self: Arc<Self>) {
        let world = &self.world;
        // The wait for a connection makes the keeper's read older.
        let wire = Wire {
            world: Arc::clone(world),
            host: self.host,
            crowded: 150,
        };
        let register = mutation::mutated(world.mutation, Arc::new(wire));
        let register = mutation::mutated_for_keeper(world.mutation, register);
        let (mut keeper, mut known) = (Keeper::default(), world.fail_overs.load(SeqCst));
        loop {
            sleep(KEEP).await;
            let before = self.clock.uptime();
            let Ok(nodes) = register.nodes().await else {
                continue;
            };
            let read = match world.mutation {
                Mutation::KeptFromBefore => before,
                _ => self.clock.uptime(),
            };
            for (id, beat) in keeper.gone(&nodes.nodes, read) {
                if self.may_dismiss(known) {
                    let _ = register.dismiss(id, beat).await;
                }
            }
            if !self.may_dismiss(known) {
                (keeper, known) = (Keeper::default(), world.fail_overs.load(SeqCst));
            }
        }
    }

    /// Whether the keeper may dismiss a node. After a fail-over that lost commits, a node may have beaten since and
    /// still show the same beat; the keeper then starts again.
    fn may_dismiss(&self, fail_overs: u64) -> bool {
        let world = &self.world;
        world.fail_over != FailOver::LosesCommits
            || world.mutation == Mutation::EntriesLost
            || world.fail_overs.load(SeqCst) == fail_overs
    }

    /// Logs out as the issuer does: first on disk, then in this node's list, then in the lists of the others.
    pub async fn logout(self: Arc<Self>, lineage: Lineage) -> Option<Fenced> {
        let world = &self.world;
        let register = match world.mutation {
            Mutation::RegisterBeforeCommit => {
                let before = mutation::Before::new(Arc::clone(&self.register))
                    .await
                    .ok()?;
                Arc::new(before)
            }
            _ => Arc::clone(&self.register),
        };
        let what = Revoke::Session(lineage, Timestamp::NEVER);
        let revoked = self.log.revoke(what, Reason::Logout, self.clock.now());
        let seq = revoked.await.ok()?;
        let committed = self.clock.uptime();
        self.follower.catch_up().await.ok()?;
        if world.mutation == Mutation::NoFence {
            return Some(Fenced::default());
        }
        let (began, paused) = (world.now(), self.paused_for());
        let clock = Arc::clone(&self.clock);
        let fence = Fence::new(register, clock, Some(self.id), world.bound);
        let fenced = fence.wait(seq, committed).await;
        let took = (world.now() - began).saturating_sub(self.paused_for() - paused);
        // The maximum for a slow clock, with one last read of the register that takes as long as the store may.
        let store = POOL_PATIENCE + world.patience;
        let at_most = over_after(world.bound) * 100 / 98 + store + LOOK * 2;
        if took > at_most {
            world.found(format!("a fence took {took:?}, more than {at_most:?}"));
        }
        let fenced = fenced.ok()?;
        let mut tally = world.tally.lock().unwrap();
        tally.waited += u64::from(!fenced.waited_for.is_empty());
        tally.expired_leases += fenced.expired_leases.len() as u64;
        drop(tally);
        world.note(
            "fenced: node, seq, waited for, expired leases",
            &[
                self.host as u64,
                seq.unsigned_abs(),
                fenced.waited_for.len() as u64,
                fenced.expired_leases.len() as u64,
            ],
        );
        Some(fenced)
    }

    fn paused_for(&self) -> Duration {
        self.world.hosts[self.host]
            .faults
            .lock()
            .unwrap()
            .paused_for
    }

    /// Verifies as the verifier does: first freshness, then the list.
    ///
    /// A pause between the two checks is harmless for a request that is sent after a logout's answer. By then this
    /// node's freshness has either run out, if a head without the revocation proved it, or a head with the revocation
    /// proved it. In the second case the revocation is in the list, which never forgets. So if the first check passes,
    /// the second one finds the revocation, however much later it runs. The reverse order is unsafe: the node could
    /// read an old list and then get a new proof.
    pub async fn verify(self: Arc<Self>, lineage: Lineage) -> Verdict {
        let world = &self.world;
        let dead = || self.list.session_revoked(lineage);
        let (fresh, dead) = match world.mutation {
            Mutation::NoLeaseCheck => (true, dead()),
            Mutation::ListBeforeFreshness => {
                let dead = dead();
                self.think().await;
                (self.is_fresh(), dead)
            }
            _ => {
                let fresh = self.is_fresh();
                self.think().await;
                (fresh, dead())
            }
        };
        match (dead, fresh) {
            (true, _) => Verdict::Revoked,
            (false, false) => Verdict::Stale,
            (false, true) => Verdict::Accepted,
        }
    }

    async fn think(&self) {
        if self.world.fault(100) {
            self.world.pass(1, 1_000).await;
        }
    }
}
