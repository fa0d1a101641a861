use super::*;
use crate::time::{ManualClock, Timestamp};

const ALICE: &str = "alice";
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn limits() -> (LoginLimits, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(Timestamp::from_secs(1_800_000_000)));
    let limits = LoginLimits::new(LoginRates::default(), Arc::clone(&clock) as _).unwrap();
    (limits, clock)
}

fn at(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

/// Returns one of many networks.
fn somewhere(n: u32) -> Option<IpAddr> {
    Some(IpAddr::from((0x0b00_0000_u32 + n).to_be_bytes()))
}

/// Returns the decision of a single node.
async fn admit(
    limits: &LoginLimits,
    account: &str,
    address: Option<IpAddr>,
) -> Result<Attempt, TooMany> {
    match limits.admit_login(account, address).await {
        Err(NotAdmitted::TooMany(too_many)) => Err(too_many),
        Err(cause) => panic!("it asked nobody: {cause}"),
        Ok(attempt) => Ok(attempt),
    }
}

/// Makes an attempt that fails.
async fn fail(limits: &LoginLimits, account: &str, address: Option<IpAddr>) -> Result<(), TooMany> {
    admit(limits, account, address).await.map(drop)
}

/// Makes an attempt that succeeds.
async fn succeed(
    limits: &LoginLimits,
    account: &str,
    address: Option<IpAddr>,
) -> Result<Class, TooMany> {
    let attempt = admit(limits, account, address).await?;
    limits.succeeded(attempt).await;
    Ok(attempt.class())
}

#[tokio::test]
async fn an_address_is_limited_across_accounts() {
    let (limits, clock) = limits();
    let (mine, other) = (at("203.0.113.7"), at("203.0.113.8"));
    for n in 0..20 {
        assert_eq!(fail(&limits, &n.to_string(), mine).await, Ok(()));
    }
    let refused = fail(&limits, "another", mine).await.unwrap_err();
    assert_eq!(refused.policy, "address");
    assert_eq!(refused.retry_after, 3 * SECOND);
    assert_eq!(fail(&limits, "another", other).await, Ok(()));
    clock.advance(Duration::from_millis(2999));
    assert!(fail(&limits, "another", mine).await.is_err());
    clock.advance(Duration::from_millis(1));
    assert_eq!(fail(&limits, "another", mine).await, Ok(()));
    assert!(fail(&limits, "another", mine).await.is_err());
}

#[tokio::test]
async fn an_ipv6_subscriber_is_a_64_prefix() {
    let (limits, _) = limits();
    for n in 0..20 {
        let address = at(&format!("2001:db8:1:2::{n:x}"));
        assert_eq!(fail(&limits, &n.to_string(), address).await, Ok(()));
    }
    let same = fail(&limits, "x", at("2001:db8:1:2:ffff::1"));
    assert!(same.await.is_err());
    let other = fail(&limits, "x", at("2001:db8:1:3::1"));
    assert_eq!(other.await, Ok(()));
    // The same address in two notations.
    for n in 0..20 {
        let (name, mapped) = (format!("y{n}"), at("::ffff:192.0.2.1"));
        assert_eq!(fail(&limits, &name, mapped).await, Ok(()));
    }
    assert!(fail(&limits, "y", at("192.0.2.1")).await.is_err());
}

#[tokio::test]
async fn attempts_that_succeed_or_are_not_made_do_not_count() {
    for address in [None, at("198.51.100.1")] {
        let (limits, _) = limits();
        for _ in 0..100 {
            let attempt = admit(&limits, ALICE, address).await.unwrap();
            limits.not_made(attempt).await;
        }
        for n in 0..100 {
            let class = succeed(&limits, ALICE, address).await.unwrap();
            let known = n > 0 && address.is_some();
            assert_eq!(matches!(class, Class::Reserved(_)), known);
        }
        for _ in 0..10 {
            assert_eq!(fail(&limits, ALICE, address).await, Ok(()));
        }
        assert!(fail(&limits, ALICE, address).await.is_err());
    }
}

/// Whether an attempt fails is known only later, so all of them are counted first.
#[tokio::test]
async fn concurrent_attempts_are_limited_to_those_that_may_fail() {
    let (limits, _) = limits();
    let home = at("198.51.100.1");
    succeed(&limits, ALICE, home).await.unwrap();
    let (mut strangers, mut owners) = (0, 0);
    for n in 0..1000 {
        strangers += usize::from(fail(&limits, ALICE, somewhere(n)).await.is_ok());
        owners += usize::from(fail(&limits, ALICE, home).await.is_ok());
    }
    assert_eq!((strangers, owners), (10, 10));
}

#[tokio::test]
async fn two_hundred_guesses_take_more_than_a_day_and_the_owner_is_let_in_all_along() {
    // An account that does not exist is slowed in the same way.
    for account in [ALICE, "nobody"] {
        let (limits, clock) = limits();
        let home = at("198.51.100.1");
        succeed(&limits, ALICE, home).await.unwrap();
        let began = clock.uptime();
        for n in 0..200 {
            // Alternates between one network and a new one each time.
            let from = somewhere(if n % 2 == 0 { 0 } else { n });
            while let Err(refused) = fail(&limits, account, from).await {
                succeed(&limits, ALICE, home).await.unwrap();
                clock.advance(refused.retry_after);
            }
            succeed(&limits, ALICE, home).await.unwrap();
            if n == 99 {
                assert!(clock.uptime() - began > 20 * DAY / 24);
            }
        }
        assert!(clock.uptime() - began > DAY);
        // A later attempt from a new network waits at most 15 minutes, and a successful login ends the wait.
        let refused = fail(&limits, account, somewhere(1000)).await.unwrap_err();
        assert_eq!(refused.retry_after, LONGEST_WAIT);
        assert_eq!((refused.policy, refused.rate.burst.get()), ("account", 1));
        clock.advance(LONGEST_WAIT);
        succeed(&limits, account, somewhere(1000)).await.unwrap();
        for n in 0..10 {
            assert_eq!(fail(&limits, account, somewhere(2000 + n)).await, Ok(()));
        }
        let refused = fail(&limits, account, somewhere(3000)).await.unwrap_err();
        assert_eq!(refused.retry_after, 6 * SECOND);
    }
}

#[tokio::test]
async fn failures_of_a_neighbour_do_not_block_users_known_at_the_address() {
    let (limits, clock) = limits();
    let office = at("198.51.100.1");
    succeed(&limits, ALICE, office).await.unwrap();
    let mut refused = 0;
    for n in 0..20 * 60 {
        refused += usize::from(fail(&limits, &format!("x{n}"), office).await.is_err());
        if n % 60 == 59 {
            succeed(&limits, ALICE, office).await.unwrap();
        }
        clock.advance(SECOND / 2);
    }
    assert!(refused > 900, "the neighbour is limited: {refused}");
    // A user who is not known there shares the neighbour's limit.
    while fail(&limits, "x", office).await.is_ok() {}
    let other = fail(&limits, "bob", office).await.unwrap_err();
    assert_eq!(other.policy, "address");
}

#[tokio::test]
async fn a_session_has_a_limit_that_logins_do_not_use() {
    let (limits, clock) = limits();
    let user = UserId::new(clock.now(), &crate::random::SeededRandom::new(1));
    for n in 0..10 {
        fail(&limits, &user.to_string(), somewhere(n))
            .await
            .unwrap();
    }
    for _ in 0..10 {
        let _ = limits.admit_session(user).await.unwrap();
    }
    assert!(limits.admit_session(user).await.is_err());
    clock.advance(6 * SECOND);
    let attempt = limits.admit_session(user).await.unwrap();
    assert!(matches!(attempt.class(), Class::Reserved(_)));
    limits.succeeded(attempt).await;
    assert!(limits.admit_session(user).await.is_ok());
}

#[tokio::test]
async fn expired_counters_are_dropped_and_active_ones_are_kept() {
    let (limits, clock) = limits();
    let home = at("198.51.100.1");
    succeed(&limits, ALICE, home).await.unwrap();
    for n in 0..1000 {
        fail(&limits, &n.to_string(), somewhere(n)).await.unwrap();
    }
    for _ in 0..10 {
        fail(&limits, ALICE, home).await.unwrap();
    }
    assert_eq!(limits.local.kept(), (1000, 1, 1000));
    clock.advance(30 * SECOND);
    limits.tidy().await;
    assert_eq!(limits.local.kept(), (0, 1, 1000));
    for _ in 0..5 {
        assert_eq!(fail(&limits, ALICE, home).await, Ok(()));
    }
    assert!(fail(&limits, ALICE, home).await.is_err());
    clock.advance(DAY);
    limits.tidy().await;
    assert_eq!(limits.local.kept(), (0, 0, 0));
}

#[test]
fn an_uncountable_rate_is_refused() {
    assert!(Rate::new(0, Duration::from_secs(1)).is_none());
    assert!(Rate::new(1, Duration::ZERO).is_none());
    assert!(Rate::new(u32::MAX, Duration::from_nanos(1)).is_none());
    assert!(Rate::new(1_000_000, Duration::from_secs(1)).is_some());
}
