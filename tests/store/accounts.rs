//! Users.

use waxseal::account::{
    Accounts, AddUserError, BeginSession, OwnPassword, OwnPasswordChange, UserChange,
};
use waxseal::inventory::Inventory;
use waxseal::revocation::log::{LogReader, RevocationLog, Revoke};
use waxseal::revocation::{Reason, Target};
use waxseal::session::LoginMethods;
use waxseal::time::Timestamp;

use super::fixture::START;
use super::fixture::{Fixture, HOUR, hash};
use super::inventory::raise;

on_both_engines! {
    a_user_is_added_once_and_found
    a_login_fails_if_its_user_changed_meanwhile
    each_change_ends_the_sessions_from_before_and_none_after
    a_password_change_keeps_its_session_and_loses_to_another_change
    repeating_a_logout_of_the_others_does_not_grow_the_log
    a_hash_is_replaced_only_where_it_was_read
}

async fn a_user_is_added_once_and_found(fixture: Fixture) {
    let store = fixture.node("a").await;
    for name in ["carol", "alice", "Bob"] {
        fixture.add_user(&store, name).await;
    }
    let again = store.add_user(&fixture.user("BOB"), &hash("x")).await;
    assert!(matches!(again, Err(AddUserError::Taken)));
    let users = store.users().await.unwrap();
    let names: Vec<_> = users.iter().map(|user| user.username.as_str()).collect();
    assert_eq!(names, ["alice", "bob", "carol"]);
    let bob = store.user(&"bob".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(
        (bob.id, bob.enabled, bob.created_at),
        (users[1].id, true, START)
    );
    assert!(
        store
            .user(&"dave".parse().unwrap())
            .await
            .unwrap()
            .is_none()
    );
    let start = store.start_login(&"dave".parse().unwrap()).await.unwrap();
    assert!(start.user.is_none());
    let login = store.login_user(bob.id).await.unwrap().unwrap();
    assert_eq!(
        (login.username.as_str(), login.password_hash.as_str()),
        ("bob", "old")
    );
}

async fn a_login_fails_if_its_user_changed_meanwhile(fixture: Fixture) {
    let store = fixture.node("a").await;
    let alice = fixture.add_user(&store, "alice").await;
    let name = "alice".parse().unwrap();
    let begin = async |at: Timestamp| {
        let start = store.start_login(&name).await.unwrap();
        BeginSession {
            user: alice,
            version: start.user.unwrap().version,
            everything_version: start.everything_version,
            session: fixture.session(at),
        }
    };
    let changes = [
        UserChange::Password(hash("new")),
        UserChange::Disable,
        UserChange::EndSessions {
            spared: None,
            reason: Reason::Operator,
        },
    ];
    for change in changes {
        store.enable_user(alice).await.unwrap();
        let late = begin(START.plus(HOUR)).await;
        store
            .change_user(alice, change, START)
            .await
            .unwrap()
            .unwrap();
        assert!(!store.begin_session(late).await.unwrap());
    }
    // Also when the user was disabled and enabled again.
    let late = begin(START.plus(HOUR)).await;
    assert!(store.enable_user(alice).await.unwrap());
    assert!(!store.begin_session(late).await.unwrap());
    let late = begin(START.plus(HOUR)).await;
    store
        .revoke(Revoke::Everything, Reason::Operator, START)
        .await
        .unwrap();
    assert!(!store.begin_session(late).await.unwrap());
    // A session that begins before the cut-off cannot begin, even if the user was read afterwards.
    let before = begin(START).await;
    assert!(!store.begin_session(before).await.unwrap());
    let in_time = begin(START.plus(HOUR)).await;
    assert!(store.begin_session(in_time).await.unwrap());
    let late = begin(START.plus(2 * HOUR)).await;
    store
        .change_user(alice, UserChange::Delete, START)
        .await
        .unwrap()
        .unwrap();
    assert!(!store.begin_session(late).await.unwrap());
    assert!(!store.enable_user(alice).await.unwrap());
    assert!(store.login_user(alice).await.unwrap().is_none());
    let gone = store.change_user(alice, UserChange::Disable, START).await;
    assert_eq!(gone.unwrap(), None);
}

async fn each_change_ends_the_sessions_from_before_and_none_after(fixture: Fixture) {
    let store = fixture.node("a").await;
    let alice = fixture.add_user(&store, "alice").await;
    fixture.add_user(&store, "bob").await;
    let name = "alice".parse().unwrap();
    let (mut at, mut seq) = (START, 0);
    let changes = [
        (UserChange::Password(hash("new")), Reason::PasswordChanged),
        (
            UserChange::InitialPassword {
                hash: hash("newer"),
                change_required_by: START.plus(HOUR),
            },
            Reason::PasswordChanged,
        ),
        (UserChange::Disable, Reason::Disabled),
        (
            UserChange::EndSessions {
                spared: None,
                reason: Reason::Logout,
            },
            Reason::Logout,
        ),
    ];
    for (change, reason) in changes {
        store.enable_user(alice).await.unwrap();
        // A session from a clock that was ahead is ended too.
        let ahead = fixture.begin(&store, "alice", at.plus(HOUR)).await.unwrap();
        let bobs = fixture.begin(&store, "bob", at).await.unwrap();
        let written = store.change_user(alice, change, at).await.unwrap();
        seq += 1;
        assert_eq!(written, Some(seq));
        let page = store.read(seq - 1, 1).await.unwrap();
        let entry = &page.entries[0].revocation;
        let ended = ahead.lineage.created_at().millis();
        assert_eq!(
            (entry.target.clone(), entry.reason),
            (Target::User(alice), reason)
        );
        assert_eq!((entry.from, entry.spared), (ended + 1, None));
        let start = store.start_login(&name).await.unwrap();
        assert_eq!(start.first_lineage, ended + 1);
        assert_eq!(store.sessions(alice, START).await.unwrap(), []);
        let bob = store.user(&"bob".parse().unwrap()).await.unwrap().unwrap();
        let his = store.sessions(bob.id, START).await.unwrap();
        assert!(his.contains(&bobs));
        at = Timestamp::from_millis(start.first_lineage);
    }
    let user = store.login_user(alice).await.unwrap().unwrap();
    assert_eq!((user.password_hash.as_str(), user.enabled), ("newer", true));
}

async fn a_password_change_keeps_its_session_and_loses_to_another_change(fixture: Fixture) {
    let store = fixture.node("a").await;
    let alice = fixture.add_user(&store, "alice").await;
    let mine = fixture.begin(&store, "alice", START).await.unwrap();
    fixture.begin(&store, "alice", START).await.unwrap();
    let read = store.login_user(alice).await.unwrap().unwrap().version;
    let own = |text: &str, generation, version| OwnPassword {
        user: alice,
        hash: hash(text),
        version,
        session: raise(alice, &mine, generation, START),
        network: None,
    };
    let change = async |own| store.change_own_password(own).await.unwrap();
    let first = change(own("first", 0, read)).await;
    let (seq, generation) = (2, 1);
    assert_eq!(first, OwnPasswordChange::Done { seq, generation });
    let second = change(own("second", 1, read)).await;
    assert_eq!(second, OwnPasswordChange::Lost);
    // A superseded generation cannot change the password, and neither can that of another session.
    let read = store.login_user(alice).await.unwrap().unwrap().version;
    for generation in [0, 2] {
        let third = change(own("third", generation, read)).await;
        assert_eq!(third, OwnPasswordChange::SessionOver, "{generation}");
    }
    // Neither can a token that names other methods than the login had.
    let mut other = own("third", 1, read);
    other.session.methods = LoginMethods::password();
    assert_eq!(change(other).await, OwnPasswordChange::SessionOver);
    let page = store.read(0, 9).await.unwrap();
    let entries: Vec<_> = page.entries.iter().map(|entry| &entry.revocation).collect();
    let [raised, cut_off] = entries[..] else {
        panic!("{entries:?}")
    };
    assert_eq!(raised.target, Target::Session(mine.lineage));
    assert_eq!((raised.from, raised.grace_until), (1, None));
    assert_eq!(raised.reason, Reason::PasswordChanged);
    assert_eq!(cut_off.spared, Some(mine.lineage));
    let sessions = store.sessions(alice, START).await.unwrap();
    let lineages: Vec<_> = sessions.iter().map(|session| session.lineage).collect();
    assert_eq!(lineages, [mine.lineage]);
    let user = store.login_user(alice).await.unwrap().unwrap();
    assert_eq!(user.password_hash.as_str(), "first");
}

async fn repeating_a_logout_of_the_others_does_not_grow_the_log(fixture: Fixture) {
    let store = fixture.node("a").await;
    let alice = fixture.add_user(&store, "alice").await;
    let mine = fixture.begin(&store, "alice", START).await.unwrap();
    let others = || UserChange::EndSessions {
        spared: Some(mine.lineage),
        reason: Reason::Logout,
    };
    let end = async || store.change_user(alice, others(), START).await.unwrap();
    assert_eq!([end().await, end().await, end().await], [Some(1); 3]);
    assert_eq!(store.read(0, 9).await.unwrap().entries.len(), 1);
    // A session that began since is ended by another entry.
    let start = store.start_login(&"alice".parse().unwrap()).await.unwrap();
    let after = Timestamp::from_millis(start.first_lineage);
    fixture.begin(&store, "alice", after).await.unwrap();
    assert_eq!(end().await, Some(2));
}

async fn a_hash_is_replaced_only_where_it_was_read(fixture: Fixture) {
    let store = fixture.node("a").await;
    let alice = fixture.add_user(&store, "alice").await;
    let read = store.login_user(alice).await.unwrap().unwrap();
    for (old, new, then) in [("other", "x", "old"), ("old", "better", "better")] {
        store
            .upgrade_hash(alice, &hash(old), &hash(new))
            .await
            .unwrap();
        let user = store.login_user(alice).await.unwrap().unwrap();
        assert_eq!(
            (user.password_hash.as_str(), user.version),
            (then, read.version)
        );
    }
}
