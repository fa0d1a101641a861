//! Slows further attempts at an account after consecutive failures (NIST SP 800-63B-4, section 3.2.2).

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::digest::Digest;
use super::rate::Rate;
use crate::time::Timestamp;

/// The longest wait after a failure. It allows 96 attempts a day.
pub const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);

/// The failures are forgotten after this many of the longest waits. An attacker who pauses that long gets no more
/// attempts a day than one who goes on.
const FORGOTTEN_AFTER: u32 = 16;

/// The maximum number of accounts whose failures are remembered. To evict an account with many failures, an attacker
/// needs that many accounts with as many failures, and each failure costs the hashing of a password.
const REMEMBERED: usize = 100_000;

/// The wait after a failure at an account: none up to the burst of a rate, then the rate's period, doubled by each
/// further failure up to 15 minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slowdown {
    /// The number of failures without a wait.
    pub free: u32,
    /// The first wait.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
}

impl Slowdown {
    /// Returns the slowdown for that rate.
    #[must_use]
    pub fn of(rate: Rate) -> Self {
        let first = rate.period();
        Self {
            free: rate.burst.get(),
            first,
            longest: LONGEST_WAIT.max(first),
        }
    }

    /// Returns the wait after that many failures.
    #[must_use]
    pub fn wait(&self, failures: u32) -> Duration {
        let Some(more) = failures.checked_sub(self.free) else {
            return Duration::ZERO;
        };
        let doubled = self.first.saturating_mul(1 << more.min(31));
        doubled.min(self.longest)
    }

    /// Returns how long after the last failure all failures are forgotten.
    #[must_use]
    pub fn memory(&self) -> Duration {
        self.longest.saturating_mul(FORGOTTEN_AFTER)
    }
}

/// An account's failures, as a store keeps them across a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptFailures {
    /// The account.
    pub account: Digest,
    /// The number of failures. 0 means that the store keeps none.
    pub failures: u32,
    /// The time at which the failures are forgotten.
    pub expires_at: Timestamp,
}

/// An attempt that must wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waits {
    /// The whole wait.
    pub(super) wait: Duration,
    /// The remaining wait.
    pub(super) left: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Failing {
    failures: u32,
    /// The uptime from which the next attempt is allowed.
    next: Duration,
    forgotten_at: Duration,
}

#[derive(Default)]
struct FailingAccounts {
    failing: HashMap<Digest, Failing>,
    /// The accounts whose change the store has not received yet.
    changed: HashSet<Digest>,
}

/// The accounts' failures, in memory.
pub(super) struct Failures {
    slowdown: Slowdown,
    accounts: Mutex<FailingAccounts>,
}

impl fmt::Debug for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Failures").field(&self.slowdown).finish()
    }
}

impl Failures {
    pub(super) fn new(slowdown: Slowdown) -> Self {
        Self {
            slowdown,
            accounts: Mutex::default(),
        }
    }

    pub(super) const fn slowdown(&self) -> Slowdown {
        self.slowdown
    }

    fn accounts(&self) -> MutexGuard<'_, FailingAccounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an attempt as a failure before it is made, so that concurrent attempts count too.
    pub(super) fn count(&self, account: Digest, now: Duration) -> Result<(), Waits> {
        let mut accounts = self.accounts();
        let known = accounts.failing.get(&account);
        let known = known.filter(|failing| failing.forgotten_at > now);
        let before = known.map_or(0, |failing| failing.failures);
        let left = known.map_or(Duration::ZERO, |failing| failing.next.saturating_sub(now));
        if !left.is_zero() {
            let wait = self.slowdown.wait(before);
            return Err(Waits { wait, left });
        }
        accounts.make_room(&account);
        let failures = before.saturating_add(1);
        accounts.set(account, self.failing(failures, now));
        if failures >= self.slowdown.free {
            accounts.changed.insert(account);
        }
        Ok(())
    }

