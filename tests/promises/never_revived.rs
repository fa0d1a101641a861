//! Promise 4: nothing makes a revoked or expired token good again.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use waxseal::account::UserChange;
use waxseal::id::{KeyId, UserId};
use waxseal::policy::{MAX_LEEWAY, Timeouts};
use waxseal::revocation::log::{Page, Revoke};
use waxseal::revocation::{Reason, TargetKind, session_revocation_expiry};
use waxseal::time::{Clock, Timestamp};
use waxseal::verifier::Refusal;

use super::common::{START, TestServer, campaign};
use super::token_forge::{Token, TokenForge};

pub const SECOND: Duration = Duration::from_secs(1);
pub const DAY: Duration = Duration::from_secs(24 * 3600);
const IDLE: Duration = Duration::from_secs(15 * 60);

/// A count of revocations above every bound in the code.
///
/// The writer's queue and a row of the log hold 1024, the follower's first page and the list's groups 4096, its large
/// page and the first part of the list's filter 16,384. By night the count is ten times the largest bound.
fn more_than_any_bound() -> usize {
    campaign(17_000, 170_000)
}

pub fn token_forge(server: &TestServer) -> TokenForge {
    TokenForge::new(&server.settings.keys_dir, 11)
}

pub fn ended(token: &Token) -> Revoke {
    let until = session_revocation_expiry(token.claims.session_expiry);
    Revoke::Session(token.lineage(), until)
}

pub async fn revoke(server: &TestServer, what: Revoke) -> i64 {
    let log = server.waxseal.log();
    let written = log.revoke(what, Reason::Operator, server.clock.now()).await;
    server.waxseal.catch_up().await.unwrap();
    written.unwrap()
}

async fn end_sessions(server: &TestServer, user: UserId) {
    let change = UserChange::EndSessions {
        spared: None,
        reason: Reason::Operator,
    };
    server.change_user(user, change).await;
}

/// Steps only the wall clock. The list stays fresh.
pub async fn step(server: &TestServer, to: Timestamp) {
    server.clock.step_to(to);
    server.waxseal.catch_up().await.unwrap();
}

pub async fn log(server: &TestServer) -> Page {
    server.waxseal.log().read(0, u32::MAX).await.unwrap()
}

pub fn check(server: &TestServer, token: &Token) -> Result<(), Refusal> {
    server.waxseal.verifier().verify(&token.text).map(|_| ())
}

pub fn is_revoked(server: &TestServer, token: &Token) {
    let verdict = check(server, token);
    assert!(matches!(verdict, Err(Refusal::Revoked(_))), "{verdict:?}");
}

fn on_two_threads<T: Send>(work: impl Fn() -> T + Sync) -> [T; 2] {
    std::thread::scope(|threads| {
        let other = threads.spawn(&work);
        [work(), other.join().unwrap()]
    })
}

fn all_revoked(server: &TestServer, tokens: &[Token]) {
    let next = AtomicUsize::new(0);
    on_two_threads(|| {
        while let Some(token) = tokens.get(next.fetch_add(1, Ordering::SeqCst)) {
            is_revoked(server, token);
        }
    });
}

