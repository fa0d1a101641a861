//! Login limits that nodes share.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;
use waxseal::account::limits::{
    Attempt, Counting, LoginLimits, LoginRates, NotAdmitted, Rate, TooMany,
};
use waxseal::time::{Clock, ManualClock, SystemClock};

use super::fixture::START;
use super::fixture::{Fixture, HOUR};

const BURST: u32 = 10;
const MANY: u32 = 1_000_000;

/// Rates so slow that no attempt is restored while a test runs.
fn rates(address: u32, account: u32) -> LoginRates {
    let rate = |burst| Rate::new(burst, HOUR).unwrap();
    LoginRates {
        address: rate(address),
        account: rate(account),
    }
}

/// A node of its own, whose clocks stand still at a wrong time.
async fn node(fixture: &Fixture, rates: LoginRates, off: Duration) -> LoginLimits {
    let store = Arc::new(fixture.look().await);
    let clock = Arc::new(ManualClock::at(START.plus(off)));
    let limits = LoginLimits::new(rates, clock).unwrap();
    limits.stored(store.limit_stores()).await.unwrap()
}

async fn nodes(fixture: &Fixture, rates: LoginRates, count: u32) -> Vec<Arc<LoginLimits>> {
    let mut all = Vec::new();
    for n in 0..count {
        all.push(Arc::new(node(fixture, rates, n * HOUR).await));
    }
    all
}

fn at(address: &str) -> Option<IpAddr> {
    Some(address.parse().unwrap())
}

/// An attempt that is admitted, and fails.
async fn fail(limits: &LoginLimits, account: &str, address: Option<IpAddr>) {
    let _: Attempt = limits.admit_login(account, address).await.unwrap();
}

/// An attempt that is admitted, and succeeds.
async fn succeed(limits: &LoginLimits, account: &str, address: Option<IpAddr>) {
    let attempt = limits.admit_login(account, address).await.unwrap();
    limits.succeeded(attempt).await;
}

async fn refused(limits: &LoginLimits, account: &str, address: Option<IpAddr>) -> TooMany {
    match limits.admit_login(account, address).await {
        Err(NotAdmitted::TooMany(too_many)) => too_many,
        other => panic!("{other:?}"),
    }
}

/// Returns how many attempts are admitted when each node gets `each` of them concurrently.
async fn admitted(
    nodes: &[Arc<LoginLimits>],
    each: u32,
    whom: impl Fn(u32) -> (String, Option<IpAddr>),
) -> usize {
    let mut trying = JoinSet::new();
    for n in 0..each {
        for node in nodes {
            let (node, (account, address)) = (Arc::clone(node), whom(n));
            trying.spawn(async move {
                match node.admit_login(&account, address).await {
                    Ok(_) => true,
                    Err(NotAdmitted::TooMany(_)) => false,
                    Err(cause) => panic!("{cause}"),
                }
            });
        }
    }
    let all = trying.join_all().await;
    all.into_iter().filter(|admitted| *admitted).count()
}

#[tokio::test]
async fn sqlite_has_one_node() {
    let store = Arc::new(Fixture::sqlite().look().await);
    assert!(matches!(store.limit_stores().counting, Counting::Here(_)));
}

#[tokio::test]
async fn attempts_at_all_nodes_at_once_are_counted_as_one() {
    let fixture = Fixture::postgres();
    let account = nodes(&fixture, rates(MANY, BURST), 3).await;
    let alice = |n: u32| ("alice".to_owned(), at(&format!("203.0.113.{n}")));
    assert_eq!(admitted(&account, 40, alice).await, BURST as usize);
    assert_eq!(admitted(&account, 40, alice).await, 0);
    let nobody = |_| ("bob".to_owned(), None);
    assert_eq!(admitted(&account, 40, nobody).await, BURST as usize);
    let address = nodes(&fixture, rates(BURST, MANY), 3).await;
    let anybody = |n: u32| (format!("user{n}"), at("198.51.100.1"));
    assert_eq!(admitted(&address, 40, anybody).await, BURST as usize);
    let neighbour = |n: u32| (format!("user{n}"), at("198.51.100.2"));
    assert_eq!(admitted(&address, 40, neighbour).await, BURST as usize);
}

