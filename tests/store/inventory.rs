//! The inventory: sessions begun, renewed, listed, forgotten.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use waxseal::account::{Accounts, OwnPassword, OwnPasswordChange};
use waxseal::id::{SessionId, UserId};
use waxseal::inventory::{Entered, Inventory, Raise, Renew, Renewed};
use waxseal::revocation::log::{LogReader, RevocationLog, Revoke};
use waxseal::revocation::{Reason, Target, session_revocation_expiry};
use waxseal::session::LoginMethods;
use waxseal::time::Timestamp;

use super::fixture::START;
use super::fixture::{Fixture, HOUR};

on_both_engines! {
    sessions_are_listed_newest_first_until_their_end
    a_renewal_is_written_and_repeated_within_its_grace
    generations_ended_by_a_password_change_stay_dead_and_are_no_theft
    one_of_many_concurrent_renewals_is_first
    only_the_session_itself_is_renewed
    sessions_are_forgotten_by_their_end
    ended_sessions_are_not_listed
}

const GRACE: Duration = Duration::from_secs(30);

fn renewal(user: UserId, session: &Entered, generation: u32, at: Timestamp) -> Renew {
    Renew {
        presented: SessionId {
            lineage: session.lineage,
            generation,
        },
        user,
        auth_time: session.auth_time,
        session_expiry: session.session_expiry,
        methods: session.methods.clone(),
        at,
        grace: GRACE,
        renew_at: at.plus(HOUR / 2),
        idle_end: at.plus(HOUR),
    }
}

/// A renewal of that session by a client that presents that generation.
pub fn raise(user: UserId, session: &Entered, generation: u32, at: Timestamp) -> Raise {
    let Renew {
        presented,
        auth_time,
        session_expiry,
        methods,
        renew_at,
        idle_end,
        ..
    } = renewal(user, session, generation, at);
    Raise {
        presented,
        user,
        auth_time,
        session_expiry,
        methods,
        at,
        renew_at,
        idle_end,
    }
}

const fn current(generation: u32, renew_at: Timestamp) -> Renewed {
    Renewed::Current {
        generation,
        renew_at,
    }
}

async fn sessions_are_listed_newest_first_until_their_end(fixture: Fixture) {
    let store = fixture.node("a").await;
    let alice = fixture.add_user(&store, "alice").await;
    let bob = fixture.add_user(&store, "bob").await;
    let mut begun = Vec::new();
    for second in 0..3 {
        let at = START.plus(Duration::from_secs(second));
        begun.insert(0, fixture.begin(&store, "alice", at).await.unwrap());
    }
    assert_eq!(store.sessions(alice, START).await.unwrap(), begun);
    assert_eq!(store.sessions(bob, START).await.unwrap(), []);
    let oldest = begun[2].session_expiry;
    assert_eq!(store.sessions(alice, oldest).await.unwrap(), begun[..2]);
    let lineage = begun[1].lineage;
    let found = store.session(alice, lineage).await.unwrap();
    assert_eq!(found.as_ref(), Some(&begun[1]));
    assert_eq!(store.session(bob, lineage).await.unwrap(), None);
}

