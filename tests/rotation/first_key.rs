//! Keys that were made while the clock was ahead: after the correction they begin in the future.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::json;
use waxseal::key::Format;
use waxseal::store::key_folder;
use waxseal::time::{Clock, Timestamp};

use super::common::{PASSWORD, START, TestServer};

const HOUR: Duration = Duration::from_secs(3600);

async fn server() -> TestServer {
    let server = TestServer::with(|settings| settings.accepts = Format::ALL.to_vec()).await;
    server.add_user("alice").await;
    server
}

async fn login(server: &TestServer) -> StatusCode {
    let body = json!({ "username": "alice", "password": PASSWORD });
    server.post("/login", None, Some(body)).await.status
}

async fn readyz(server: &TestServer) -> (StatusCode, String) {
    let request = Request::get("/readyz").body(Body::empty()).unwrap();
    let answer = server.send(request).await;
    (answer.status, String::from_utf8(answer.body).unwrap())
}

fn published(server: &TestServer) -> Vec<Timestamp> {
    let keyring = key_folder::keyring(&server.settings.keys_dir).unwrap();
    let plan = keyring.plan().iter();
    plan.map(|key| key.times.published).collect()
}

#[tokio::test]
async fn unused_keys_get_new_times_when_the_clock_is_corrected() {
    for ahead in [2 * HOUR, 365 * 24 * HOUR] {
        for restarted in [false, true] {
            let server = server().await;
            let right = START.minus(ahead);
            server.clock.step_to(right);
            let server = if restarted {
                server.restart(|_| {}).await
            } else {
                server.pass(Duration::ZERO).await;
                server.waxseal.keep_signing().await;
                server
            };
            assert_eq!(
                login(&server).await,
                StatusCode::OK,
                "{ahead:?} {restarted}"
            );
            assert_eq!(readyz(&server).await.0, StatusCode::OK);
            let published = published(&server);
            assert_eq!(published.len(), 4, "a key and a successor for each format");
            assert!(published.iter().all(|at| *at <= server.clock.now()));
        }
    }
}

#[tokio::test]
async fn used_keys_keep_their_times_and_the_service_says_that_none_signs() {
    for restarted in [false, true] {
        let server = server().await;
        assert_eq!(login(&server).await, StatusCode::OK);
        let dates = published(&server);
        server.clock.step_to(START.minus(2 * HOUR));
        let server = if restarted {
            server.restart(|_| {}).await
        } else {
            server.pass(Duration::ZERO).await;
            server.waxseal.keep_signing().await;
            server
        };
        assert_eq!(login(&server).await, StatusCode::SERVICE_UNAVAILABLE);
        let (status, body) = readyz(&server).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.contains("No key signs yet"), "{body}");
        let why = server.waxseal.issuer().not_yet().unwrap().to_string();
        assert!(why.contains("set it right"), "{why}");
        assert_eq!(published(&server), dates);

        server.pass(2 * HOUR).await;
        assert_eq!(login(&server).await, StatusCode::OK);
        assert_eq!(readyz(&server).await.0, StatusCode::OK);
    }
}
