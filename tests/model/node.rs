//! A node's process: the protocol's own code, and around it what the service does with it.

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
use waxseal::revocation::list::RevocationList;
use waxseal::revocation::log::{RevocationLog, Revoke};
use waxseal::revocation::register::{Keeper, Register, over_after};
use waxseal::time::{Clock, Timestamp};

use crate::host::OnHost;
use crate::twist::{self, Twist};
use crate::wire::{POOL_PATIENCE, Wire};
use crate::world::{FailOver, World};

/// How often a node proves its list fresh.
pub const BEAT: Duration = Duration::from_millis(250);
/// How often a node looks for nodes that are gone.
const KEEP: Duration = Duration::from_millis(500);

/// How often a fence looks while nobody rings.
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

/// What a node says of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Accepted,
    Revoked,
    Stale,
}

impl Process {
    /// Starts a process on a machine; the one before it is gone.
    pub fn start(world: &Arc<World>, host: usize) {
        let run = world.hosts[host].run.fetch_add(1, SeqCst) + 1;
        let wire = Arc::new(Wire {
            world: Arc::clone(world),
            host,
            crowded: 20,
        });
        let id = NodeId::new(Timestamp::from_secs(1), &world.random);
        let clock: Arc<dyn Clock> = world.hosts[host].clock.clone();
        let list = Arc::new(RevocationList::new());
        let freshness = Arc::new(Freshness::new(world.bound));
        let register = twist::twisted(world.twist, wire.clone());
        let follower = Follower::new(
            wire.clone(),
            Arc::clone(&list),
            Arc::clone(&freshness),
            Arc::clone(&clock),
        );
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

    /// Keeps the list fresh.
    async fn keep_fresh(self: Arc<Self>) {
        let world = &self.world;
        loop {
            // Whoever calls it may give it up at any await.
            let kept = match world.fault(50) {
                true => timeout(world.millis(0, 300), self.follower.keep_fresh()).await,
                false => Ok(self.follower.keep_fresh().await),
            };
            match kept {
                Ok(Ok(())) if world.twist == Twist::ProofFromAnswer => {
                    self.freshness.prove(self.clock.uptime());
                }
                Ok(Err(FollowError::Broken(_))) => return self.broken().await,
                _ => {}
            }
            sleep(BEAT).await;
        }
    }

    /// Applies what is new as soon as somebody rings, and acknowledges it.
    async fn hear(self: Arc<Self>) {
        let mut bell = self.register.bell();
        while bell.changed().await.is_ok() {
            if self.follower.catch_up().await.is_ok() {
                let _ = self.follower.acknowledge().await;
            }
        }
    }

    /// Ends its serving in an orderly way, as the service does: it accepts nothing any more, and says so. There
    /// may be somebody who still sends it requests.
    pub async fn leave(self: Arc<Self>) {
        if let Some(maintained) = self.maintained.lock().unwrap().take() {
            maintained.abort();
        }
        let _ = if self.world.twist == Twist::LeavesFresh {
            self.register.leave(self.id, i64::MAX).await
        } else {
            self.follower.leave().await
        };
    }

    /// The log is another one than it was. It says so, beats on, and somebody starts it anew.
    async fn broken(&self) {
        let world = &self.world;
        // A replica that lags looks like one.
        if world.fail_over == FailOver::KeepsAll && world.twist != Twist::LaggingHead {
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

    /// Dismisses nodes that are gone.
    async fn keep(self: Arc<Self>) {
        let world = &self.world;
        // What it reads is the older for it.
        let wire = Wire {
            world: Arc::clone(world),
            host: self.host,
            crowded: 150,
        };
        let register = twist::twisted(world.twist, Arc::new(wire));
        let register = twist::twisted_for_keeper(world.twist, register);
        let (mut keeper, mut known) = (Keeper::default(), world.fail_overs.load(SeqCst));
        loop {
            sleep(KEEP).await;
            let before = self.clock.uptime();
            let Ok(nodes) = register.nodes().await else {
                continue;
            };
            let read = match world.twist {
                Twist::KeptFromBefore => before,
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

    /// After a fail-over that lost commits a beat may be the same as before and the node have beaten since: a
    /// keeper then begins anew.
    fn may_dismiss(&self, fail_overs: u64) -> bool {
        let world = &self.world;
        world.fail_over != FailOver::LosesCommits
            || world.twist == Twist::EntriesLost
            || world.fail_overs.load(SeqCst) == fail_overs
    }

    /// As the issuer does it: on disk, then in the own list, then in the others'.
    pub async fn logout(self: Arc<Self>, lineage: Lineage) -> Option<Fenced> {
        let world = &self.world;
        let register = match world.twist {
            Twist::RegisterBeforeCommit => {
                let before = twist::Before::new(Arc::clone(&self.register)).await.ok()?;
                Arc::new(before)
            }
            _ => Arc::clone(&self.register),
        };
        let what = Revoke::Session(lineage, Timestamp::NEVER);
        let revoked = self.log.revoke(what, Reason::Logout, self.clock.now());
        let seq = revoked.await.ok()?;
        let committed = self.clock.uptime();
        self.follower.catch_up().await.ok()?;
        if world.twist == Twist::NoFence {
            return Some(Fenced::default());
        }
        let (began, paused) = (world.now(), self.paused_for());
        let clock = Arc::clone(&self.clock);
        let fence = Fence::new(register, clock, Some(self.id), world.bound);
        let fenced = fence.wait(seq, committed).await;
        let took = (world.now() - began).saturating_sub(self.paused_for() - paused);
        // By a clock that is slow, and with one last read of the register that takes as long as the store may.
        let store = POOL_PATIENCE + world.patience;
        let at_most = over_after(world.bound) * 100 / 98 + store + LOOK * 2;
        if took > at_most {
            world.found(format!("a fence took {took:?}, more than {at_most:?}"));
        }
        let fenced = fenced.ok()?;
        let mut tally = world.tally.lock().unwrap();
        tally.waited += u64::from(!fenced.waited_for.is_empty());
        tally.outlasted += fenced.outlasted.len() as u64;
        drop(tally);
        world.note(
            "fenced: node, seq, waited for, outlasted",
            &[
                self.host as u64,
                seq.unsigned_abs(),
                fenced.waited_for.len() as u64,
                fenced.outlasted.len() as u64,
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

    /// As the verifier does it. A pause between the two questions does not matter for a request that is sent
    /// after a logout's answer: by then this node's freshness is either over, if it was proven by a head
    /// without the revocation, or was proven by one with it, and then the revocation is in the list, which
    /// never forgets. So a yes to the first question says that the second one finds it, however much later.
    /// The other way round it would matter: a look at an old list, then a new proof.
    pub async fn verify(self: Arc<Self>, lineage: Lineage) -> Verdict {
        let world = &self.world;
        let dead = || self.list.session_revoked(lineage);
        let (fresh, dead) = match world.twist {
            Twist::NoLeaseCheck => (true, dead()),
            Twist::ListBeforeFreshness => {
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