#[tokio::test]
async fn an_address_that_is_refused_uses_nothing_up_at_an_account() {
    let fixture = Fixture::postgres();
    let nodes = nodes(&fixture, rates(3, 5), 2).await;
    let flood = |_| ("alice".to_owned(), at("203.0.113.1"));
    assert_eq!(admitted(&nodes, 20, flood).await, 3);
    let too_many = refused(&nodes[0], "alice", at("203.0.113.1")).await;
    assert_eq!(too_many.policy, "address");
    let others = |n: u32| ("alice".to_owned(), at(&format!("198.51.100.{n}")));
    assert_eq!(admitted(&nodes, 20, others).await, 2);
    let too_many = refused(&nodes[0], "alice", at("192.0.2.1")).await;
    assert_eq!((too_many.policy, too_many.rate.burst.get()), ("account", 1));
}

#[tokio::test]
async fn the_time_to_wait_is_that_of_all_nodes_and_enough() {
    let fixture = Fixture::postgres();
    let began = SystemClock.uptime();
    let slow = nodes(&fixture, rates(MANY, BURST), 2).await;
    let period = HOUR / BURST;
    assert_eq!(
        admitted(&slow, 20, |_| ("alice".to_owned(), None)).await,
        10
    );
    // A node that has counted nothing itself.
    let fresh = node(&fixture, rates(MANY, BURST), 9 * HOUR).await;
    let wait = refused(&fresh, "alice", None).await.retry_after;
    let earliest = period.saturating_sub(SystemClock.uptime() - began + Duration::from_secs(1));
    assert!((earliest..=period).contains(&wait), "{wait:?}");

    let second = Duration::from_secs(1);
    let quick = LoginRates {
        account: Rate::new(2, 2 * second).unwrap(),
        ..rates(MANY, BURST)
    };
    for name in ["bob", "carol"] {
        let first = node(&fixture, quick, Duration::ZERO).await;
        let mut waits = Vec::new();
        while waits.is_empty() {
            match first.admit_login(name, None).await {
                Ok(_) => {}
                Err(NotAdmitted::TooMany(too_many)) => waits.push(too_many.retry_after),
                Err(cause) => panic!("{cause}"),
            }
        }
        let wait = waits[0];
        assert!(wait <= second, "{wait:?}");
        tokio::time::sleep(wait).await;
        let other = node(&fixture, quick, Duration::ZERO).await;
        fail(&other, name, None).await;
    }
}

#[tokio::test]
async fn an_owner_who_is_known_at_one_node_is_known_at_all() {
    let fixture = Fixture::postgres();
    let nodes = nodes(&fixture, rates(MANY, BURST), 2).await;
    let home = at("2001:db8:1:2::1");
    succeed(&nodes[0], "alice", home).await;
    // Until the allowance is used up, both in the nodes' own counts and in the shared one.
    let strangers = |n: u32| ("alice".to_owned(), at(&format!("203.0.113.{n}")));
    assert_eq!(admitted(&nodes, 60, strangers).await, BURST as usize);
    for node in &nodes {
        refused(node, "alice", at("203.0.113.99")).await;
        refused(node, "alice", None).await;
    }
    let owner = |n: u32| ("alice".to_owned(), at(&format!("2001:db8:1:2::{n:x}")));
    let late = node(&fixture, rates(MANY, BURST), HOUR).await;
    let later = [nodes.clone(), vec![Arc::new(late)]].concat();
    assert_eq!(admitted(&later[1..], 40, owner).await, BURST as usize);
    // The network is not known for another user's account.
    assert_eq!(admitted(&nodes, 20, |_| ("bob".to_owned(), None)).await, 10);
    refused(&nodes[1], "bob", home).await;
}

#[tokio::test]
async fn an_account_has_a_limited_number_of_known_networks() {
    let fixture = Fixture::postgres();
    let limits = node(&fixture, rates(MANY, MANY), Duration::ZERO).await;
    succeed(&limits, "bob", at("192.0.2.1")).await;
    for n in 0..40 {
        succeed(&limits, "alice", at(&format!("203.0.113.{n}"))).await;
    }
    succeed(&limits, "alice", None).await;
    let counts = "SELECT string_agg(n::text, ' ' ORDER BY n) FROM (SELECT count(*) AS n FROM login_network GROUP BY account) AS counts";
    assert_eq!(fixture.ask(counts), "1 32");
    // The newest networks are kept.
    let rates = rates(MANY, BURST);
    let other = node(&fixture, rates, Duration::ZERO).await;
    let other = [Arc::new(other)];
    assert_eq!(
        admitted(&other, 20, |_| ("alice".to_owned(), None)).await,
        10
    );
    refused(&other[0], "alice", at("203.0.113.7")).await;
    fail(&other[0], "alice", at("203.0.113.8")).await;
    // Networks also expire.
    let age = |days: u32| {
        let nanos = (days * 24 * HOUR).as_nanos();
        fixture.ask(&format!("UPDATE login_network SET seen = seen - {nanos}"));
    };
    age(89);
    other[0].tidy().await;
    assert_eq!(fixture.ask(counts), "1 32");
    age(2);
    other[0].tidy().await;
    assert_eq!(fixture.ask(counts), "");
}

