//! Verifiers whose clocks differ from the issuer's: the leeway of 5 s is the difference allowed. Times are seconds
//! since the login by the issuer's clock.

use std::sync::Arc;
use std::time::Duration;

use waxseal::embedded::MAX_STALENESS;
use waxseal::keyring::SharedKeyring;
use waxseal::policy::Unacceptable;
use waxseal::revocation::follower::Follower;
use waxseal::time::{Clock, ManualClock, Timestamp};
use waxseal::verifier::{Refusal, Verifier};

use crate::fixture::Carrier::Bearer;
use crate::fixture::Event::{Renew, Visit};
use crate::fixture::Verdict::Renewed;
use crate::fixture::{Fixture, State};

/// A verifier as in another process: the same keys and log, with a clock and a list of its own.
struct Elsewhere {
    ahead_by: i64,
    clock: Arc<ManualClock>,
    follower: Follower,
    verifier: Verifier,
}

impl Elsewhere {
    fn new(fixture: &Fixture, ahead_by: i64) -> Self {
        let clock = Arc::new(ManualClock::at(fixture.server.clock.now()));
        let log = fixture.server.waxseal.log();
        let follower = Follower::new(log, MAX_STALENESS, Arc::clone(&clock) as _);
        let verifier = Verifier::following(
            Arc::new(SharedKeyring::new(fixture.keyring())),
            vec![fixture.format],
            fixture.server.waxseal.verifier().policy().clone(),
            &follower,
        );
        Self {
            ahead_by,
            clock,
            follower,
            verifier,
        }
    }