/// Asserts that the tokens are refused at every moment until they have surely expired, also after compaction and under
/// the largest leeway that can be configured.
pub async fn dead_to_its_end(server: &TestServer, tokens: &[Token], from: Timestamp) {
    let leeway = server.settings.timeouts.leeway;
    let end = tokens.iter().map(|token| token.claims.session_expiry).max();
    let end = end.unwrap().plus(MAX_LEEWAY * 3);
    let stride = (end.millis() - from.millis()) / 120;
    let mut moments: Vec<_> = (0..120)
        .map(|count| Timestamp::from_millis(from.millis() + count * stride))
        .collect();
    for claims in tokens.iter().map(|token| &token.claims) {
        for end in [claims.expires_at, claims.session_expiry] {
            let around = [0, 1, leeway.as_secs(), 60, 61, 120, 121].map(Duration::from_secs);
            moments.extend(around.map(|by| end.minus(by)));
            moments.extend(around.map(|by| end.plus(by)));
        }
    }
    moments.sort_unstable();
    moments.dedup();
    for now in moments {
        step(server, now).await;
        server.waxseal.compact().await.unwrap();
        for token in tokens {
            let verdict = check(server, token);
            let expected = match &verdict {
                Err(Refusal::Revoked(_)) => true,
                Err(Refusal::Unacceptable(_)) => {
                    now >= token.claims.expires_at.plus(leeway)
                        || now.plus(leeway) < token.claims.issued_at
                }
                _ => false,
            };
            assert!(expected, "at {now}: {verdict:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_revocation_binds_beyond_any_size_bound() {
    let many = more_than_any_bound();
    let server = TestServer::new().await;
    let forge = token_forge(&server);
    let live = forge.session(START);
    let tokens = on_two_threads(|| {
        let half = 0..many / 2;
        half.map(|_| forge.session(START)).collect::<Vec<_>>()
    });
    let tokens = tokens.concat();
    for chunk in tokens.chunks(4096) {
        let mut writes = JoinSet::new();
        for token in chunk {
            let (log, what) = (server.waxseal.log(), ended(token));
            writes.spawn(async move { log.revoke(what, Reason::Logout, START).await.unwrap() });
        }
        writes.join_all().await;
    }
    server.waxseal.catch_up().await.unwrap();
    all_revoked(&server, &tokens);
    assert_eq!(check(&server, &live), Ok(()));
    assert_eq!(server.waxseal.compact().await.unwrap(), 0);

    let server = server.restart(|_| {}).await;
    all_revoked(&server, &tokens);
    assert_eq!(check(&server, &live), Ok(()));

    // Also when all have expired, in more than one compaction.
    let end = tokens[0].claims.session_expiry.plus(MAX_LEEWAY * 2);
    step(&server, end).await;
    assert_eq!(server.waxseal.compact().await.unwrap(), many as u64);
    step(&server, START).await;
    for token in tokens.iter().step_by(50) {
        assert_eq!(
            check(&server, token),
            Err(Refusal::Revoked(TargetKind::Horizon)),
            "dropped while the clock was ahead"
        );
    }
}

#[tokio::test]
async fn at_its_expiry_a_live_token_expires_and_a_revoked_one_stays_revoked() {
    let mut server = TestServer::new().await;
    let forge = token_forge(&server);
    let (live, revoked) = (forge.session(START), forge.session(START));
    revoke(&server, ended(&revoked)).await;
    let (exp, leeway) = (live.claims.expires_at, server.settings.timeouts.leeway);
    assert_eq!(exp, START.plus(IDLE));
    let ms = Duration::from_millis(1);
    let end = exp.plus(leeway);
    let table = [
        (START, true),
        (exp.minus(SECOND), true),
        (exp.minus(ms), true),
        (exp, true),
        (exp.plus(ms), true),
        (exp.plus(SECOND), true),
        (end.minus(SECOND), true),
        (end.minus(ms), true),
        (end, false),
        (end.plus(ms), false),
        (end.plus(SECOND), false),
        (end.plus(DAY), false),
        (end.plus(DAY * 400), false),
    ];
    for (now, good) in table {
        step(&server, now).await;
        assert_eq!(check(&server, &live).is_ok(), good, "live at {now}");
        let verdict = check(&server, &revoked);
        assert!(verdict.is_err(), "revoked at {now}");
        if good {
            assert_eq!(
                verdict,
                Err(Refusal::Revoked(TargetKind::Session)),
                "at {now}"
            );
        }
    }
    // Backwards: what the service saw expire stays dead, also after a restart.
    server.waxseal.compact().await.unwrap();
    for restart in [false, true] {
        if restart {
            server = server.restart(|_| {}).await;
        }
        for (now, _) in table.into_iter().rev() {
            step(&server, now).await;
            assert!(check(&server, &live).is_err(), "live at {now}");
            assert!(check(&server, &revoked).is_err(), "revoked at {now}");
        }
    }
}

/// One session for each way to die.
pub async fn one_dead_of_each_scope(
    server: &TestServer,
    forge: &TokenForge,
    user: UserId,
) -> Vec<Token> {
    let other = UserId::new(START, &forge.random);
    let of = |user| forge.session_under(Timeouts::default(), user, START);
    let (session, token, users, everything) = (of(other), of(other), of(user), of(other));
    revoke(server, ended(&session)).await;
    let until = session_revocation_expiry(token.claims.session_expiry);
    revoke(server, Revoke::Token(token.claims.token_id, until)).await;
    end_sessions(server, user).await;
    revoke(server, Revoke::Everything).await;
    vec![session, token, users, everything]
}

#[tokio::test]
async fn a_clock_that_was_ahead_and_is_set_right_revives_nothing() {
    for restart in [false, true] {
        let mut server = TestServer::new().await;
        let forge = token_forge(&server);
        let alice = server.add_user("alice").await;
        let dead = one_dead_of_each_scope(&server, &forge, alice).await;
        let bystander = forge.session(START.plus(SECOND * 2));
        step(&server, START.plus(DAY * 5)).await;
        assert_eq!(server.waxseal.compact().await.unwrap(), 4);
        if restart {
            server = server.restart(|_| {}).await;
        }
        step(&server, START.plus(SECOND * 3)).await;
        for token in dead.iter().chain([&bystander]) {
            is_revoked(&server, token);
        }
        dead_to_its_end(&server, &dead, START).await;
    }
}

#[tokio::test]
async fn a_revocation_written_by_a_wrong_clock_binds_by_the_right_one() {
    for wrong in [
        START.plus(DAY * 3),
        START.plus(SECOND * 90),
        START.minus(DAY * 3),
        START.minus(SECOND * 90),
    ] {
        for restart in [false, true] {
            let mut server = TestServer::new().await;
            let forge = token_forge(&server);
            let alice = server.add_user("alice").await;
            // A real login, so that the store knows the newest lineage.
            let logged_in = server.login("alice").await;
            let claims = server.waxseal.verifier().verify(&logged_in).unwrap();
            let alices = forge.sign(claims.claims().clone());
            step(&server, wrong).await;
            let mut dead = one_dead_of_each_scope(&server, &forge, alice).await;
            dead.push(alices);
            server.waxseal.compact().await.unwrap();
            if restart {
                server = server.restart(|_| {}).await;
            }
            step(&server, START.plus(SECOND)).await;
            for token in &dead {
                is_revoked(&server, token);
            }
            dead_to_its_end(&server, &dead, START).await;
        }
    }
}

#[tokio::test]
async fn a_token_touched_in_another_tab_dies_with_its_session() {
    let server = TestServer::new().await;
    let forge = token_forge(&server);
    let first = forge.session(START);
    let expiry = first.claims.session_expiry;
    let mut tabs = vec![first];
    let mut now = START;
    while tabs.last().unwrap().claims.expires_at < expiry {
        now = now.plus(Duration::from_secs(600));
        tabs.push(forge.touched(&tabs[0].claims, now));
    }
    assert_eq!(tabs.last().unwrap().claims.expires_at, expiry);
    revoke(&server, ended(&tabs[0])).await;
    dead_to_its_end(&server, &tabs, START).await;
    // By then the entry is dropped. A clock that is set back finds all of them dead.
    assert!(log(&server).await.entries.is_empty());
    let server = server.restart(|_| {}).await;
    dead_to_its_end(&server, &tabs, START).await;
}

#[tokio::test]
async fn other_timeouts_and_another_leeway_revive_nothing() {
    let long = Timeouts {
        absolute: DAY,
        idle: DAY,
        ..Timeouts::default()
    };
    let server = TestServer::with(|settings| settings.timeouts = long).await;
    let forge = token_forge(&server);
    server.add_user("alice").await;
    let token = server.login("alice").await;
    let claims = server.waxseal.verifier().verify(&token).unwrap();
    let (token, live) = (
        forge.sign(claims.claims().clone()),
        forge.session_under(long, forge.user, START),
    );
    let answer = server.post("/logout", Some(&token.text), None).await;
    assert_eq!(answer.status, 204);
    let server = server
        .restart(|settings| {
            settings.timeouts = Timeouts {
                absolute: Duration::from_secs(600),
                leeway: MAX_LEEWAY,
                ..Timeouts::default()
            };
        })
        .await;
    dead_to_its_end(&server, std::slice::from_ref(&token), START).await;
    let server = server.restart(|settings| settings.timeouts = long).await;
    dead_to_its_end(&server, std::slice::from_ref(&token), START).await;
    // At the very end, under the largest leeway.
    let server = server
        .restart(|settings| settings.timeouts.leeway = MAX_LEEWAY)
        .await;
    let last = token.claims.expires_at.plus(MAX_LEEWAY).minus(SECOND);
    step(&server, last).await;
    server.waxseal.compact().await.unwrap();
    is_revoked(&server, &token);
    assert!(check(&server, &live).is_err(), "behind the horizon");
}

#[tokio::test]
async fn a_revoked_key_stays_revoked_after_entries_are_dropped() {
    let server = TestServer::new().await;
    let forge = token_forge(&server);
    let kid: KeyId = forge.key().public().kid().clone();
    revoke(&server, Revoke::Key(kid)).await;
    let later = START.plus(DAY * 365 * 50);
    step(&server, later).await;
    assert_eq!(server.waxseal.compact().await.unwrap(), 0);
    let server = server.restart(|_| {}).await;
    let token = forge.session(later);
    assert_eq!(
        check(&server, &token),
        Err(Refusal::Revoked(TargetKind::Key))
    );
    step(&server, START).await;
    is_revoked(&server, &forge.session(START));
}

/// The store gives the session a lineage that is ahead of the clock, after everything that was dropped.
#[tokio::test]
async fn a_session_begun_after_a_clock_correction_behaves_like_any_other() {
    for restart in [false, true] {
        let mut server = TestServer::new().await;
        let forge = token_forge(&server);
        server.add_user("alice").await;
        step(&server, START.plus(DAY * 3)).await;
        let ahead = server.login("alice").await;
        server.waxseal.compact().await.unwrap();
        if restart {
            server = server.restart(|_| {}).await;
        }
        step(&server, START).await;
        let mut begun = Vec::new();
        for scope in ["this", "all", "others"] {
            let text = server.login("alice").await;
            let verified = server.waxseal.verifier().verify(&text).unwrap();
            let token = forge.sign(verified.claims().clone());
            let body = Some(serde_json::json!({ "scope": scope }));
            let answer = server.post("/logout", Some(&token.text), body).await;
            assert_eq!(answer.status, 204);
            if scope == "others" {
                assert_eq!(check(&server, &token), Ok(()));
                let answer = server.post("/logout", Some(&token.text), None).await;
                assert_eq!(answer.status, 204);
            }
            is_revoked(&server, &token);
            begun.push(token);
        }
        if restart {
            server = server.restart(|_| {}).await;
        }
        dead_to_its_end(&server, &begun, START).await;
        // The clock runs ahead again, and is corrected again.
        step(&server, START.plus(DAY * 10)).await;
        server.waxseal.compact().await.unwrap();
        dead_to_its_end(&server, &begun, START).await;
        for now in [START, START.plus(DAY * 3)] {
            step(&server, now).await;
            assert!(server.waxseal.verifier().verify(&ahead).is_err());
        }
    }
}
