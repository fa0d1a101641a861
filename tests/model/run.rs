//! One run: faults, logouts and verifications from a seed, and the properties that every answer must have.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use waxseal::revocation::register::over_after;

use crate::faults;
use crate::host::OnHost;
use crate::mutation::Mutation;
use crate::node::{BEAT, Process, Verdict};
use crate::wire::POOL_PATIENCE;
use crate::world::{FAULTS, FailOver, HOSTS, Tally, World};

const SESSIONS: usize = 24;

/// The time after which a client abandons an attempt to log out.
const CLIENT_PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub struct Outcome {
    pub findings: Vec<String>,
    pub tally: Tally,
    pub hash: u64,
    pub trace: Vec<String>,
}

/// Runs one seed. With `told` it keeps a line for every event.
pub fn run(seed: u64, mutation: Mutation, fail_over: FailOver, told: bool) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let world = Arc::new(World::new(seed, mutation, fail_over, told));
        live(&world).await;
        for host in &world.hosts {
            host.process.lock().unwrap().take();
        }
        let (findings, hash, trace) = world.told();
        let tally = *world.tally.lock().unwrap();
        Outcome {
            findings,
            tally,
            hash,
            trace,
        }
    })
}

async fn live(world: &Arc<World>) {
    for host in 0..HOSTS {
        let world = Arc::clone(world);
        tokio::spawn(async move {
            world.pass(0, 1_000).await;
            Process::start(&world, host);
        });
    }
    for _ in 0..SESSIONS {
        let session = world.begin_session();
        tokio::spawn(log_out(Arc::clone(world), session));
    }
    tokio::spawn(look_around(Arc::clone(world)));
    for _ in 0..2 {
        tokio::spawn(faults::make(Arc::clone(world)));
    }
    sleep(FAULTS).await;
    world.now_calm();
    for host in 0..HOSTS {
        if world.hosts[host].process().is_none() {
            Process::start(world, host);
        }
    }
    all_comes_right(world).await;
}

/// Asserts that, once all faults are over, every logout is answered and every node becomes fresh in time.
async fn all_comes_right(world: &World) {
    let answered_within = CLIENT_PATIENCE + (over_after(world.bound) + world.patience) * 2;
    // A pending call may last until its timeout; the next beat is answered. A node that follows another log restarts
    // only after some beats.
    let anew = match world.fail_over {
        FailOver::KeepsAll => Duration::ZERO,
        FailOver::LosesCommits | FailOver::LosesCommitsAfterALease => BEAT * 9,
    };
    let fresh_within = (world.patience + POOL_PATIENCE) * 2 + BEAT * 2 + anew;
    let healed = world.now();
    while !all_answered(world) {
        if world.has_findings() {
            return;
        }
        let since = world.now() - healed;
        if since > answered_within {
            world.found(format!("a logout has no answer {since:?} after the faults"));
        }
        sleep(Duration::from_millis(50)).await;
    }
    // Wait for the verifications that follow the last answers.
    sleep(world.bound / 2 + Duration::from_millis(100)).await;
    if !stale_nodes(world).is_empty() {
        sleep((healed + fresh_within).saturating_sub(world.now())).await;
    }
    let (stale, since) = (stale_nodes(world), world.now() - healed);
    if !stale.is_empty() {
        world.found(format!(
            "nodes {stale:?} are stale {since:?} after the faults"
        ));
    }
}

fn all_answered(world: &World) -> bool {
    let sessions = world.sessions.lock().unwrap();
    sessions.iter().all(|session| session.answered.is_some())
}

fn stale_nodes(world: &World) -> Vec<usize> {
    let fresh = |host: usize| world.hosts[host].process().is_some_and(|p| p.is_fresh());
    (0..HOSTS).filter(|host| !fresh(*host)).collect()
}

/// Logs out, retries until the answer arrives, then presents the token to every node.
async fn log_out(world: Arc<World>, session: usize) {
    let lineage = world.sessions.lock().unwrap()[session].lineage;
    let last = u64::try_from(FAULTS.as_millis()).unwrap();
    // Start at a random time, or at a critical moment.
    let _ = timeout(world.millis(100, last), world.moment.notified()).await;
    loop {
        let host = world.below(HOSTS as u64) as usize;
        if let Some(process) = world.hosts[host].process() {
            world.note(
                "is asked to log out: node, session",
                &[host as u64, session as u64],
            );
            let asked = OnHost::new(&process, Arc::clone(&process).logout(lineage));
            if let Ok(Some(Some(_))) = timeout(CLIENT_PATIENCE, asked).await {
                break;
            }
        }
        world.tally.lock().unwrap().tried_again += 1;
        world.pass(50, 400).await;
    }
    world.pass(0, 2).await;
    world.note("2xx: session", &[session as u64]);
    world.tally.lock().unwrap().answered += 1;
    {
        let known = world.primary.lock().unwrap().has(lineage);
        let mut sessions = world.sessions.lock().unwrap();
        sessions[session].answered = Some(world.now());
        sessions[session].lost |= !known;
    }
    let half = u64::try_from(world.bound.as_millis()).unwrap() / 2;
    for host in 0..HOSTS {
        for later in [0, 50, half] {
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                world.pass(0, later).await;
                present(world, session, host).await;
            });
        }
    }
}

/// Presents random tokens to random nodes at random times.
async fn look_around(world: Arc<World>) {
    while !world.calm() {
        world.pass(5, 60).await;
        let session = world.below(SESSIONS as u64) as usize;
        let host = world.below(HOSTS as u64) as usize;
        tokio::spawn(present(Arc::clone(&world), session, host));
    }
}

/// Sends a request with a session's token to a node, and checks the verdict.
async fn present(world: Arc<World>, session: usize, host: usize) {
    let Some(process) = world.hosts[host].process() else {
        return;
    };
    let sent = world.now();
    let at_sending = world.sessions.lock().unwrap()[session].clone();
    let answered = at_sending.answered;
    world.pass(0, 2).await;
    let verdict = OnHost::new(&process, Arc::clone(&process).verify(at_sending.lineage)).await;
    let lost = world.sessions.lock().unwrap()[session].lost;
    {
        let mut tally = world.tally.lock().unwrap();
        match verdict {
            Some(Verdict::Accepted) => tally.accepted += 1,
            Some(Verdict::Revoked) => tally.revoked += 1,
            Some(Verdict::Stale) => tally.stale += 1,
            None => {}
        }
        tally.late += u64::from(verdict.is_some() && answered.is_some());
    }
    if let Some(verdict) = verdict {
        let numbers = [host as u64, session as u64, verdict as u64];
        world.note("judges: node, session, 0 for good", &numbers);
    }
    if verdict != Some(Verdict::Accepted) || lost {
        return;
    }
    let what = format!("node {host} accepted session {session} in a request sent at {sent:?}");
    if let Some(answered) = answered {
        world.found(format!("{what}, after the 2xx at {answered:?}"));
    }
    // By a slow clock, a node's bound takes longer.
    let over = world.bound * 100 / 98 + Duration::from_millis(2);
    if let Some(committed) = at_sending.committed
        && sent > committed + over
    {
        world.found(format!(
            "{what}, {over:?} after its commit at {committed:?}"
        ));
    }
}
