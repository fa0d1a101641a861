//! The schema of a database that is opened.

use std::error::Error;

use super::fixture::Fixture;
use waxseal::report::report;
use waxseal::revocation::log::LogReader;
use waxseal::store::sql::SqlStore;

on_both_engines! {
    a_schema_of_a_newer_version_is_refused
    a_schema_that_is_not_as_it_was_made_is_refused
    a_database_is_opened_again_as_it_was
}

async fn a_schema_of_a_newer_version_is_refused(fixture: Fixture) {
    drop(fixture.node("a").await);
    fixture
        .sql("INSERT INTO _sqlx_migrations (version, description, installed_on, success, checksum, execution_time) SELECT 9999, description, installed_on, success, checksum, execution_time FROM _sqlx_migrations WHERE version = 1;")
        .await;
    for mark in [None, Some(fixture.mark("a"))] {
        let why = report(&fixture.open(mark).await.unwrap_err()).to_string();
        assert!(why.contains("9999"), "{why}");
    }
    fixture
        .sql("DELETE FROM _sqlx_migrations WHERE version = 9999;")
        .await;
    fixture.node("a").await;
}

async fn a_schema_that_is_not_as_it_was_made_is_refused(fixture: Fixture) {
    drop(fixture.node("a").await);
    fixture
        .sql("UPDATE _sqlx_migrations SET checksum = (SELECT hash FROM head) WHERE version = 1;")
        .await;
    let why = report(&fixture.open(None).await.unwrap_err()).to_string();
    assert!(why.contains("migration 1"), "{why}");
}

async fn a_database_is_opened_again_as_it_was(fixture: Fixture) {
    let a = fixture.node("a").await;
    fixture.add_user(&a, "alice").await;
    fixture
        .begin(&a, "alice", super::fixture::START)
        .await
        .unwrap();
    let head = a.read(0, 0).await.unwrap().head;
    drop(a);
    assert_eq!(fixture.node("a").await.read(0, 0).await.unwrap().head, head);
}

#[tokio::test]
async fn the_sources_of_a_failure_lead_to_the_error_of_the_driver() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, [b'x'; 8192]).unwrap();
    let failure = SqlStore::open(file.path(), None).await.unwrap_err();
    assert_eq!(failure.to_string(), "the store failed to open the database");
    let cause = failure.source().unwrap().downcast_ref::<sqlx::Error>();
    let Some(sqlx::Error::Database(cause)) = cause else {
        panic!("{failure:?}");
    };
    assert_eq!(cause.code().as_deref(), Some("26"));
    assert_eq!(
        report(&failure).to_string(),
        "the store failed to open the database: error returned from database: (code: 26) file is not a database"
    );
}