async fn a_renewal_is_written_and_repeated_within_its_grace(fixture: Fixture) {
    let store = fixture.node("a").await;
    let alice = fixture.add_user(&store, "alice").await;
    let session = fixture.begin(&store, "alice", START).await.unwrap();
    let at = START.plus(HOUR / 2);
    let renew = |generation, at| store.renew(renewal(alice, &session, generation, at));
    let first = current(1, at.plus(HOUR / 2));
    assert_eq!(renew(0, at).await.unwrap(), first);
    let entry = store.read(0, 9).await.unwrap().entries.remove(0).revocation;
    assert_eq!(
        (entry.target, entry.from),
        (Target::Session(session.lineage), 1)
    );
    assert_eq!(
        (entry.grace_until, entry.reason),
        (Some(at.plus(GRACE)), Reason::Renewed)
    );
    let until = session_revocation_expiry(session.session_expiry);
    assert_eq!(entry.expires_at, until);
    let listed = store
        .session(alice, session.lineage)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (listed.renew_at, listed.idle_end),
        (at.plus(HOUR / 2), at.plus(HOUR))
    );
    // The same answer while the grace lasts, and theft after it.
    let almost = at.plus(GRACE - Duration::from_millis(1));
    assert_eq!(renew(0, almost).await.unwrap(), first);
    assert_eq!(renew(0, at.plus(GRACE)).await.unwrap(), Renewed::Reused);
    assert_eq!(renew(2, at).await.unwrap(), Renewed::Unknown);
    let later = at.plus(HOUR / 2);
    assert_eq!(
        renew(1, later).await.unwrap(),
        current(2, later.plus(HOUR / 2))
    );
    // Presenting the generation before the last one is theft at any time.
    assert_eq!(renew(0, later).await.unwrap(), Renewed::Reused);
    assert_eq!(store.read(0, 9).await.unwrap().head.cursor.seq, 2);
}

async fn generations_ended_by_a_password_change_stay_dead_and_are_no_theft(fixture: Fixture) {
    let store = fixture.node("a").await;
    let alice = fixture.add_user(&store, "alice").await;
    let session = fixture.begin(&store, "alice", START).await.unwrap();
    let presented = |generation| SessionId {
        lineage: session.lineage,
        generation,
    };
    let renew = |generation, at| store.renew(renewal(alice, &session, generation, at));
    let change = async |generation, at| {
        let read = store.login_user(alice).await.unwrap().unwrap();
        let change = OwnPassword {
            user: alice,
            hash: read.password_hash,
            version: read.version,
            session: raise(alice, &session, generation, at),
            network: None,
        };
        store.change_own_password(change).await.unwrap()
    };
    let (minute, at) = (Duration::from_secs(60), START.plus(HOUR / 2));
    assert!(matches!(
        renew(0, at).await.unwrap(),
        Renewed::Current { generation: 1, .. }
    ));
    // Within the grace of the renewal, the change also begins the session's next generation.
    let changed = change(0, at).await;
    assert!(
        matches!(changed, OwnPasswordChange::Done { generation: 2, .. }),
        "{changed:?}"
    );
    // This holds whatever the clock shows.
    for time in [at, at.minus(HOUR), at.plus(minute)] {
        for generation in [0, 1] {
            let renewed = renew(generation, time).await.unwrap();
            assert_eq!(renewed, Renewed::Superseded, "{generation}");
        }
    }
    // A renewal after the change works as usual.
    let later = at.plus(HOUR / 2);
    let next = renew(2, later).await.unwrap();
    assert!(matches!(next, Renewed::Current { generation: 3, .. }));
    assert_eq!(renew(2, later).await.unwrap(), next);
    assert_eq!(renew(1, later).await.unwrap(), Renewed::Superseded);
    assert_eq!(renew(2, later.plus(minute)).await.unwrap(), Renewed::Reused);
    for (generation, expected) in [(0, true), (1, true), (2, false), (3, false)] {
        let ended = store
            .ended_by_a_change(presented(generation))
            .await
            .unwrap();
        assert_eq!(ended, expected, "{generation}");
    }
    let unknown = SessionId {
        lineage: fixture.lineage(START),
        generation: 0,
    };
    assert!(!store.ended_by_a_change(unknown).await.unwrap());
}

