//! The world around the nodes: true time, chance, the primary, the network's faults, and the findings.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use waxseal::id::Lineage;
use waxseal::random::SeededRandom;
use waxseal::time::Timestamp;

use crate::host::Host;
use crate::mutation::Mutation;
use crate::primary::Primary;
use crate::test_rng::TestRng;

pub const HOSTS: usize = 3;

/// How long new faults begin. After that the world is calm.
pub const FAULTS: Duration = Duration::from_millis(6_000);

/// What a fail-over may lose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailOver {
    /// No commit is lost: the replication is synchronous.
    KeepsAll,
    /// The last commits may be lost. The register must keep every node's entry, and keepers must start again: see
    /// `Mutation::EntriesLost` for the reason.
    LosesCommits,
    /// The last commits may be lost, from the register as from the log. In return there is no primary for as long as
    /// any node may rely on what it learned from the last one.
    LosesCommitsAfterALease,
}

/// A session that a client will log out of.
#[derive(Clone, Debug)]
pub struct Session {
    pub lineage: Lineage,
    /// When the session's revocation was first committed, in true time.
    pub committed: Option<Duration>,
    /// When the client received the 2xx, in true time.
    pub answered: Option<Duration>,
    /// A fail-over lost the session's revocation: no node can know it.
    pub lost: bool,
}

/// How often each event happened, to show that the runs exercise the protocol.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub accepted: u64,
    pub revoked: u64,
    pub stale: u64,
    /// Verifications that were sent after the 2xx.
    pub late: u64,
    pub answered: u64,
    pub tried_again: u64,
    pub waited: u64,
    pub expired_leases: u64,
    pub dismissed: u64,
    pub lost: u64,
    pub broken: u64,
    pub crashed: u64,
}

impl Tally {
    pub fn fields(&self) -> [(&'static str, u64); 12] {
        [
            ("accepted", self.accepted),
            ("refused as revoked", self.revoked),
            ("refused as stale", self.stale),
            ("sent after a 2xx", self.late),
            ("logouts answered", self.answered),
            ("logouts tried again", self.tried_again),
            ("fences that waited", self.waited),
            ("leases expired", self.expired_leases),
            ("nodes dismissed", self.dismissed),
            ("commits lost", self.lost),
            ("other logs noticed", self.broken),
            ("crashes", self.crashed),
        ]
    }

    pub fn add(&mut self, other: &Self) {
        let sums = [
            (&mut self.accepted, other.accepted),
            (&mut self.revoked, other.revoked),
            (&mut self.stale, other.stale),
            (&mut self.late, other.late),
            (&mut self.answered, other.answered),
            (&mut self.tried_again, other.tried_again),
            (&mut self.waited, other.waited),
            (&mut self.expired_leases, other.expired_leases),
            (&mut self.dismissed, other.dismissed),
            (&mut self.lost, other.lost),
            (&mut self.broken, other.broken),
            (&mut self.crashed, other.crashed),
        ];
        for (sum, more) in sums {
            *sum += more;
        }
    }
}

/// The hash covers every event. The lines are kept only on request.
#[derive(Debug)]
struct Trace {
    hash: u64,
    lines: Option<Vec<String>>,
}

pub struct World {
    pub mutation: Mutation,
    pub fail_over: FailOver,
    /// The lease.
    pub bound: Duration,
    /// The time after which a node abandons a request.
    pub patience: Duration,
    /// How many bells in a thousand are lost.
    deaf: u64,
    /// The longest time between two faults, in milliseconds: some runs are rough, others are not.
    pub between_faults: u64,
    pub random: SeededRandom,
    pub primary: Mutex<Primary>,
    pub hosts: [Host; HOSTS],
    pub sessions: Mutex<Vec<Session>>,
    pub tally: Mutex<Tally>,
    pub fail_overs: AtomicU64,
    /// Wakes a client that waits for a critical moment to log out.
    pub moment: Notify,
    calm: AtomicBool,
    start: Instant,
    rng: Mutex<TestRng>,
    trace: Mutex<Trace>,
    findings: Mutex<Vec<String>>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("World")
    }
}

