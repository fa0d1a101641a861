//! Many revocations that expire at once: the delay that concurrent verifications and logouts see.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use waxseal::id::Lineage;
use waxseal::key::Algorithm;
use waxseal::revocation::internals;
use waxseal::revocation::list::RevocationList;
use waxseal::revocation::session_revocation_expiry;
use waxseal::time::{Clock, Timestamp};

use crate::Size;
use crate::harness::{line, stopwatch};
use crate::subject::{Bench, filled, revocation};

/// The pause between logouts. A disk could not sync them as fast.
const PAUSE: Duration = Duration::from_micros(50);

/// How long the idle case is measured.
const IDLE: Duration = Duration::from_secs(1);

/// The duration of each call, in nanoseconds, sorted.
struct Calls(Vec<u32>);

impl Calls {
    /// Repeats the call, with a pause after each, until `over` returns true.
    fn until(over: impl Fn() -> bool, pause: Duration, mut call: impl FnMut()) -> Self {
        let mut nanos = Vec::with_capacity(1 << 24);
        while !over() {
            let began = stopwatch();
            call();
            let took = began.elapsed();
            nanos.push(u32::try_from(took.as_nanos()).unwrap_or(u32::MAX));
            while began.elapsed() < pause {
                std::hint::spin_loop();
            }
        }
        nanos.sort_unstable();
        Self(nanos)
    }

    /// Returns a quantile in microseconds.
    fn at(&self, share: f64) -> f64 {
        let index = (self.0.len() as f64 * share) as usize;
        f64::from(self.0[index.min(self.0.len() - 1)]) / 1e3
    }
}

/// The longest calls while very many entries leave the list, compared with those while none does.
pub fn housekeeping(size: &Size) {
    let bench = Bench::new(Algorithm::EdDsa);
    let kid = bench.key().public().kid();
    let past = bench.clock.now().plus(Duration::from_secs(24 * 3600));
    let mut look_up = |list: &RevocationList| {
        let mut claims = bench.claims();
        claims.session_id.lineage = Lineage::new(past, &bench.random);
        claims.expires_at = session_revocation_expiry(past);
        assert_eq!(list.dead(&claims, kid, past, Duration::ZERO), None);
    };
    let mut seq = size.expiring;
    let mut log_out = |list: &RevocationList| {
        seq += 1;
        internals::apply(list, &revocation(seq, past, &bench.random));
    };
    // Later than all entries in the list, and earlier than what is looked up and added meanwhile.
    let horizon = bench.clock.now().plus(Duration::from_secs(12 * 3600));
    for (what, pause, call) in [
        (
            "verification asks",
            Duration::ZERO,
            &mut look_up as Call<'_>,
        ),
        ("a logout enters", PAUSE, &mut log_out as Call<'_>),
    ] {
        compare(what, size, horizon, pause, call);
    }
}

type Call<'a> = &'a mut dyn FnMut(&RevocationList);

fn compare(what: &str, size: &Size, horizon: Timestamp, pause: Duration, call: Call<'_>) {
    let list = Arc::new(filled(size.expiring));
    let began = stopwatch();
    let idle = Calls::until(|| began.elapsed() > IDLE, pause, || call(&list));
    internals::learn_horizon(&list, horizon);
    let dropped = Arc::new(AtomicBool::new(false));
    let dropping = {
        let (list, dropped) = (Arc::clone(&list), Arc::clone(&dropped));
        thread::spawn(move || {
            let began = stopwatch();
            internals::drop_covered(&list);
            dropped.store(true, Ordering::SeqCst);
            began.elapsed()
        })
    };
    let busy = Calls::until(|| dropped.load(Ordering::SeqCst), pause, || call(&list));
    let took = dropping.join().unwrap();
    line(
        &format!("{what} while {} expire, to idle, p99.9", size.expiring),
        busy.at(0.999) / idle.at(0.999),
        None,
        &format!(
            "{:.2} µs to {:.2} µs, the longest {:.0} µs to {:.0} µs, dropped in {:.2} s",
            busy.at(0.999),
            idle.at(0.999),
            busy.at(1.0),
            idle.at(1.0),
            took.as_secs_f64()
        ),
    );
}
