//! Keys that were made while the clock was ahead: after the correction they begin in the future.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::json;
use waxseal::key::Format;
use waxseal::store::key_folder;
use waxseal::time::{Clock, Timestamp};

use super::common::{House, PASSWORD, START};

const HOUR: Duration = Duration::from_secs(3600);

async fn house() -> House {
    let house = House::with(|settings| settings.accepts = Format::ALL.to_vec()).await;
    house.add_user("alice").await;
    house
}

async fn login(house: &House) -> StatusCode {
    let body = json!({ "username": "alice", "password": PASSWORD });
    house.post("/login", None, Some(body)).await.status
}

async fn readyz(house: &House) -> (StatusCode, String) {
    let request = Request::get("/readyz").body(Body::empty()).unwrap();
    let answer = house.send(request).await;
    (answer.status, String::from_utf8(answer.body).unwrap())
}

fn published(house: &House) -> Vec<Timestamp> {
    let keyring = key_folder::keyring(&house.settings.keys_dir).unwrap();
    let plan = keyring.plan().iter();
    plan.map(|key| key.times.published).collect()
}

#[tokio::test]
async fn keys_that_signed_nothing_are_dated_anew_when_the_clock_is_set_right() {
    for ahead in [2 * HOUR, 365 * 24 * HOUR] {
        for restarted in [false, true] {
            let house = house().await;
            let right = START.minus(ahead);
            house.clock.step_to(right);
            let house = if restarted {
                house.restart(|_| {}).await
            } else {
                house.pass(Duration::ZERO).await;
                house.waxseal.keep_signing().await;
                house
            };
            assert_eq!(login(&house).await, StatusCode::OK, "{ahead:?} {restarted}");
            assert_eq!(readyz(&house).await.0, StatusCode::OK);
            let published = published(&house);
            assert_eq!(published.len(), 4, "a key and a successor for each format");
            assert!(published.iter().all(|at| *at <= house.clock.now()));
        }
    }
}

#[tokio::test]
async fn keys_that_signed_are_left_alone_and_the_service_says_that_none_signs() {
    for restarted in [false, true] {
        let house = house().await;
        assert_eq!(login(&house).await, StatusCode::OK);
        let dates = published(&house);
        house.clock.step_to(START.minus(2 * HOUR));
        let house = if restarted {
            house.restart(|_| {}).await
        } else {
            house.pass(Duration::ZERO).await;
            house.waxseal.keep_signing().await;
            house
        };
        assert_eq!(login(&house).await, StatusCode::SERVICE_UNAVAILABLE);
        let (status, body) = readyz(&house).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.contains("No key signs yet"), "{body}");
        let why = house.waxseal.issuer().not_yet().unwrap().to_string();
        assert!(why.contains("set it right"), "{why}");
        assert_eq!(published(&house), dates);

        house.pass(2 * HOUR).await;
        assert_eq!(login(&house).await, StatusCode::OK);
        assert_eq!(readyz(&house).await.0, StatusCode::OK);
    }
}