impl World {
    #[expect(
        clippy::disallowed_methods,
        reason = "the runtime's virtual time is the model's true time"
    )]
    pub fn new(seed: u64, mutation: Mutation, fail_over: FailOver, told: bool) -> Self {
        let start = Instant::now();
        let mut rng = TestRng::new(seed);
        let bounds = [600, 1_000, 2_000];
        let patiences = [200, 500, 1_000];
        let pick =
            |rng: &mut TestRng, of: [u64; 3]| Duration::from_millis(of[rng.below(3) as usize]);
        Self {
            mutation,
            fail_over,
            bound: pick(&mut rng, bounds),
            patience: pick(&mut rng, patiences),
            deaf: rng.below(400),
            between_faults: 400 << rng.below(4),
            random: SeededRandom::new(seed),
            primary: Mutex::new(Primary::new(
                rng.permille(500) && mutation != Mutation::SentTwice,
            )),
            hosts: std::array::from_fn(|_| Host::new(start, &mut rng, mutation)),
            sessions: Mutex::default(),
            tally: Mutex::default(),
            fail_overs: AtomicU64::new(0),
            moment: Notify::new(),
            calm: AtomicBool::new(false),
            start,
            rng: Mutex::new(rng),
            trace: Mutex::new(Trace {
                hash: seed,
                lines: told.then(Vec::new),
            }),
            findings: Mutex::default(),
        }
    }

    /// True time.
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    pub fn calm(&self) -> bool {
        self.calm.load(SeqCst)
    }

    /// Returns `true` with a probability of `permille` in a thousand, and never once the world is calm.
    pub fn fault(&self, permille: u64) -> bool {
        !self.calm() && self.rng.lock().unwrap().permille(permille)
    }

    pub fn below(&self, end: u64) -> u64 {
        self.rng.lock().unwrap().below(end)
    }

    pub fn millis(&self, from: u64, to: u64) -> Duration {
        self.rng.lock().unwrap().millis(from, to)
    }

    pub async fn pass(&self, from: u64, to: u64) {
        let pause = self.millis(from, to);
        if !pause.is_zero() {
            sleep(pause).await;
        }
    }

    /// Delays a message between a node and the primary.
    pub async fn travel(&self, host: usize) {
        let slow = self.now() < self.hosts[host].faults.lock().unwrap().slow_until;
        match slow {
            true => self.pass(20, 400).await,
            // Often there is no delay at all.
            false if self.below(2) == 0 => {}
            false => self.pass(1, 4).await,
        }
    }

    /// Rings every node's bell, after a random delay or never.
    pub fn ring(self: &std::sync::Arc<Self>) {
        for host in 0..HOSTS {
            if self.fault(self.deaf) {
                continue;
            }
            let world = std::sync::Arc::clone(self);
            tokio::spawn(async move {
                match world.fault(50) {
                    true => world.pass(10, 800).await,
                    false => world.travel(host).await,
                }
                if !world.hosts[host].faults.lock().unwrap().deaf(world.now()) {
                    world.hosts[host].ring();
                }
            });
        }
    }

    /// May trigger a logout, because the register is about to change or has just changed.
    pub fn is_a_moment(&self) {
        if self.fault(500) {
            self.moment.notify_one();
        }
    }

    /// Records when a session's revocation was committed.
    pub fn committed(&self, lineage: Lineage) {
        let now = self.now();
        let mut sessions = self.sessions.lock().unwrap();
        let session = sessions.iter_mut().find(|s| s.lineage == lineage);
        session.unwrap().committed.get_or_insert(now);
    }

    /// Replaces the primary, at least by its epoch.
    pub fn fail_over(&self, lag: Duration) {
        let now = self.now();
        let nobody_for = self.millis(1, 150)
            + match self.fail_over {
                FailOver::LosesCommitsAfterALease => self.bound * 100 / 98,
                _ => Duration::ZERO,
            };
        let mut primary = self.primary.lock().unwrap();
        primary.epoch += 1;
        primary.hung_until = now;
        primary.down_until = now + nobody_for;
        self.fail_overs.fetch_add(1, SeqCst);
        if self.fail_over == FailOver::KeepsAll {
            return;
        }
        let asked_for = self.fail_over == FailOver::LosesCommits;
        let entries_stay = asked_for && self.mutation != Mutation::EntriesLost;
        let lost = primary.lose_after(now.saturating_sub(lag), entries_stay);
        self.tally.lock().unwrap().lost += lost as u64;
        for session in &mut *self.sessions.lock().unwrap() {
            if session.committed.is_some() && !primary.has(session.lineage) {
                session.committed = None;
                session.lost |= session.answered.is_some();
            }
        }
        drop(primary);
        self.note("commits lost", &[lost as u64]);
    }

    pub fn now_calm(&self) {
        self.calm.store(true, SeqCst);
        self.note("calm", &[]);
        let mut primary = self.primary.lock().unwrap();
        let never = Duration::ZERO;
        (primary.down_until, primary.hung_until, primary.slow_until) = (never, never, never);
        drop(primary);
        for host in &self.hosts {
            host.heal(self.now());
        }
    }

    pub fn note(&self, what: &'static str, numbers: &[u64]) {
        let now = u64::try_from(self.now().as_millis()).unwrap();
        let mut trace = self.trace.lock().unwrap();
        let words = what.bytes().map(u64::from);
        for word in words.chain([now]).chain(numbers.iter().copied()) {
            trace.hash = (trace.hash ^ word).wrapping_mul(0x0100_0000_01B3);
        }
        if let Some(lines) = &mut trace.lines {
            lines.push(format!("{now:>6} ms  {what} {numbers:?}"));
        }
    }

    pub fn found(&self, what: String) {
        self.note("FOUND", &[]);
        self.findings.lock().unwrap().push(what);
    }

    pub fn has_findings(&self) -> bool {
        !self.findings.lock().unwrap().is_empty()
    }

    pub fn told(&self) -> (Vec<String>, u64, Vec<String>) {
        let mut trace = self.trace.lock().unwrap();
        let lines = trace.lines.take().unwrap_or_default();
        let findings = std::mem::take(&mut *self.findings.lock().unwrap());
        (findings, trace.hash, lines)
    }

    pub fn begin_session(&self) -> usize {
        let mut sessions = self.sessions.lock().unwrap();
        sessions.push(Session {
            lineage: Lineage::new(Timestamp::from_secs(1), &self.random),
            committed: None,
            answered: None,
            lost: false,
        });
        sessions.len() - 1
    }
}