#[tokio::test]
async fn expired_rows_are_dropped_and_active_ones_are_kept() {
    let fixture = Fixture::postgres();
    let limits = node(&fixture, rates(1, 1), Duration::ZERO).await;
    fail(&limits, "alice", at("192.0.2.1")).await;
    fixture.ask("INSERT INTO login_limit SELECT sha256(n::text::bytea), n FROM generate_series(1, 2500) AS n");
    fixture.ask("INSERT INTO login_failure SELECT sha256(n::text::bytea), 50, n FROM generate_series(1, 2500) AS n");
    let rows = || {
        fixture.ask("SELECT (SELECT count(*) FROM login_limit) || ' ' || (SELECT count(*) FROM login_failure)")
    };
    assert_eq!(rows(), "2501 2501");
    limits.tidy().await;
    assert_eq!(rows(), "1 1");
    let other = node(&fixture, rates(1, 1), Duration::ZERO).await;
    let address = refused(&other, "bob", at("192.0.2.1")).await;
    assert_eq!(address.policy, "address");
    let account = refused(&other, "alice", None).await;
    assert_eq!(account.policy, "account");
}

/// The documented error: one more burst per key. The owners' networks are not lost.
#[tokio::test]
async fn a_crash_of_the_server_costs_one_burst() {
    let fixture = Fixture::alone();
    let before = nodes(&fixture, rates(MANY, BURST), 2).await;
    succeed(&before[0], "alice", at("192.0.2.1")).await;
    let alice = |_| ("alice".to_owned(), None);
    assert_eq!(admitted(&before, 20, alice).await, BURST as usize);
    let server = fixture.server().unwrap();
    server.kill();
    server.start_again();
    let after = nodes(&fixture, rates(MANY, BURST), 2).await;
    assert_eq!(admitted(&after, 20, alice).await, BURST as usize);
    // An orderly shutdown loses nothing.
    server.stop();
    server.start_again();
    let later = nodes(&fixture, rates(MANY, BURST), 2).await;
    assert_eq!(admitted(&later, 20, alice).await, 0);
    succeed(&later[0], "alice", at("192.0.2.1")).await;
}

/// After the server's clock is set back, the counts are further in the future than any attempts can have put them.
#[tokio::test]
async fn a_database_clock_that_was_set_back_locks_no_user_out() {
    let fixture = Fixture::postgres();
    let nodes = nodes(&fixture, rates(BURST, BURST), 1).await;
    fail(&nodes[0], "alice", at("192.0.2.1")).await;
    for _ in 0..BURST {
        fail(&nodes[0], "bob", None).await;
    }
    refused(&nodes[0], "bob", None).await;
    let year = (365 * 24 * HOUR).as_nanos();
    fixture.ask(&format!("UPDATE login_limit SET tat = tat + {year}"));
    fixture.ask(&format!("UPDATE login_failure SET last = last + {year}"));
    // A node that has refused nothing itself.
    let other = node(&fixture, rates(BURST, BURST), Duration::ZERO).await;
    fail(&other, "alice", at("192.0.2.1")).await;
    let address = refused(&other, "alice", at("192.0.2.1")).await;
    assert_eq!(address.policy, "address");
    assert!(address.retry_after <= HOUR / BURST, "{address:?}");
    fail(&other, "bob", None).await;
    let account = refused(&other, "bob", None).await;
    assert!(account.retry_after <= 2 * HOUR / BURST, "{account:?}");
}