    /// Returns the verdict when the issuer's clock shows `now`.
    async fn says(&self, now: Timestamp, token: &str) -> Says {
        self.clock
            .step_to(Timestamp::from_secs(now.secs() + self.ahead_by));
        self.clock.advance(Duration::ZERO);
        self.follower.catch_up().await.unwrap();
        match self.verifier.verify(token) {
            Ok(_) => Says::Good,
            Err(Refusal::Unacceptable(Unacceptable::Future)) => Says::Future,
            Err(Refusal::Unacceptable(Unacceptable::Expired)) => Says::Expired,
            Err(Refusal::Superseded(_)) => Says::Superseded,
            Err(other) => panic!("{other}"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    Good,
    Future,
    Expired,
    Superseded,
}

use Says::{Expired, Future, Good, Superseded};

#[tokio::test]
async fn a_new_token_is_accepted_by_clocks_that_differ_by_the_leeway() {
    #[rustfmt::skip]
    let table: [(i64, &[(i64, Says)]); 7] = [
        (0, &[(0, Good), (899, Good), (900, Good), (904, Good), (905, Expired), (906, Expired)]),
        (4, &[(0, Good), (899, Good), (900, Good), (901, Expired)]),
        // Accepted for as long as the issuer exchanges it.
        (5, &[(0, Good), (898, Good), (899, Good), (900, Expired), (901, Expired)]),
        (6, &[(0, Good), (898, Good), (899, Expired), (900, Expired)]),
        (-4, &[(0, Good), (908, Good), (909, Expired)]),
        (-5, &[(0, Good), (1, Good), (908, Good), (909, Good), (910, Expired), (911, Expired)]),
        (-6, &[(0, Future), (1, Good), (2, Good), (910, Good), (911, Expired)]),
    ];
    for fixture in Fixture::of_each_format().await {
        for (ahead_by, verdicts) in table {
            let token = fixture.login().await;
            let elsewhere = Elsewhere::new(&fixture, ahead_by);
            for (second, expected) in verdicts {
                fixture.until(*second).await;
                let says = elsewhere.says(fixture.at(*second), &token).await;
                assert_eq!(says, *expected, "{ahead_by} at {second}");
            }
            fixture.until(2000).await;
        }
    }
}

#[tokio::test]
async fn a_verifier_refuses_a_superseded_token_after_the_grace_by_its_own_clock() {
    #[rustfmt::skip]
    let table: [(i64, &[(i64, Says)]); 5] = [
        (0, &[(1800, Good), (1829, Good), (1830, Superseded), (1831, Superseded)]),
        (5, &[(1800, Good), (1824, Good), (1825, Superseded), (1826, Superseded)]),
        (6, &[(1800, Good), (1823, Good), (1824, Superseded)]),
        (-5, &[(1800, Good), (1834, Good), (1835, Superseded), (1836, Superseded)]),
        (-6, &[(1801, Good), (1835, Good), (1836, Superseded)]),
    ];
    for fixture in Fixture::of_each_format().await {
        for (ahead_by, verdicts) in table {
            let mut old = fixture.login().await;
            for second in [800, 1600] {
                fixture.until(second).await;
                old = fixture.take(Visit, &old).await.1.unwrap();
            }
            fixture.until(1800).await;
            let new = fixture.take(Visit, &old).await.1.unwrap();
            let elsewhere = Elsewhere::new(&fixture, ahead_by);
            for (second, expected) in verdicts {
                fixture.until(*second).await;
                let now = fixture.at(*second);
                let says = elsewhere.says(now, &old).await;
                assert_eq!(says, *expected, "{ahead_by} at {second}");
                assert_eq!(
                    elsewhere.says(now, &new).await,
                    Good,
                    "{ahead_by} at {second}"
                );
            }
        }
    }
}

/// The issuer's own clock may be set back by the leeway without logging anybody out.
#[tokio::test]
async fn an_issuer_continues_when_its_clock_is_set_back_within_the_leeway() {
    for fixture in Fixture::of_each_format().await {
        let token = fixture.login().await;
        fixture.until(100).await;
        let touched = fixture.take(Visit, &token).await.1.unwrap();
        for back in [1, 4, 5] {
            fixture.server.clock.step_to(fixture.at(100 - back));
            let (verdict, _) = fixture.take(Visit, &touched).await;
            assert!(verdict.is_good(), "{back}: {verdict:?}");
        }
        // A step larger than the leeway and the two seconds that do not count as a step back.
        fixture.server.clock.step_to(fixture.at(92));
        let (verdict, _) = fixture.take(Visit, &touched).await;
        assert!(!verdict.is_good());
    }
}

/// A token that the issuer has found expired is never exchanged, however far the clock is set back.
#[tokio::test]
async fn a_token_at_its_end_stays_there_when_the_clock_is_set_back() {
    for back in [1, 1999, 2001, 3000, 600_000] {
        for fixture in Fixture::of_each_format().await {
            let token = fixture.login().await;
            fixture.until(901).await;
            let (_, new) = fixture.take(Renew(Bearer), &token).await;
            assert!(new.is_none());
            let to = fixture.at(901).minus(Duration::from_millis(back));
            fixture.server.clock.step_to(to);
            let (verdict, new) = fixture.take(Renew(Bearer), &token).await;
            assert!(new.is_none(), "set back by {back} ms: {verdict:?}");
        }
    }
}

/// A session that begins after the clock was set back is like any other: its tabs have their grace, and no user looks
/// like a thief.
#[tokio::test]
async fn a_session_begun_after_the_clock_was_set_back_has_a_grace() {
    for back in [60, 3600, 86_400] {
        for fixture in Fixture::of_each_format().await {
            let began = fixture.at(0);
            fixture.until(back).await;
            fixture.server.clock.step_to(began);
            fixture.server.pass(Duration::ZERO).await;
            let mut old = fixture.login().await;
            for second in [800, 1600] {
                fixture.until(second).await;
                old = fixture.take(Visit, &old).await.1.unwrap();
            }
            fixture.until(1800).await;
            let (_, new) = fixture.take(Visit, &old).await;
            // The other tab's request comes a moment later.
            let (verdict, _) = fixture.take(Visit, &old).await;
            let same = Renewed(State(1, 2700, 3600, 7200));
            assert_eq!(verdict, same, "set back by {back} s");
            assert!(fixture.take(Visit, &new.unwrap()).await.0.is_good());
        }
    }
}
