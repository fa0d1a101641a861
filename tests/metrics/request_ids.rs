//! Request IDs tell the log lines of different requests apart.

use std::time::Duration;

use serde_json::json;

use super::common::Place;
use super::scrape::Watched;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[tokio::test]
async fn log_lines_of_a_request_have_its_id_and_its_trace() {
    let place = Place::new();
    place.add_user("alice");
    let watched = Watched::start(&place, &[("RUST_LOG", "debug")]);
    let login = json!({ "username": "alice", "password": "not her password" });
    for (id, parent) in [
        ("first-1", format!("00-{TRACE}-00f067aa0ba902b7-01")),
        (
            "second-2",
            "00-what a stranger wrote-00f067aa0ba902b7-01".to_owned(),
        ),
    ] {
        let request = watched.http.post(format!("{}/login", watched.server.url));
        let request = request
            .header("x-request-id", id)
            .header("traceparent", parent);
        let answer = request.json(&login).send().await.unwrap();
        assert_eq!(answer.status(), 401);
        assert_eq!(answer.headers()["x-request-id"], id);
    }
    let refused = || -> Vec<String> {
        let log = watched.server.log();
        let lines = log
            .lines()
            .filter(|line| line.contains("a login was refused"));
        lines.map(str::to_owned).collect()
    };
    for _ in 0..300 {
        if refused().len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let lines = refused();
    let [first, second] = lines.as_slice() else {
        panic!("two were refused: {lines:?}");
    };
    assert!(
        first.contains("id=\"first-1\"") && first.contains(TRACE),
        "{first}"
    );
    assert!(
        second.contains("id=\"second-2\"") && !second.contains(TRACE),
        "{second}"
    );
    let log = watched.server.log();
    assert!(
        !log.contains("what a stranger wrote") && !log.contains("not her password"),
        "{log}"
    );
}
