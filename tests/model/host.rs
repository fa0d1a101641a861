//! A node's machine: its clock, its faults, and its process, which can stop between any two awaits.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use waxseal::time::{Clock, Timestamp};

use crate::mutation::Mutation;
use crate::node::Process;
use crate::test_rng::TestRng;
use crate::world::World;

/// A clock at nearly the true rate, which keeps running while its process is paused.
#[derive(Debug)]
pub struct HostClock {
    start: Instant,
    offset: Duration,
    /// The clock's rate, in millionths of the true rate.
    rate: u64,
    /// Microseconds that the clock has missed. Only one mutation makes it miss any.
    missed: AtomicU64,
}

impl Clock for HostClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1)
    }

    fn uptime(&self) -> Duration {
        let passed = u64::try_from(self.start.elapsed().as_micros()).unwrap();
        let passed = passed.saturating_sub(self.missed.load(SeqCst));
        self.offset + Duration::from_micros(passed * self.rate / 1_000_000)
    }
}

/// The end of each network fault between a node and the primary, and whether the node is paused.
#[derive(Debug, Default)]
pub struct Faults {
    pub requests_lost_until: Duration,
    pub answers_lost_until: Duration,
    pub slow_until: Duration,
    /// The total time spent paused, up to the end of the current pause.
    pub paused_for: Duration,
    paused_until: Duration,
    sleepers: Vec<Waker>,
}

impl Faults {
    pub fn deaf(&self, now: Duration) -> bool {
        now < self.answers_lost_until
    }
}

#[derive(Debug)]
pub struct Host {
    pub clock: Arc<HostClock>,
    /// One bell per listener. Of several listeners to one channel, chance would decide which wakes first.
    bells: Mutex<Vec<watch::Sender<u64>>>,
    pub faults: Mutex<Faults>,
    pub process: Mutex<Option<Arc<Process>>>,
    /// The number of the machine's current process. A task of an earlier process stops.
    pub run: AtomicU64,
    stops: bool,
}

impl Host {
    pub fn new(start: Instant, rng: &mut TestRng, mutation: Mutation) -> Self {
        let clock = HostClock {
            start,
            offset: rng.millis(1_000, 1_000_000),
            // Two clocks differ by at most 4.1 %, and often by that much.
            rate: match rng.below(3) {
                0 => 980_000,
                1 => 1_020_000,
                _ => 980_000 + rng.below(40_001),
            },
            missed: AtomicU64::new(0),
        };
        Self {
            clock: Arc::new(clock),
            bells: Mutex::default(),
            faults: Mutex::default(),
            process: Mutex::default(),
            run: AtomicU64::new(0),
            stops: mutation == Mutation::ClockStops,
        }
    }

    pub fn ring(&self) {
        let mut bells = self.bells.lock().unwrap();
        bells.retain(|bell| !bell.is_closed());
        for bell in &*bells {
            bell.send_modify(|rung| *rung += 1);
        }
    }

    pub fn bell(&self) -> watch::Receiver<u64> {
        let (bell, heard) = watch::channel(0);
        self.bells.lock().unwrap().push(bell);
        heard
    }

    pub fn process(&self) -> Option<Arc<Process>> {
        self.process.lock().unwrap().clone()
    }

    pub fn paused(&self, now: Duration) -> bool {
        now < self.faults.lock().unwrap().paused_until
    }

    /// Pauses every task of the machine until `until`, as SIGSTOP or a starved machine does.
    pub fn pause(&self, now: Duration, until: Duration) {
        let mut faults = self.faults.lock().unwrap();
        let more = until.saturating_sub(now.max(faults.paused_until));
        faults.paused_for += more;
        faults.paused_until = faults.paused_until.max(until);
        if self.stops {
            let missed = u64::try_from(more.as_micros()).unwrap();
            self.clock.missed.fetch_add(missed, SeqCst);
        }
    }

    /// Resumes the tasks, as SIGCONT does.
    pub fn wake(&self, now: Duration) {
        let mut faults = self.faults.lock().unwrap();
        if now >= faults.paused_until {
            let sleepers = std::mem::take(&mut faults.sleepers);
            drop(faults);
            sleepers.into_iter().for_each(Waker::wake);
        }
    }

    pub fn heal(&self, now: Duration) {
        let mut faults = self.faults.lock().unwrap();
        let spared = faults.paused_until.saturating_sub(now);
        faults.paused_for -= spared;
        faults.requests_lost_until = Duration::ZERO;
        faults.answers_lost_until = Duration::ZERO;
        faults.slow_until = Duration::ZERO;
        faults.paused_until = Duration::ZERO;
        drop(faults);
        self.wake(now);
    }
}

/// A task of a node's process. It stops while the machine is paused, and yields `None` once the process is gone.
pub struct OnHost<F> {
    world: Arc<World>,
    host: usize,
    run: u64,
    inner: Pin<Box<F>>,
}

impl<F: Future> OnHost<F> {
    pub fn new(process: &Process, inner: F) -> Self {
        Self {
            world: Arc::clone(&process.world),
            host: process.host,
            run: process.run,
            inner: Box::pin(inner),
        }
    }
}

impl<F: Future> Future for OnHost<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let host = &self.world.hosts[self.host];
        if host.run.load(SeqCst) != self.run {
            return Poll::Ready(None);
        }
        let now = self.world.now();
        if host.paused(now) {
            let mut faults = host.faults.lock().unwrap();
            faults.sleepers.push(context.waker().clone());
            return Poll::Pending;
        }
        self.inner.as_mut().poll(context).map(Some)
    }
}