async fn one_of_many_concurrent_renewals_is_first(fixture: Fixture) {
    let nodes = [fixture.node("a").await, fixture.node("b").await].map(Arc::new);
    let alice = fixture.add_user(&nodes[0], "alice").await;
    let session = fixture.begin(&nodes[0], "alice", START).await.unwrap();
    let mut tabs = JoinSet::new();
    for n in 0..40_u64 {
        let node = Arc::clone(&nodes[(n % 2) as usize]);
        // Each requests a different renewal time: all must get that of the first one.
        let at = START.plus(HOUR / 2 + Duration::from_millis(n));
        let renewal = renewal(alice, &session, 0, at);
        tabs.spawn(async move { node.renew(renewal).await.unwrap() });
    }
    let all = tabs.join_all().await;
    assert!(matches!(all[0], Renewed::Current { generation: 1, .. }));
    assert!(all.iter().all(|renewed| *renewed == all[0]), "{all:?}");
    assert_eq!(nodes[0].read(0, 9).await.unwrap().head.cursor.seq, 1);
}

async fn only_the_session_itself_is_renewed(fixture: Fixture) {
    let store = fixture.node("a").await;
    let alice = fixture.add_user(&store, "alice").await;
    let bob = fixture.add_user(&store, "bob").await;
    let session = fixture.begin(&store, "alice", START).await.unwrap();
    let good = renewal(alice, &session, 0, START);
    let with = |change: fn(&mut Renew)| {
        let mut renew = good.clone();
        change(&mut renew);
        renew
    };
    let mut bobs = good.clone();
    bobs.user = bob;
    let mut unknown = good.clone();
    unknown.presented.lineage = fixture.lineage(START);
    for bad in [
        bobs,
        unknown,
        with(|renew| renew.auth_time = renew.auth_time.plus(HOUR)),
        with(|renew| renew.session_expiry = renew.session_expiry.plus(HOUR)),
        with(|renew| renew.presented.generation = u32::MAX),
        with(|renew| renew.methods = LoginMethods::password()),
        with(|renew| renew.methods = "hwk otp pwd".parse().unwrap()),
    ] {
        let renewed = store.renew(bad.clone()).await.unwrap();
        assert_eq!(renewed, Renewed::Unknown, "{bad:?}");
    }
    assert_eq!(store.read(0, 9).await.unwrap().head.cursor.seq, 0);
}

async fn sessions_are_forgotten_by_their_end(fixture: Fixture) {
    let store = fixture.node("a").await;
    let alice = fixture.add_user(&store, "alice").await;
    let first = fixture.begin(&store, "alice", START).await.unwrap();
    let second = fixture
        .begin(&store, "alice", START.plus(HOUR))
        .await
        .unwrap();
    let just_before = first.session_expiry.minus(Duration::from_millis(1));
    assert_eq!(store.forget(just_before).await.unwrap(), 0);
    assert_eq!(store.forget(first.session_expiry).await.unwrap(), 1);
    assert_eq!(store.sessions(alice, START).await.unwrap(), [second]);
    // More rows than one transaction drops.
    let row = format!(
        r#"INSERT INTO session (lineage, "user", auth_time, session_expiry, generation, renew_at, grace_until, idle_end) WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1300) SELECT n, '{alice}', 1, 2, 0, 0, 0, 0 FROM n;"#
    );
    fixture.sql(&row).await;
    assert_eq!(store.forget(first.session_expiry).await.unwrap(), 1300);
}

async fn ended_sessions_are_not_listed(fixture: Fixture) {
    let (store, other) = (fixture.node("a").await, fixture.node("b").await);
    let alice = fixture.add_user(&store, "alice").await;
    let first = fixture.begin(&store, "alice", START).await.unwrap();
    let second = fixture.begin(&other, "alice", START).await.unwrap();
    let until = session_revocation_expiry(first.session_expiry);
    let end = Revoke::Session(first.lineage, until);
    other.revoke(end, Reason::Logout, START).await.unwrap();
    assert_eq!(store.sessions(alice, START).await.unwrap(), [second]);
    other
        .revoke(Revoke::Everything, Reason::Operator, START)
        .await
        .unwrap();
    assert_eq!(store.sessions(alice, START).await.unwrap(), []);
}
