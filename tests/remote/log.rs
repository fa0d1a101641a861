//! The log behind the feed: long, compacted, restored from an older copy, altered.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Row};
use waxseal::Verifier;
use waxseal::id::{ClientId, TokenId};
use waxseal::policy::MAX_LEEWAY;
use waxseal::random::OsRandom;
use waxseal::revocation::feed::{BadPage, FeedPage, FeedPosition, FeedReading, PAGE, Question};
use waxseal::revocation::log::Revoke;
use waxseal::revocation::{ALL, Reason, Revocation, Target};
use waxseal::time::{Clock, ManualClock, Timestamp};
use waxseal::verifier::Refusal;

use super::common::{ISSUER, Place, Server, program};
use super::liar::{Answers, Liar, resigned, said, sent, with_entries};
use super::service::{Client, http, ready, start, status, until};
use super::settings::another_client;
use super::wire::Wire;

const SECOND: Duration = Duration::from_secs(1);

/// Writes `many` revocations, each of a token with that `lifetime`.
async fn fill(liar: &Liar, many: u32, lifetime: Duration) {
    let (log, at) = (liar.server.waxseal.log(), liar.server.clock.now());
    let random = OsRandom::new();
    let writes = (0..many).map(|_| {
        let token = TokenId::new(at, &random);
        log.revoke(Revoke::Token(token, at.plus(lifetime)), Reason::Client, at)
    });
    for written in join_all(writes).await {
        written.unwrap();
    }
    liar.server.waxseal.catch_up().await.unwrap();
}

/// Returns the statement of a page, unverified, and the number of its entries.
async fn page(liar: &Liar, after: FeedPosition) -> (waxseal::revocation::feed::Statement, usize) {
    let page = whole_page(liar, liar.client, after).await;
    (said(&page), page.entries.len())
}

