//! The cause of a failure: the log has it, and the answer does not.

use std::fs;
use std::sync::Arc;

use super::browser::sql;
use super::common::TestServer;

#[tokio::test]
async fn the_cause_of_a_failure_is_in_the_log_once_and_in_no_answer() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(Arc::new(log.reopen().unwrap()))
        .finish();
    // The whole test runs on this thread, so the subscriber sees everything.
    let _heard = tracing::subscriber::set_default(subscriber);

    let server = TestServer::new().await;
    server.add_user("alice").await;
    let token = server.login("alice").await;
    sql(&server, "ALTER TABLE session RENAME TO gone").await;
    let answer = server.get("/sessions", &token).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.code(), "unavailable");
    let body = String::from_utf8(answer.body).unwrap();
    assert!(!body.contains("table"), "{body}");

    let log = fs::read_to_string(log.path()).unwrap();
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