/// NIST SP 800-63B-4, section 3.2.2: all nodes together slow an account down as one node would.
#[tokio::test]
async fn consecutive_failures_slow_an_account_at_all_nodes_until_a_login_succeeds() {
    let fixture = Fixture::postgres();
    let nodes = async || nodes(&fixture, rates(MANY, BURST), 2).await;
    let alice = |_| ("alice".to_owned(), None);
    assert_eq!(admitted(&nodes().await, 20, alice).await, BURST as usize);
    let pass = |time: Duration| {
        let nanos = time.as_nanos();
        fixture.ask(&format!("UPDATE login_failure SET last = last - {nanos}"))
    };
    for minutes in [6, 12, 15, 15] {
        // New nodes, which have no memory of earlier answers.
        let nodes = nodes().await;
        let wait = refused(&nodes[0], "alice", None).await.rate.window;
        assert_eq!(wait, Duration::from_secs(minutes * 60));
        pass(wait);
        assert_eq!(admitted(&nodes[1..], 20, alice).await, 1, "{minutes} min");
    }
    pass(Duration::from_secs(15 * 60));
    // An attempt that was not made leaves the account unchanged, and may be made at once.
    let nodes = nodes().await;
    let attempt = nodes[0].admit_login("alice", None).await.unwrap();
    nodes[0].not_made(attempt).await;
    succeed(&nodes[0], "alice", None).await;
    assert_eq!(admitted(&nodes, 20, alice).await, BURST as usize);
    // Failures expire after four hours.
    pass(4 * HOUR + Duration::from_secs(1));
    let late = [Arc::new(node(&fixture, rates(MANY, BURST), HOUR).await)];
    assert_eq!(admitted(&late, 20, alice).await, BURST as usize);
}

#[tokio::test]
async fn logins_fail_in_time_while_the_database_hangs() {
    let fixture = Fixture::alone();
    let limits = node(&fixture, rates(5, 5), Duration::ZERO).await;
    let attempt = limits.admit_login("alice", at("192.0.2.1")).await.unwrap();
    fixture.server().unwrap().pause();
    let bound = Duration::from_secs(60);
    let asked = tokio::time::timeout(bound, limits.admit_login("alice", at("192.0.2.1")));
    let asked = asked.await.expect("it answers in time");
    assert!(matches!(asked, Err(NotAdmitted::Store(_))), "{asked:?}");
    // The node refuses without the server where it can: these attempts count here, and get no further.
    for _ in 0..4 {
        let asked = limits.admit_login("alice", at("192.0.2.1"));
        let asked = tokio::time::timeout(Duration::from_millis(1), asked).await;
        assert!(asked.is_err(), "{asked:?}");
    }
    let too_many = refused(&limits, "alice", at("192.0.2.1")).await;
    assert_eq!(too_many.policy, "address");
    // An admitted login does not fail because it cannot be recorded.
    let note = tokio::time::timeout(bound, limits.succeeded(attempt));
    note.await.expect("it answers in time");
    fixture.server().unwrap().resume();
    let other = node(&fixture, rates(5, 5), Duration::ZERO).await;
    fail(&other, "alice", at("192.0.2.1")).await;
}

/// The strangers wait for a lock. The owner needs neither their connections nor the locked table.
#[tokio::test]
async fn strangers_that_wait_for_the_server_do_not_delay_an_owner() {
    let fixture = Fixture::postgres();
    let limits = Arc::new(node(&fixture, rates(MANY, BURST), Duration::ZERO).await);
    let home = at("192.0.2.1");
    succeed(&limits, "alice", home).await;
    let mut locking = PgConnection::connect(&fixture.url()).await.unwrap();
    let mut lock = locking.begin().await.unwrap();
    let statement = "LOCK TABLE login_failure";
    sqlx::query(statement).execute(&mut *lock).await.unwrap();
    let mut strangers = JoinSet::new();
    let refused = loop {
        let (limits, n) = (Arc::clone(&limits), strangers.len());
        strangers.spawn(async move { limits.admit_login(&format!("user{n}"), None).await });
        tokio::task::yield_now().await;
        if let Some(refused) = strangers.try_join_next() {
            break refused.unwrap();
        }
    };
    assert!(matches!(refused, Err(NotAdmitted::Busy)), "{refused:?}");
    succeed(&limits, "alice", home).await;
    // An owner whom this node does not know yet.
    let other = node(&fixture, rates(MANY, BURST), HOUR).await;
    succeed(&other, "alice", home).await;
    lock.rollback().await.unwrap();
}
