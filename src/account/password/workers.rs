//! The hashing threads. They run at a lower priority than the threads that serve requests, so a flood of logins uses
//! only spare CPU time and does not delay a verification.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use tokio::sync::oneshot;

/// The nice value added to the hashing threads (nice(2)). It gives them a thirtieth of the weight of a serving thread,
/// which is enough for logins to proceed while verifications use all CPU time.
const NICE: i32 = 15;

/// The lowest priority.
#[cfg(target_os = "linux")]
const NICEST: i32 = 19;

type HashingJob = Box<dyn FnOnce() + Send>;

/// The pool of hashing threads. The threads end when the pool is dropped and the submitted jobs are done.
#[derive(Debug)]
pub(super) struct Workers(mpsc::Sender<HashingJob>);

impl Workers {
    /// Starts `count` threads.
    ///
    /// # Errors
    /// The system could not start a thread.
    pub(super) fn start(count: usize) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<HashingJob>();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..count {
            let queue = Arc::clone(&queue);
            thread::Builder::new()
                .name("hashing".to_owned())
                .spawn(move || work(&queue))?;
        }
        Ok(Self(jobs))
    }

    /// Runs `work` on one of the threads. Returns `None` if the job panicked or did not run.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (done, result) = oneshot::channel();
        let job = move || {
            // The caller may have gone away.
            let _ = done.send(work());
        };
        self.0.send(Box::new(job)).ok()?;
        result.await.ok()
    }
}

fn work(queue: &Mutex<mpsc::Receiver<HashingJob>>) {
    be_nice();
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else {
            return;
        };
        // The waiting caller sees its channel close. The thread survives for the next job.
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            tracing::error!("hashing panicked");
        }
    }
}

/// On Linux a null process ID means the calling thread, unlike in POSIX.
#[cfg(target_os = "linux")]
fn be_nice() {
    use rustix::process::{getpriority_process, setpriority_process};

    use crate::report::report;

    let lower = |nice: i32| setpriority_process(None, (nice + NICE).min(NICEST));
    if let Err(cause) = getpriority_process(None).and_then(lower) {
        tracing::debug!(cause = %report(&cause), "hashing has the priority of what serves");
    }
}

#[cfg(not(target_os = "linux"))]
fn be_nice() {
    let _ = NICE;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panicking_job_costs_no_thread() {
        let workers = Workers::start(1).unwrap();
        for number in 0..3 {
            let broken: Option<u32> = workers.run(|| panic!("a job")).await;
            assert_eq!(broken, None);
            assert_eq!(workers.run(move || number).await, Some(number));
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn they_are_below_those_that_serve_and_no_other_thread_is() {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let before = nice();
        let workers = Workers::start(2).unwrap();
        assert_eq!(workers.run(nice).await, Some((before + NICE).min(NICEST)));
        assert_eq!(nice(), before);
    }
}
