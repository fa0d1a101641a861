//! Promise 4, when expired revocations are dropped: what they ended stays ended, and live sessions stay alive.

use std::time::Duration;

use waxseal::policy::{MAX_LEEWAY, Timeouts};
use waxseal::revocation::{Reason, Target, TargetKind};
use waxseal::time::{Clock, Timestamp};
use waxseal::verifier::Refusal;

use super::common::{START, TestServer};
use super::never_revived::{
    DAY, SECOND, check, dead_to_its_end, ended, is_revoked, log, one_dead_of_each_scope, revoke,
    step, token_forge,
};

#[tokio::test]
async fn compaction_drops_expired_entries_and_keeps_live_ones() {
    let server = TestServer::new().await;
    let forge = token_forge(&server);
    let short = Timeouts {
        absolute: Duration::from_secs(600),
        ..Timeouts::default()
    };
    // Both kinds alternate, so that dropped entries lie between those that stay.
    let (mut brief, mut long) = (Vec::new(), Vec::new());
    for _ in 0..700 {
        brief.push(forge.session_under(short, forge.user, START));
        long.push(forge.session(START));
    }
    for (brief, long) in brief.iter().zip(&long) {
        let (log, at) = (server.waxseal.log(), server.clock.now());
        log.revoke(ended(brief), Reason::Logout, at).await.unwrap();
        log.revoke(ended(long), Reason::Logout, at).await.unwrap();
    }
    server.waxseal.catch_up().await.unwrap();
    let head = log(&server).await.head;
    assert_eq!(head.cursor.seq, 1400);

    let brief_end = brief[0].claims.session_expiry;
    step(&server, brief_end.plus(MAX_LEEWAY * 2).minus(SECOND)).await;
    assert_eq!(
        server.waxseal.compact().await.unwrap(),
        0,
        "the largest leeway passes twice"
    );
    step(&server, brief_end.plus(MAX_LEEWAY * 2)).await;
    assert_eq!(server.waxseal.compact().await.unwrap(), 700);
    assert_eq!(server.waxseal.compact().await.unwrap(), 0);
    let page = log(&server).await;
    assert_eq!(page.head.cursor, head.cursor);
    assert!(page.head.horizon >= brief_end.plus(MAX_LEEWAY));
    let kept: Vec<_> = page.entries.iter().map(|entry| &entry.revocation).collect();
    assert!(
        kept.iter()
            .map(|fact| fact.target.clone())
            .eq(long.iter().map(|token| Target::Session(token.lineage())))
    );

    let server = server.restart(|_| {}).await;
    assert_eq!(log(&server).await.head, page.head);
    for now in [brief_end.plus(MAX_LEEWAY * 2), START] {
        step(&server, now).await;
        for token in brief.iter().chain(&long) {
            assert!(check(&server, token).is_err(), "at {now}");
        }
        is_revoked(&server, &long[0]);
    }
}

#[tokio::test]
async fn seq_and_horizon_never_decrease_when_the_log_is_emptied() {
    let mut server = TestServer::new().await;
    let forge = token_forge(&server);
    let (mut seq, mut horizon, mut gone) = (0, Timestamp::EPOCH, Vec::new());
    for round in 1..=3 {
        let token = forge.session(server.clock.now());
        let written = revoke(&server, ended(&token)).await;
        assert_eq!(written, seq + 1);
        seq = written;
        server
            .pass(Duration::from_secs(2 * 3600) + MAX_LEEWAY * 2)
            .await;
        assert_eq!(server.waxseal.compact().await.unwrap(), 1);
        gone.push(token);
        if round != 2 {
            server = server.restart(|_| {}).await;
        }
        let page = log(&server).await;
        assert!(page.entries.is_empty());
        assert_eq!((page.head.cursor.seq, page.head.compacted), (seq, seq));
        assert!(page.head.horizon > horizon);
        horizon = page.head.horizon;
        let now = server.clock.now();
        for token in &gone {
            step(&server, token.claims.issued_at).await;
            assert_eq!(
                check(&server, token),
                Err(Refusal::Revoked(TargetKind::Horizon))
            );
        }
        step(&server, now).await;
        let live = forge.session(now);
        assert_eq!(check(&server, &live), Ok(()), "the horizon ends no new one");
    }
}

/// The steps of a compaction, and a crash after each: the log is compacted, the list learns of it, the list drops its
/// entries.
#[tokio::test]
async fn a_crash_in_the_middle_of_a_compaction_revives_nothing() {
    for steps in 0..4 {
        let server = TestServer::new().await;
        let forge = token_forge(&server);
        let alice = server.add_user("alice").await;
        let mut dead = one_dead_of_each_scope(&server, &forge, alice).await;
        let late = forge.session(START.plus(DAY));
        revoke(&server, ended(&late)).await;
        dead.push(late);
        let ahead = START.plus(Duration::from_secs(3 * 3600));
        step(&server, ahead).await;
        if steps >= 1 {
            server.waxseal.log().compact(ahead).await.unwrap();
        }
        if steps >= 2 {
            server.waxseal.catch_up().await.unwrap();
        }
        if steps >= 3 {
            server.waxseal.compact().await.unwrap();
        }
        step(&server, START).await;
        let before: Vec<_> = dead.iter().map(|token| check(&server, token)).collect();
        let server = server.restart(|_| {}).await;
        step(&server, START).await;
        let after: Vec<_> = dead.iter().map(|token| check(&server, token)).collect();
        for (token, verdicts) in dead.iter().zip(before.iter().zip(&after)) {
            let early = START.plus(Duration::from_secs(5)) < token.claims.issued_at;
            assert_eq!(verdicts.0.is_err(), verdicts.1.is_err());
            assert!(verdicts.1.is_err());
            if !early {
                is_revoked(&server, token);
            }
        }
        dead_to_its_end(&server, &dead, START).await;
    }
}

#[tokio::test]
async fn a_log_with_more_than_a_page_before_what_was_dropped_is_replayed() {
    let server = TestServer::new().await;
    let forge = token_forge(&server);
    let (log, at) = (server.waxseal.log(), server.clock.now());
    let token = |n: u64| waxseal::id::TokenId::new(at, &waxseal::random::SeededRandom::new(n));
    let long = (0..5000).map(|n| (token(n), at.plus(DAY)));
    let brief = [(token(5000), at.plus(SECOND)), (token(5001), at.plus(DAY))];
    for (token, expires_at) in long.chain(brief) {
        let what = waxseal::revocation::log::Revoke::Token(token, expires_at);
        log.revoke(what, Reason::Client, at).await.unwrap();
    }
    let dead = forge.session(START);
    log.revoke(ended(&dead), Reason::Logout, at).await.unwrap();
    step(&server, at.plus(MAX_LEEWAY * 2)).await;
    assert_eq!(server.waxseal.compact().await.unwrap(), 1);
    let head = self::log(&server).await.head;
    assert_eq!((head.compacted, head.cursor.seq), (5001, 5003));

    let opened = tokio::time::timeout(Duration::from_secs(60), server.restart(|_| {}));
    let server = opened.await.expect("the log is replayed, and not for ever");
    is_revoked(&server, &dead);
}
