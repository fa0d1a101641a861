//! Waits until a verifier can judge tokens, and reports why it cannot.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// The time that a passing cause is given to pass.
const PATIENCE: Duration = Duration::from_secs(4);

/// The reason why a verifier cannot judge tokens: what happened, and what to do about it. `Display` and `Debug` print
/// the same sentence, which contains no secret.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct NotReady {
    why: Arc<str>,
    may_pass: bool,
}

impl NotReady {
    /// A cause that asking again cannot remove: somebody has to change something.
    pub(crate) fn lasting(why: impl fmt::Display) -> Self {
        Self {
            why: why.to_string().into(),
            may_pass: false,
        }
    }

    /// A cause that may be gone when the verifier asks again.
    pub(crate) fn passing(why: impl fmt::Display) -> Self {
        Self {
            may_pass: true,
            ..Self::lasting(why)
        }
    }
}

/// Prints the same text as `Display`, because a program whose `main` returns the error prints the `Debug` form.
impl fmt::Debug for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The outcome of each request to an issuer in another process.
#[cfg(feature = "remote")]
#[derive(Debug)]
pub(crate) struct Faults {
    last: watch::Sender<Option<NotReady>>,
}

#[cfg(feature = "remote")]
impl Faults {
    /// Reports the outcome of a request: none if it succeeded.
    pub(crate) fn report(&self, fault: Option<NotReady>) {
        self.last.send_replace(fault);
    }
}

/// The issuer in another process that a verifier follows.
#[derive(Clone, Debug)]
pub(crate) struct Followed {
    at: Arc<str>,
    faults: watch::Receiver<Option<NotReady>>,
}

impl Followed {
    /// The issuer at this URL, and where to report the outcome of requests to it.
    #[cfg(feature = "remote")]
    pub(crate) fn at(url: &str) -> (Faults, Self) {
        let (last, faults) = watch::channel(None);
        let at = url.into();
        (Faults { last }, Self { at, faults })
    }

    /// Waits until the verifier is ready or a lasting fault is reported. Faults that were reported before the call do
    /// not count.
    async fn settle(
        &self,
        is_ready: impl Fn() -> bool,
        last: &mut Option<NotReady>,
    ) -> Result<(), NotReady> {
        let mut faults = self.faults.clone();
        faults.mark_unchanged();
        while !is_ready() {
            if faults.changed().await.is_err() {
                let why = "the verifier has stopped: the runtime that it was started on has ended";
                return Err(NotReady::lasting(why));
            }
            last.clone_from(&*faults.borrow_and_update());
            if let Some(fault) = last.take_if(|fault| !fault.may_pass) {
                return Err(fault);
            }
        }
        Ok(())
    }
}

/// Waits until the verifier is ready, or until it cannot become ready any more.
pub(super) async fn wait(
    followed: Option<&Followed>,
    is_ready: impl Fn() -> bool,
) -> Result<(), NotReady> {
    let Some(followed) = followed else {
        let why = "the revocation list is not up to date: run Waxseal::maintain beside the server";
        return is_ready().then_some(()).ok_or(NotReady::lasting(why));
    };
    let mut last = None;
    let settled = tokio::time::timeout(PATIENCE, followed.settle(is_ready, &mut last)).await;
    let late = |_| {
        Err(last.unwrap_or_else(|| {
            NotReady::passing(format_args!(
                "the issuer at {} has not answered in full within {} s: check the address, and that the issuer runs",
                followed.at,
                PATIENCE.as_secs()
            ))
        }))
    };
    settled.unwrap_or_else(late)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::time::{sleep, timeout};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MOMENT: Duration = Duration::from_millis(1);
    const URL: &str = "http://127.0.0.1:1";

    /// The result of a call that must end after `time`, while `script` runs beside it.
    async fn after(
        time: Duration,
        followed: &Followed,
        ready: &AtomicBool,
        script: impl Future<Output = ()>,
    ) -> Result<(), String> {
        let call = async {
            let mut call = pin!(wait(Some(followed), || ready.load(Ordering::SeqCst)));
            let early = timeout(time - MOMENT, &mut call).await;
            assert!(early.is_err(), "{early:?}");
            timeout(2 * MOMENT, call).await.unwrap()
        };
        let (said, ()) = tokio::join!(call, script);
        said.map_err(|cause| cause.to_string())
    }

    #[tokio::test(start_paused = true)]
    async fn a_lasting_fault_is_returned_at_once_and_a_passing_one_after_four_seconds() {
        let (faults, followed) = Followed::at(URL);
        let ready = AtomicBool::new(false);
        let said = after(PATIENCE, &followed, &ready, async {}).await;
        let said = said.unwrap_err();
        assert!(said.contains(URL) && said.contains("within 4 s"), "{said}");

        let refused = async {
            sleep(SECOND).await;
            faults.report(Some(NotReady::passing("nobody there")));
            sleep(SECOND).await;
            faults.report(Some(NotReady::lasting("wrong secret")));
        };
        let said = after(2 * SECOND, &followed, &ready, refused).await;
        assert_eq!(said, Err("wrong secret".to_owned()));

        // The "wrong secret" fault was reported before this call.
        let nobody = async {
            sleep(SECOND).await;
            faults.report(Some(NotReady::passing("nobody there")));
        };
        let said = after(PATIENCE, &followed, &ready, nobody).await;
        assert_eq!(said, Err("nobody there".to_owned()));

        let starts = async {
            sleep(3 * SECOND).await;
            ready.store(true, Ordering::SeqCst);
            faults.report(None);
        };
        let said = after(3 * SECOND, &followed, &ready, starts).await;
        assert_eq!(said, Ok(()));
        wait(Some(&followed), || true).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_at_once_if_the_verifier_stopped_or_follows_nothing() {
        let (faults, followed) = Followed::at(URL);
        drop(faults);
        let said = wait(Some(&followed), || false).await.unwrap_err();
        assert!(said.to_string().contains("has stopped"), "{said}");
        assert_eq!(format!("{said:?}"), said.to_string());
        let said = wait(None, || false).await.unwrap_err();
        assert!(said.to_string().contains("Waxseal::maintain"), "{said}");
        wait(None, || true).await.unwrap();
    }
}
