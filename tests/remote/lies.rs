//! A lying feed proves nothing: live tokens are good until the bound, and then the verifier refuses to judge; revoked
//! tokens are never good again; and once the feed is true again, the verifier recovers.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use waxseal::key::SigningKey;
use waxseal::revocation::TargetKind;
use waxseal::revocation::feed::{self, FeedPage};
use waxseal::time::Clock;
use waxseal::token::statement;
use waxseal::verifier::Refusal;

use super::feed_page::digest_of;
use super::liar::{Answers, Liar, raw, resigned, said, sent, strangers_key, with_entries};
use super::service::until;

const SECOND: Duration = Duration::from_secs(1);

type Lie = Box<dyn Fn(FeedPage) -> Response + Send + Sync>;

fn gzipped(size: usize) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    let chunk = vec![b' '; 1 << 20];
    for _ in 0..size >> 20 {
        packed.write_all(&chunk).unwrap();
    }
    packed.finish().unwrap()
}

/// Ten gigabytes in ten megabytes, sent in pieces: one gzip member, repeated.
fn bomb() -> Body {
    let member = Bytes::from(gzipped(64 << 20));
    let members = std::iter::repeat_n(member, 160);
    Body::from_stream(futures_util::stream::iter(
        members.map(Ok::<_, std::convert::Infallible>),
    ))
}

fn endless() -> Body {
    let chunk = Bytes::from_static(&[b' '; 65_536]);
    let chunks = std::iter::repeat(chunk).map(Ok::<_, std::convert::Infallible>);
    Body::from_stream(futures_util::stream::iter(chunks))
}