    fn failing(&self, failures: u32, now: Duration) -> Failing {
        Failing {
            failures,
            next: now.saturating_add(self.slowdown.wait(failures)),
            forgotten_at: now.saturating_add(self.slowdown.memory()),
        }
    }

    /// Gives back an attempt that was counted and not made.
    pub(super) fn give_back(&self, account: &Digest, now: Duration) {
        let mut accounts = self.accounts();
        let Some(failing) = accounts.failing.get_mut(account) else {
            return;
        };
        let was_slowed = failing.failures >= self.slowdown.free;
        failing.failures = failing.failures.saturating_sub(1);
        failing.next = now;
        if failing.failures == 0 {
            accounts.failing.remove(account);
        }
        if was_slowed {
            accounts.changed.insert(*account);
        }
    }

    /// Forgets the account's failures after an attempt succeeded.
    pub(super) fn forgive(&self, account: &Digest) {
        let mut accounts = self.accounts();
        let forgiven = accounts.failing.remove(account);
        if forgiven.is_some_and(|failing| failing.failures >= self.slowdown.free) {
            accounts.changed.insert(*account);
        }
    }

    pub(super) fn tidy(&self, now: Duration) {
        let mut accounts = self.accounts();
        accounts
            .failing
            .retain(|_, failing| failing.forgotten_at > now);
        accounts.failing.shrink_to_fit();
    }

    /// Returns the changes since the last call, for accounts that are or were slowed.
    pub(super) fn changed(&self, now: Duration, wall: Timestamp) -> Vec<KeptFailures> {
        let mut accounts = self.accounts();
        let changed = std::mem::take(&mut accounts.changed);
        let kept = |account: Digest| {
            let failing = accounts.failing.get(&account);
            let left = failing.map(|failing| failing.forgotten_at.saturating_sub(now));
            KeptFailures {
                account,
                failures: failing.map_or(0, |failing| failing.failures),
                expires_at: wall.plus(left.unwrap_or_default()),
            }
        };
        changed.into_iter().map(kept).collect()
    }

    /// Marks these as changed again, because the store did not receive them.
    pub(super) fn not_kept(&self, lost: &[KeptFailures]) {
        let accounts = lost.iter().map(|kept| kept.account);
        self.accounts().changed.extend(accounts);
    }

    /// Resumes from stored failures. No wait exceeds a full one, even if the wall clock was set back in the meantime.
    pub(super) fn resume(&self, all: &[KeptFailures], now: Duration, wall: Timestamp) {
        let mut accounts = self.accounts();
        for kept in all.iter().take(REMEMBERED) {
            let left = kept.expires_at.millis().saturating_sub(wall.millis());
            let left = Duration::from_millis(u64::try_from(left).unwrap_or(0));
            let left = left.min(self.slowdown.memory());
            let passed = self.slowdown.memory().saturating_sub(left);
            let wait = self.slowdown.wait(kept.failures).saturating_sub(passed);
            let failing = Failing {
                failures: kept.failures,
                next: now.saturating_add(wait),
                forgotten_at: now.saturating_add(left),
            };
            accounts.set(kept.account, failing);
        }
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.accounts().failing.len()
    }
}

impl FailingAccounts {
    fn set(&mut self, account: Digest, failing: Failing) {
        self.failing.insert(account, failing);
    }

