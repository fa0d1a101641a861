//! The threads that hash. They work below the priority of those that serve: a flood of logins then takes
//! what the others leave, and a verification does not wait behind it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use tokio::sync::oneshot;

/// How nice they are to other threads (nice(2)): a thirtieth of the weight of a thread that serves,
/// and more than nothing, so that logins go on while verifications take all there is.
const NICE: i32 = 15;

/// There is no lower priority.
#[cfg(target_os = "linux")]
const NICEST: i32 = 19;

type HashingJob = Box<dyn FnOnce() + Send>;

/// They end when this is dropped and what was begun is done.
#[derive(Debug)]
pub(super) struct Workers(mpsc::Sender<HashingJob>);

impl Workers {
    /// So many threads.
    ///
    /// # Errors
    /// The system has no thread to give.
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

    /// Does this on one of them. None if it did not come to its end.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (done, result) = oneshot::channel();
        let job = move || {
            // Who asked may have gone away.
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
        // Whoever waits for it is told by its silence; the next one has a thread still.
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            tracing::error!("hashing panicked");
        }
    }
}

/// Linux takes the calling thread for a process of its own here, which POSIX does not.
#[cfg(target_os = "linux")]
fn be_nice() {
    use rustix::process::{getpriority_process, setpriority_process};
    let lower = |nice: i32| setpriority_process(None, (nice + NICE).min(NICEST));
    if let Err(cause) = getpriority_process(None).and_then(lower) {
        tracing::debug!(%cause, "hashing has the priority of what serves");
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
    async fn one_that_panics_costs_nobody_else_a_thread() {
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