/// All lies, given the issuer's own key and a page that was true some time ago.
fn lies(key: &Arc<SigningKey>, old: &[u8]) -> Vec<(&'static str, Lie)> {
    let with_key = |change: fn(&mut feed::Statement)| -> Lie {
        let key = Arc::clone(key);
        Box::new(move |page| sent(&resigned(page, &key, change)))
    };
    let old = old.to_vec();
    let forged = {
        let stranger = strangers_key();
        Box::new(move |page| sent(&resigned(page, &stranger, |_| {})))
    };
    let as_token = {
        let key = Arc::clone(key);
        Box::new(move |mut page: FeedPage| {
            let statement = said(&page);
            page.page = statement::sign("at+jwt", &statement, &key).unwrap();
            sent(&page)
        })
    };
    vec![
        ("signed by a stranger", forged),
        ("signed as a token", as_token),
        (
            "changed after it was signed",
            Box::new(|mut page| {
                page.page.insert(page.page.len() - 50, 'A');
                sent(&page)
            }),
        ),
        (
            "a page from before",
            Box::new(move |_| raw(old.clone(), None)),
        ),
        (
            "another nonce",
            with_key(|said| said.nonce = "AAAA".to_owned()),
        ),
        ("another reader's", with_key(|said| said.aud.push('0'))),
        (
            "issuer (iss) does not match",
            with_key(|said| said.iss.push('0')),
        ),
        (
            "a seq that goes back",
            with_key(|said| {
                said.seq -= 1;
                said.after -= 1;
            }),
        ),
        ("more, and nothing of it", with_key(|said| said.more = true)),
        (
            "entries that were not signed",
            Box::new(|page| {
                sent(&with_entries(&page, |entries| {
                    entries.push(json!({"seq": 9, "scope": "everything", "key": "", "from": 1, "reason": "operator", "at": 1}));
                }))
            }),
        ),
        ("an entry of an unknown kind", {
            let key = Arc::clone(key);
            Box::new(move |page: FeedPage| {
                let page = with_entries(&page, |entries| {
                    let unknown = json!({"seq": 9, "scope": "device", "key": "x", "reason": "operator", "at": 1});
                    *entries = vec![unknown];
                });
                let digest = digest_of(&page.entries);
                sent(&resigned(page, &key, |said| said.entries = digest))
            })
        }),
        (
            "half of it",
            Box::new(|page| {
                let whole = serde_json::to_vec(&page).unwrap();
                raw(whole[..whole.len() / 2].to_vec(), None)
            }),
        ),
        ("no JSON", Box::new(|_| raw("<html>", None))),
        (
            "another shape",
            Box::new(|_| raw(r#"{"page":1,"entries":{}}"#, None)),
        ),
        ("nothing", Box::new(|_| raw("", None))),
        (
            "what cannot be unpacked",
            Box::new(|_| raw("not gzip", Some("gzip"))),
        ),
        (
            "a small bomb",
            Box::new(|_| raw(gzipped(64 << 20), Some("gzip"))),
        ),
        (
            "a bomb of ten gigabytes",
            Box::new(|_| raw(bomb(), Some("gzip"))),
        ),
        ("without end", Box::new(|_| raw(endless(), None))),
        ("an hour ahead", with_key(|said| said.now += 3_600_000)),
        ("an hour behind", with_key(|said| said.now -= 3_600_000)),
        ("an age beyond the bound", with_key(|said| said.age = 5_000)),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn false_pages_prove_nothing_and_revive_nothing() {
    let liar = Liar::new().await;
    let dead = liar.server.login("alice").await;
    let live = liar.server.login("alice").await;
    assert!(liar.is_good(&dead) && liar.is_good(&live));
    liar.asked(1).await;
    let old = liar.last_page();
    liar.logout(&dead).await;
    until("it is learned of", async || !liar.is_good(&dead)).await;
    let key = Arc::new(liar.key());
    for (name, lie) in lies(&key, &old) {
        liar.answer(Answers::Truth);
        until(name, async || liar.is_good(&live)).await;
        liar.lie(lie);
        // An earlier question may have got a true answer.
        liar.asked(2).await;
        liar.pass(SECOND * 4).await;
        assert!(liar.is_good(&live), "{name}: within the bound");
        liar.asked(1).await;
        liar.pass(SECOND).await;
        assert!(liar.is_stale(&live), "{name}: it proved something");
        for _ in 0..2 {
            liar.asked(1).await;
            assert!(liar.is_stale(&live), "{name}: it proved something");
            let refusal = liar.verifier.verify(&dead).unwrap_err();
            assert!(matches!(refusal, Refusal::Revoked(_)), "{name}: {refusal}");
        }
    }
    liar.answer(Answers::Truth);
    until("the truth is believed", async || liar.is_good(&live)).await;
    assert!(!liar.is_good(&dead));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_pushes_and_heartbeats_prove_nothing() {
    for push in ["event: head\ndata: {\"seq\":1}\n\n", ":\n\n", "\n"] {
        let liar = Liar::new().await;
        let live = liar.server.login("alice").await;
        until("it listens", async || liar.listeners() > 0).await;
        assert!(liar.is_good(&live));
        liar.answer(Answers::Never);
        liar.pass(SECOND * 4).await;
        liar.ring(push);
        assert!(liar.is_good(&live));
        liar.pass(SECOND).await;
        for _ in 0..20 {
            liar.ring(push);
            liar.pass(SECOND).await;
            assert!(liar.is_stale(&live), "{push:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_makes_it_ask_at_once() {
    let liar = Liar::new().await;
    until("it listens", async || liar.listeners() > 0).await;
    let token = liar.server.login("alice").await;
    assert!(liar.is_good(&token));
    liar.logout(&token).await;
    liar.ring("event: head\ndata: {}\n\n");
    until("it has asked", async || !liar.is_good(&token)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_an_hour_off_is_not_ready() {
    for (name, step) in [("ahead", 3600), ("behind", -3600), ("just too far", 6)] {
        let liar = Liar::new().await;
        let token = liar.server.login("alice").await;
        assert!(liar.is_good(&token));
        let now = liar.here.now().millis();
        liar.here
            .step_to(waxseal::time::Timestamp::from_millis(now + step * 1000));
        liar.asked(2).await;
        liar.here.advance(SECOND * 5);
        assert!(!liar.verifier.is_fresh(), "{name}");
        assert!(!liar.is_good(&token), "{name}");
    }
    let liar = Liar::new().await;
    let token = liar.server.login("alice").await;
    let now = liar.here.now().millis();
    liar.here
        .step_to(waxseal::time::Timestamp::from_millis(now + 4000));
    liar.asked(2).await;
    assert!(liar.is_good(&token), "within the leeway");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expired_tokens_stay_refused_when_the_clocks_are_set_back_without_a_verification() {
    let minute = SECOND * 60;
    let liar = Liar::with(|settings| {
        settings.timeouts.idle = minute;
        settings.timeouts.touch_interval = SECOND;
        settings.timeouts.renewal_grace = SECOND;
    })
    .await;
    let token = liar.server.login("alice").await;
    assert!(liar.is_good(&token));
    for _ in 0..20 {
        liar.pass(SECOND * 4).await;
    }
    liar.asked(2).await;
    assert!(liar.verifier.is_fresh());
    for clock in [&liar.server.clock, &liar.here] {
        clock.step_to(clock.now().minus(minute));
    }
    liar.server.waxseal.catch_up().await.unwrap();
    liar.asked(2).await;
    assert!(liar.verifier.is_fresh());
    let refusal = liar.verifier.verify(&token).unwrap_err();
    assert_eq!(refusal, Refusal::Revoked(TargetKind::Horizon));
    let after = liar.server.login("alice").await;
    until("a new session is good", async || liar.is_good(&after)).await;
}