    /// Evicts a tenth of the accounts if there are too many: those with the fewest failures, and of these the oldest.
    fn make_room(&mut self, account: &Digest) {
        if self.failing.len() < REMEMBERED || self.failing.contains_key(account) {
            return;
        }
        let all = self.failing.iter();
        let mut all: Vec<_> = all
            .map(|(account, failing)| (failing.failures, failing.forgotten_at, *account))
            .collect();
        let (fewest, ..) = all.select_nth_unstable(REMEMBERED / 10);
        for (.., account) in fewest {
            self.failing.remove(account);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1000);
    const SECOND: Duration = Duration::from_secs(1);
    const WALL: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn slowdown() -> Slowdown {
        Slowdown::of(Rate::new(10, 60 * SECOND).unwrap())
    }

    #[test]
    fn each_failure_after_the_first_ten_doubles_the_wait_up_to_a_quarter_of_an_hour() {
        for (failures, seconds) in [
            (0, 0),
            (9, 0),
            (10, 6),
            (11, 12),
            (12, 24),
            (13, 48),
            (14, 96),
            (15, 192),
            (16, 384),
            (17, 768),
            (18, 900),
            (100, 900),
            (u32::MAX, 900),
        ] {
            let wait = slowdown().wait(failures);
            assert_eq!(wait.as_secs(), seconds, "{failures}");
        }
        // A custom rate that is slower stays slower.
        let day = Rate::new(2, 86_400 * SECOND).unwrap();
        assert_eq!(Slowdown::of(day).wait(2), 43_200 * SECOND);
        assert_eq!(Slowdown::of(day).wait(50), 43_200 * SECOND);
    }

    #[test]
    fn two_hundred_failures_take_more_than_a_day_whether_or_not_the_attacker_pauses() {
        for pause in [false, true] {
            let (failures, mut now) = (Failures::new(slowdown()), NOW);
            for n in 0..200 {
                // Once an attempt costs a full wait, a pause until all failures are forgotten may seem cheaper.
                if pause && n % 18 == 17 {
                    now += slowdown().memory();
                }
                while let Err(waits) = failures.count([1; 32], now) {
                    now += waits.left;
                }
            }
            assert!(now - NOW > Duration::from_secs(24 * 3600), "{pause}");
        }
    }

    #[test]
    fn a_hundred_thousand_accounts_are_remembered_and_those_with_most_failures_longest() {
        let failures = Failures::new(slowdown());
        let account = |n: u64| {
            let mut account = [0; 32];
            account[..8].copy_from_slice(&n.to_be_bytes());
            account
        };
        for _ in 0..9 {
            failures.count(account(u64::MAX), NOW).unwrap();
        }
        for n in 0..REMEMBERED as u64 + 10 {
            failures.count(account(n), NOW + SECOND).unwrap();
            assert!(failures.kept() <= REMEMBERED);
        }
        failures.count(account(u64::MAX), NOW + SECOND).unwrap();
        let waits = failures.count(account(u64::MAX), NOW + SECOND);
        assert_eq!(waits.unwrap_err().left, 6 * SECOND);
        failures.tidy(NOW + SECOND + slowdown().memory());
        assert_eq!(failures.kept(), 0);
    }

    /// Simulates a restart of the process, whose uptime may be lower than before.
    #[test]
    fn a_restart_goes_on_with_the_wait_wherever_the_clocks_are() {
        let failures = Failures::new(slowdown());
        let mut now = NOW;
        for _ in 0..30 {
            while let Err(waits) = failures.count([1; 32], now) {
                now += waits.left;
            }
        }
        failures.count([2; 32], now).unwrap();
        let kept = failures.changed(now, WALL);
        assert_eq!(kept.len(), 1, "one failure is not kept: {kept:?}");
        assert_eq!(kept[0].failures, 30);
        assert_eq!(failures.changed(now, WALL), [], "it is told once");
        failures.not_kept(&kept);
        assert_eq!(failures.changed(now, WALL), kept);
        let year = Duration::from_secs(365 * 24 * 3600);
        for (wall, left) in [
            (WALL, 900),
            (WALL.plus(100 * SECOND), 800),
            (WALL.plus(900 * SECOND), 0),
            (WALL.minus(year), 900),
            (WALL.plus(year), 0),
        ] {
            let again = Failures::new(slowdown());
            again.resume(&kept, SECOND, wall);
            let waits = again.count([1; 32], SECOND);
            let waited = waits.map_or_else(|waits| waits.left, |()| Duration::ZERO);
            assert_eq!(waited, Duration::from_secs(left), "{wall}");
        }
        // The store forgets a forgiven account too.
        failures.forgive(&[1; 32]);
        let kept = failures.changed(now, WALL);
        assert_eq!((kept[0].account, kept[0].failures), ([1; 32], 0));
    }
}
