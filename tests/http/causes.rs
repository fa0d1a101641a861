//! The cause of a failure: the log has it, and the answer does not.

use super::browser::sql;
use super::common::TestServer;
use super::common::heard::Heard;

#[tokio::test]
async fn the_cause_of_a_failure_is_in_the_log_once_and_in_no_answer() {
    let log = Heard::from(tracing::Level::INFO);
    let server = TestServer::new().await;
    server.add_user("alice").await;
    let token = server.login("alice").await;
    sql(&server, "ALTER TABLE session RENAME TO gone").await;
    let answer = server.get("/sessions", &token).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.code(), "unavailable");
    let body = String::from_utf8(answer.body).unwrap();
    assert!(!body.contains("table"), "{body}");

    let log = log.text();
    let driver = "error returned from database: (code: 1) no such table: session";
    let lines: Vec<_> = log.lines().filter(|line| line.contains(driver)).collect();
    let [line] = lines.as_slice() else {
        panic!("{log}");
    };
    assert!(line.contains(" ERROR ") && line.ends_with(driver), "{line}");
    assert!(
        line.contains("the store failed cause=the store failed to "),
        "{line}"
    );
    assert_eq!(log.matches("no such table").count(), 1, "{log}");
}
