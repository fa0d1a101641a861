//! Random faults, until the world is calm.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use tokio::time::sleep;
use waxseal::revocation::register::over_after;

use crate::host::OnHost;
use crate::node::Process;
use crate::world::{FAULTS, HOSTS, World};

/// The log line of each kind of fault. The number after it is the node; the primary's faults ignore it.
const KINDS: [&str; 13] = [
    "the primary is down;",
    "the primary hangs;",
    "the primary is slow;",
    "the primary fails over;",
    "requests are lost from node",
    "answers are lost to node",
    "nothing passes to or from node",
    "the wire is slow of node",
    "paused: node",
    "killed: node",
    "leaves: node",
    "the wire flickers of node",
    "the bell rings for nothing at node",
];

/// Causes one fault after the other. A fault can last while later ones begin.
pub async fn make(world: Arc<World>) {
    loop {
        world.pass(20, world.between_faults).await;
        if world.calm() {
            return;
        }
        let (now, host) = (world.now(), world.below(HOSTS as u64) as usize);
        let until = now + world.millis(50, 2_500);
        let machine = &world.hosts[host];
        let kind = world.below(KINDS.len() as u64) as usize;
        world.note(KINDS[kind], &[host as u64]);
        match kind {
            0 => {
                let mut primary = world.primary.lock().unwrap();
                primary.epoch += 1;
                primary.down_until = until;
            }
            1 => world.primary.lock().unwrap().hung_until = until,
            2 => world.primary.lock().unwrap().slow_until = until,
            3 => {
                let lag = world.millis(0, 400);
                world.fail_over(lag);
            }
            4 => machine.faults.lock().unwrap().requests_lost_until = until,
            5 => machine.faults.lock().unwrap().answers_lost_until = until,
            6 => cut(&world, host, until),
            7 => machine.faults.lock().unwrap().slow_until = until,
            8 => pause(&world, host, until).await,
            9 => crash(&world, host).await,
            10 => leave(&world, host).await,
            11 => flicker(&world, host).await,
            _ => machine.ring(),
        }
    }
}

/// Cuts the connection between a node and the primary, in both directions.
fn cut(world: &World, host: usize, until: Duration) {
    let mut faults = world.hosts[host].faults.lock().unwrap();
    (faults.requests_lost_until, faults.answers_lost_until) = (until, until);
}

/// Cuts a node off for about as long as a keeper waits, reconnects it for a moment, and cuts it off again.
async fn flicker(world: &World, host: usize) {
    let over = over_after(world.bound);
    let apart = over.saturating_sub(Duration::from_millis(400)) + world.millis(0, 1_400);
    cut(world, host, world.now() + apart);
    sleep(apart).await;
    world.pass(0, 600).await;
    if !world.calm() {
        cut(world, host, world.now() + over);
    }
}

/// May cut off a random node at a critical moment: just after a commit, or after a read whose answer is older than it
/// seems.
pub fn at_a_bad_moment(world: &Arc<World>, permille: u64) {
    if world.fault(permille) {
        let world = Arc::clone(world);
        tokio::spawn(async move {
            if world.fault(500) {
                world.pass(0, 100).await;
            }
            let host = world.below(HOSTS as u64) as usize;
            world.note("cut off at a bad moment: node", &[host as u64]);
            if !world.calm() {
                cut(&world, host, world.now() + over_after(world.bound));
            }
        });
    }
}

async fn pause(world: &World, host: usize, until: Duration) {
    let (machine, now) = (&world.hosts[host], world.now());
    // Sometimes the pause is longer than the lease.
    let longer = match world.fault(300) {
        true => world.bound,
        false => Duration::ZERO,
    };
    let until = (until + longer).min(FAULTS).max(now);
    machine.pause(now, until);
    sleep(until - now).await;
    machine.wake(world.now());
}

async fn leave(world: &Arc<World>, host: usize) {
    let Some(process) = world.hosts[host].process() else {
        return;
    };
    let left = OnHost::new(&process, Arc::clone(&process).leave()).await;
    match left {
        None => {}
        Some(()) if world.calm() => Process::start(world, host),
        Some(()) => crash(world, host).await,
    }
}

async fn crash(world: &Arc<World>, host: usize) {
    let machine = &world.hosts[host];
    machine.run.fetch_add(1, SeqCst);
    machine.process.lock().unwrap().take();
    world.tally.lock().unwrap().crashed += 1;
    world.pass(10, 500).await;
    if machine.process().is_none() && !world.calm() {
        Process::start(world, host);
    }
}
