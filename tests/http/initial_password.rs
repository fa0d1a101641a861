//! An initial password: valid for one hour or until it is changed, and dead for good afterwards.

use std::time::Duration;

use serde_json::{Value, json};
use waxseal::account::UserChange;
use waxseal::account::password::{Hasher, Password};
use waxseal::random::SeededRandom;
use waxseal::time::{Clock, Timestamp};

use super::browser::{credentials, from_own_page, login};
use super::common::{Answer, CHEAP, House, PASSWORD, START};
use super::password::{NEW, change, new_token};

const MEMBER: &str = "password_change_required_by";
const HOUR: Duration = Duration::from_secs(3600);
const MILLISECOND: Duration = Duration::from_millis(1);

/// A service whose first user has the initial password [`PASSWORD`], and bob, who has a password of his own.
async fn of_admin() -> House {
    let house = House::new().await;
    let added = house.waxseal.add_with_initial_password("admin", PASSWORD);
    let admin = added.await.unwrap();
    assert_eq!(admin.password_change_required_by, Some(START.plus(HOUR)));
    house.add_user("bob").await;
    house
}

async fn log_in(house: &House, name: &str, password: &str) -> Answer {
    let body = json!({ "username": name, "password": password });
    house.post("/login", None, Some(body)).await
}

/// Returns the deadline that the answers to a login and to a session request give.
async fn required(house: &House, name: &str, password: &str) -> Value {
    let answer = log_in(house, name, password).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = answer.json();
    let token = body["access_token"].as_str().unwrap();
    let sessions = house.get("/sessions", token).await.json();
    assert_eq!(sessions.get(MEMBER), body.get(MEMBER));
    body.get(MEMBER).cloned().unwrap_or_default()
}

async fn hash(password: &str) -> waxseal::account::password::PasswordHash {
    let hasher = Hasher::new(CHEAP, 1, std::sync::Arc::new(SeededRandom::new(5))).unwrap();
    let password = Password::chosen(password.into(), "admin").unwrap();
    hasher.hash(password).await.unwrap()
}

#[tokio::test]
async fn until_it_is_changed_every_login_says_by_when_it_must_be() {
    let by = json!(START.plus(HOUR));
    for by_operator in [false, true] {
        let house = of_admin().await;
        assert_eq!(required(&house, "admin", PASSWORD).await, by);
        assert_eq!(required(&house, "bob", PASSWORD).await, Value::Null);
        let cookie = from_own_page(&house, "POST", "/login", "", credentials("admin", "cookie"));
        assert_eq!(cookie.await.json()[MEMBER], by);
        house.pass(HOUR - MILLISECOND).await;
        // In the answer to every login, not only the first.
        assert_eq!(required(&house, "admin", PASSWORD).await, by);
        if by_operator {
            let admin = house
                .waxseal
                .accounts()
                .user(&"admin".parse().unwrap())
                .await;
            let changed = UserChange::Password(hash(NEW).await);
            house.change_user(admin.unwrap().unwrap().id, changed).await;
        } else {
            let token = house.login("admin").await;
            // Setting the same password again does not make it permanent.
            let same = Some(change(PASSWORD, PASSWORD));
            let same = house.post("/password", Some(&token), same).await;
            assert_eq!(same.status, 400);
            assert_eq!(same.code(), "unacceptable_password");
            let body = Some(change(PASSWORD, NEW));
            let changed = house.post("/password", Some(&token), body).await;
            assert!(changed.json().get(MEMBER).is_none());
            new_token(&changed, true);
        }
        assert_eq!(required(&house, "admin", NEW).await, Value::Null);
        house.pass(24 * HOUR).await;
        assert_eq!(required(&house, "admin", NEW).await, Value::Null);
    }
}

/// Asserts that the refusal is byte for byte that of a wrong password.
async fn is_dead(house: &House) {
    let dead = log_in(house, "admin", PASSWORD).await;
    let wrong = log_in(house, "admin", "a wrong password").await;
    assert_eq!(
        (dead.status, dead.code()),
        (wrong.status, "invalid_credentials".to_owned())
    );
    assert_eq!(dead.body, wrong.body);
    assert_eq!(log_in(house, "bob", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn after_the_hour_it_is_dead_for_good_and_its_sessions_go_on() {
    let house = of_admin().await;
    house.pass(HOUR - Duration::from_secs(1)).await;
    let mine = login(&house, "admin").await;
    house.pass(Duration::from_secs(1)).await;
    is_dead(&house).await;
    assert_eq!(house.verify(&mine).await, 200);
    // Nor is it accepted as the current password of a change.
    let answer = house
        .post("/password", Some(&mine), Some(change(PASSWORD, NEW)))
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.code()),
        (403, "wrong_password".to_owned())
    );

    // Neither a clock set back nor a restart after it makes the password valid again.
    house.waxseal.compact().await.unwrap();
    let end = house.clock.now().millis();
    for back in [1, 2_500, 600_000, 3_599_000] {
        house.clock.step_to(Timestamp::from_millis(end - back));
        is_dead(&house).await;
    }
    let house = house.restart(|_| {}).await;
    is_dead(&house).await;
}