async fn whole_page(liar: &Liar, client: ClientId, after: FeedPosition) -> FeedPage {
    let issuer = liar.server.waxseal.issuer();
    let page = issuer.feed_page(client, after, "n", false).await.unwrap();
    serde_json::from_slice(&page.bytes).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_log_comes_page_by_page_and_a_place_that_is_gone_gets_a_snapshot() {
    let liar = Liar::new().await;
    let token = liar.server.login("alice").await;
    let full = i64::from(PAGE);
    // What stays lies before what is dropped, and fills more than a page.
    fill(&liar, PAGE + 1000, SECOND * 3600).await;
    fill(&liar, 10, SECOND * 10).await;
    fill(&liar, 500, SECOND * 3600).await;
    liar.pass(SECOND * 4).await;
    liar.asked(2).await;
    assert!(liar.is_good(&token));
    let (first, entries) = page(&liar, FeedPosition::Snapshot(0)).await;
    assert_eq!(
        (entries, first.seq, first.more),
        (PAGE as usize, full, true)
    );

    liar.pass(MAX_LEEWAY * 2 + SECOND * 10).await;
    liar.server.waxseal.compact().await.unwrap();
    let head = liar.server.waxseal.log().read(0, 0).await.unwrap().head;
    assert_eq!(head.compacted, full + 1010);
    // Within the dropped part a delta cannot tell what was there.
    let (again, _) = page(&liar, FeedPosition::Delta(full)).await;
    assert_eq!((again.snapshot, again.after), (true, 0));
    // Within a snapshot it continues; otherwise the snapshot of a long log would never end.
    let (second, entries) = page(&liar, FeedPosition::Snapshot(full)).await;
    assert_eq!(
        (second.snapshot, second.after, second.more),
        (true, full, false)
    );
    assert_eq!((entries, second.seq), (1500, head.cursor.seq));
    let (none, entries) = page(&liar, FeedPosition::Delta(head.cursor.seq)).await;
    assert_eq!((none.snapshot, none.more, entries), (false, false, 0));
    let (ahead, _) = page(&liar, FeedPosition::Delta(head.cursor.seq + 1)).await;
    assert_eq!(
        (ahead.snapshot, ahead.after),
        (true, 0),
        "a log that went back"
    );

    // A verifier that starts now, and one that has followed all along.
    let late = another(&liar, "late").await;
    for verifier in [&late, &liar.verifier] {
        until("it reads the whole log", async || {
            verifier.verify(&token).is_ok()
        })
        .await;
    }
    liar.logout(&token).await;
    for verifier in [&late, &liar.verifier] {
        until("it follows", async || verifier.verify(&token).is_err()).await;
    }
}

/// A second verifier, which starts now.
async fn another(liar: &Liar, name: &str) -> Arc<Verifier> {
    let (reader, secret) = another_client(liar, name).await;
    Verifier::remote(ISSUER, &reader, secret)
        .at(liar.url())
        .clock(Arc::clone(&liar.here) as _)
        .start()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_lacks_an_entry_proves_nothing() {
    let liar = Liar::new().await;
    let (dead, live) = (
        liar.server.login("alice").await,
        liar.server.login("alice").await,
    );
    liar.logout(&dead).await;
    liar.lie(|page| sent(&with_entries(&page, Vec::clear)));
    let late = another(&liar, "late").await;
    liar.asked(6).await;
    assert_eq!(late.verify(&dead), Err(Refusal::Stale));
    assert_eq!(late.verify(&live), Err(Refusal::Stale));
    liar.answer(Answers::Truth);
    until("the truth is believed", async || late.verify(&live).is_ok()).await;
    assert!(matches!(late.verify(&dead), Err(Refusal::Revoked(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_replaced_between_two_pages_of_a_snapshot_is_begun_again() {
    let liar = Liar::new().await;
    fill(&liar, PAGE + 1000, SECOND * 3600).await;
    let other = Liar::new().await;
    let dead = other.server.login("alice").await;
    // In the other log, the revocation is in the part that the reader believes to have read.
    other.logout(&dead).await;
    fill(&other, PAGE + 500, SECOND * 3600).await;

    let mut reading = FeedReading::default();
    let mut take = async |from: &Liar| {
        let page = whole_page(from, liar.client, reading.next()).await;
        let question = Question {
            issuer: ISSUER,
            client: liar.client,
            nonce: "n",
        };
        let taken = reading.take(&question, &said(&page), &page.entries);
        taken.map(|brought| (brought.revocations.len(), brought.complete))
    };
    let full = i64::from(PAGE);
    assert_eq!(take(&liar).await.unwrap(), (PAGE as usize, false));
    assert_eq!(take(&other).await.unwrap_err(), BadPage::OtherLog(full));
    assert_eq!(take(&other).await.unwrap(), (PAGE as usize, false));
    assert_eq!(take(&other).await.unwrap(), (501, true));
}

#[tokio::test]
async fn a_page_that_promises_more_and_has_nothing_is_refused() {
    let liar = Liar::new().await;
    let page = whole_page(&liar, liar.client, FeedReading::default().next()).await;
    let mut statement = said(&page);
    statement.more = true;
    let question = Question {
        issuer: ISSUER,
        client: liar.client,
        nonce: "n",
    };
    let taken = FeedReading::default().take(&question, &statement, &page.entries);
    assert_eq!(taken.unwrap_err(), BadPage::NoProgress);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_whose_clock_was_ahead_and_is_set_back_has_its_new_sessions_accepted() {
    let liar = Liar::new().await;
    let start = liar.server.clock.now();
    let step = async |clock: &ManualClock, now| {
        clock.step_to(now);
        liar.server.waxseal.catch_up().await.unwrap();
    };
    step(&liar.server.clock, start.plus(SECOND * 3600)).await;
    let ahead = liar.server.login("alice").await;
    step(&liar.server.clock, start).await;
    let token = liar.server.login("alice").await;
    assert_eq!(liar.server.verify(&token).await, 200);
    liar.asked(2).await;
    liar.pass(SECOND).await;
    until("a new session is good", async || liar.is_good(&token)).await;
    for _ in 0..3 {
        liar.asked(1).await;
        assert!(liar.is_good(&token));
    }
    assert!(!liar.is_good(&ahead), "it is from the future");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_hash_means_another_log_and_earlier_revocations_still_bind() {
    let liar = Liar::new().await;
    let (dead, live) = (
        liar.server.login("alice").await,
        liar.server.login("alice").await,
    );
    liar.logout(&dead).await;
    until("it is learned of", async || !liar.is_good(&dead)).await;
    let key = std::sync::Arc::new(liar.key());
    // An issuer that has lost everything, and has the same `seq` with another history.
    liar.lie(move |page| {
        let empty = with_entries(&page, Vec::clear);
        sent(&resigned(empty, &key, |said| {
            said.hash = waxseal::encoding::base64url::encode(&[7; 32]);
            said.entries =
                waxseal::encoding::base64url::encode(&waxseal::revocation::feed::digest([]));
            said.more = false;
        }))
    });
    liar.asked(3).await;
    liar.pass(SECOND * 4).await;
    liar.asked(3).await;
    liar.pass(SECOND * 4).await;
    assert!(liar.is_good(&live), "the other log is followed");
    assert!(!liar.is_good(&dead), "and nothing is forgotten");
    liar.answer(Answers::Truth);
    liar.asked(3).await;
    liar.logout(&live).await;
    until("the true one is followed again", async || {
        !liar.is_good(&live)
    })
    .await;
}

fn serve(place: &Place) -> Server {
    let mut command = program();
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--issuer", ISSUER])
        .current_dir(place.path());
    Server::start(command)
}

/// Replaces one folder of the place with a copy of another.
fn copy(place: &Place, folders: [&str; 2]) {
    let done = std::process::Command::new("sh")
        .args(["-c", r#"rm -rf "$2" && cp -a "$1" "$2""#, "sh"])
        .args(folders)
        .current_dir(place.path())
        .status();
    assert!(done.unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_database_that_has_grown_past_the_cursor_again_is_noticed() {
    let place = Place::new();
    place.add_user("alice");
    let reader = Client::reader(&place, "orders");
    let mut issuer = serve(&place);
    let http = http();
    // The restored issuer gets another port; the wire leads to it.
    let wire = Wire::to(&issuer.url).await;
    let service = start(&wire.url, &reader);
    ready(&http, &service).await;
    let early = issuer.login(&http, "alice").await;
    assert!(issuer.terminate().success());
    // The mark is restored with the database, so the issuer itself cannot notice.
    for folders in [["data", "older data"], ["mark", "older mark"]] {
        copy(&place, folders);
    }

    issuer = serve(&place);
    wire.lead_to(&issuer.url);
    let lost = issuer.login(&http, "alice").await;
    assert_eq!(issuer.logout(&http, &lost).await.unwrap(), 204);
    let learned = async || status(&http, &service, &lost).await == 401;
    until("it is learned of", learned).await;

    assert!(issuer.terminate().success());
    for folders in [["older data", "data"], ["older mark", "mark"]] {
        copy(&place, folders);
    }
    issuer = serve(&place);
    for _ in 0..5 {
        let other = issuer.login(&http, "alice").await;
        assert_eq!(issuer.logout(&http, &other).await.unwrap(), 204);
    }
    wire.lead_to(&issuer.url);
    let live = issuer.login(&http, "alice").await;
    until("the restored log is followed", async || {
        status(&http, &service, &live).await == 200
    })
    .await;
    assert_eq!(
        status(&http, &service, &lost).await,
        401,
        "what was learned binds"
    );
    until("it says so", async || {
        service.log().contains("the revocation log was replaced")
    })
    .await;
    assert_eq!(issuer.logout(&http, &early).await.unwrap(), 204);
    let followed = async || status(&http, &service, &early).await == 401;
    until("it goes on", followed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verifier_keeps_what_it_had_learned_when_an_operator_takes_an_older_copy_on() {
    let place = Place::new();
    place.add_user("alice");
    let reader = Client::reader(&place, "orders");
    let mut issuer = serve(&place);
    let http = http();
    let wire = Wire::to(&issuer.url).await;
    let service = start(&wire.url, &reader);
    ready(&http, &service).await;
    assert!(issuer.terminate().success());
    copy(&place, ["data", "older data"]);

    issuer = serve(&place);
    wire.lead_to(&issuer.url);
    let (lost, live) = (
        issuer.login(&http, "alice").await,
        issuer.login(&http, "alice").await,
    );
    assert_eq!(issuer.logout(&http, &lost).await.unwrap(), 204);
    let refused = async |token: &str| status(&http, &service, token).await == 401;
    until("the logout is learned of", async || refused(&lost).await).await;
    until("it goes on", async || {
        status(&http, &service, &live).await == 200
    })
    .await;
    assert!(issuer.terminate().success());
    copy(&place, ["older data", "data"]);
    place.ok(&["restored"], "");
    issuer = serve(&place);
    wire.lead_to(&issuer.url);
    let new = issuer.login(&http, "alice").await;
    until("the new log is followed", async || {
        assert!(
            [401, 503].contains(&status(&http, &service, &lost).await),
            "what was learned binds"
        );
        status(&http, &service, &new).await == 200
    })
    .await;
    until("what was live is over too", async || refused(&live).await).await;
    assert!(refused(&lost).await);
    until("it says so", async || {
        service.log().contains("the revocation log was replaced")
    })
    .await;
}

/// Appends an entry of an unknown ignorable kind to the log, as a later version at the same database would.
pub async fn append_ignorable(place: &Place) {
    let file = place.path().join("data/waxseal.db");
    let options = SqliteConnectOptions::new().filename(file);
    let mut db = options.connect().await.unwrap();
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut db)
        .await
        .unwrap();
    let head = sqlx::query("SELECT seq, hash FROM head");
    let head = head.fetch_one(&mut db).await.unwrap();
    let before: Vec<u8> = head.get(1);
    let entry = Revocation {
        seq: head.get::<i64, _>(0) + 1,
        target: Target::from_log("ignorable:note", "for_a_later_version").unwrap(),
        from: ALL,
        grace_until: None,
        spared: None,
        expires_at: Timestamp::NEVER,
        reason: "a_later_reason".parse().unwrap(),
        at: Timestamp::from_secs(1_800_000_000),
    };
    let hash = entry.chain(&before.try_into().unwrap()).to_vec();
    let insert = r#"INSERT INTO revocation (seq, scope, key, "from", expires_at, reason, at, hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"#;
    let insert = sqlx::query(insert).bind(entry.seq);
    let insert = insert.bind(entry.target.scope()).bind(entry.target.key());
    let insert = insert.bind(entry.from).bind(entry.expires_at.millis());
    let insert = insert.bind(entry.reason.word()).bind(entry.at.millis());
    insert.bind(&hash).execute(&mut db).await.unwrap();
    let head = sqlx::query("UPDATE head SET seq = $1, hash = $2");
    let head = head.bind(entry.seq).bind(&hash);
    head.execute(&mut db).await.unwrap();
    sqlx::query("COMMIT").execute(&mut db).await.unwrap();
    db.close().await.unwrap();
}
