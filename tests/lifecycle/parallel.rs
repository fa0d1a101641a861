//! Many concurrent renewals of one session.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::Barrier;

use crate::fixture::Carrier::{Bearer, Cookie};
use crate::fixture::Event::{self, Renew, Verify, Visit};
use crate::fixture::Verdict::{Good, Refused, Renewed};
use crate::fixture::{Fixture, State};

const AT_ONCE: usize = 50;

/// Sends `event` from all clients at the same moment, with the tokens in rotation.
async fn at_once(fixture: &Arc<Fixture>, event: Event, tokens: &[String]) -> Vec<String> {
    let start = Arc::new(Barrier::new(AT_ONCE));
    let clients: Vec<_> = (0..AT_ONCE)
        .map(|client| {
            let (fixture, start) = (Arc::clone(fixture), Arc::clone(&start));
            let token = tokens[client % tokens.len()].clone();
            tokio::spawn(async move {
                start.wait().await;
                fixture.take(event, &token).await
            })
        })
        .collect();
    let mut given = Vec::new();
    for client in clients {
        let (verdict, new) = client.await.unwrap();
        assert!(matches!(verdict, Renewed(_)), "{event:?}: {verdict:?}");
        given.push((verdict, new.unwrap()));
    }
    assert!(given.iter().all(|(verdict, _)| *verdict == given[0].0));
    given.into_iter().map(|(_, token)| token).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_renewals_at_once_are_one() {
    for event in [Visit, Renew(Cookie), Renew(Bearer)] {
        for fixture in Fixture::of_each_format().await.map(Arc::new) {
            let first = fixture.login().await;
            fixture.until(800).await;
            let touched = fixture.take(Visit, &first).await.1.unwrap();
            fixture.until(1600).await;
            // Two copies of one session ID, as two tabs have them.
            let copies = [
                fixture.take(Visit, &touched).await.1.unwrap(),
                fixture.take(Renew(Bearer), &touched).await.1.unwrap(),
            ];
            fixture.until(1800).await;
            let given = at_once(&fixture, event, &copies).await;
            assert_eq!(fixture.log().await, ["renewed"]);
            let sids: BTreeSet<_> = given
                .iter()
                .map(|token| fixture.claims(token).session_id.to_string())
                .collect();
            let lineage = fixture.claims(&given[0]).session_id.lineage;
            assert_eq!(Vec::from_iter(sids), [format!("{lineage}.1")]);
            for token in &given {
                assert_eq!(
                    fixture.state(&fixture.claims(token)),
                    State(1, 2700, 3600, 7200)
                );
            }
            fixture.until(1830).await;
            for old in &copies {
                assert_eq!(fixture.take(Verify, old).await.0, Refused);
            }
            for token in &given {
                assert_eq!(fixture.take(Verify, token).await.0, Good);
                assert!(fixture.take(Visit, token).await.0.is_good());
            }
            assert_eq!(fixture.log().await, ["renewed"]);
            // A second round, with the tokens from the first.
            fixture.until(2600).await;
            let mut touched = Vec::new();
            for token in &given[..5] {
                touched.push(fixture.take(Visit, token).await.1.unwrap());
            }
            for token in &mut touched {
                fixture.until(3400).await;
                *token = fixture.take(Visit, token).await.1.unwrap();
            }
            fixture.until(3600).await;
            let given = at_once(&fixture, event, &touched).await;
            assert_eq!(fixture.log().await, ["renewed", "renewed"]);
            fixture.until(3630).await;
            for token in &given {
                assert_eq!(fixture.take(Verify, token).await.0, Good);
            }
        }
    }
}

/// Concurrent late requests with the old session ID end the session and get nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_thefts_at_once_end_one_session() {
    for event in [Visit, Renew(Cookie), Renew(Bearer)] {
        for fixture in Fixture::of_each_format().await.map(Arc::new) {
            let other = fixture.login().await;
            let old = fixture.login().await;
            fixture.until(800).await;
            let old = fixture.take(Visit, &old).await.1.unwrap();
            let other = fixture.take(Visit, &other).await.1.unwrap();
            fixture.until(1600).await;
            let old = fixture.take(Visit, &old).await.1.unwrap();
            let other = fixture.take(Visit, &other).await.1.unwrap();
            fixture.until(1800).await;
            let new = fixture.take(Visit, &old).await.1.unwrap();
            fixture.until(1830).await;
            let clients: Vec<_> = (0..AT_ONCE)
                .map(|_| {
                    let (fixture, old) = (Arc::clone(&fixture), old.clone());
                    tokio::spawn(async move { fixture.take(event, &old).await })
                })
                .collect();
            for client in clients {
                let (verdict, given) = client.await.unwrap();
                assert!(!verdict.is_good() && given.is_none(), "{verdict:?}");
            }
            let log = fixture.log().await;
            assert_eq!(log[0], "renewed");
            assert!(log.len() > 1 && log[1..].iter().all(|reason| *reason == "reused"));
            assert_eq!(fixture.take(Verify, &new).await.0, Refused);
            assert_eq!(fixture.take(Verify, &other).await.0, Good);
        }
    }
}
