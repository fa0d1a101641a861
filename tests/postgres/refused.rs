//! Databases that are refused at once, with advice on what to do.

use std::process::Command;

use super::common::postgres::Postgres;
use super::fixture::{Process, is_secret, nodes};
use super::nodes::Nodes;

const COMMANDS: [&[&str]; 4] = [
    &["serve"],
    &["user", "list"],
    &["revoke", "all"],
    &["restored"],
];

/// Asserts that the service and every command fail with these words, and reveal no password.
#[track_caller]
fn is_refused(nodes: &Nodes, url: Option<&str>, words: &[&str]) {
    for arguments in COMMANDS {
        let mut command: Command = nodes.0[0].command(arguments);
        if let Some(url) = url {
            command.env("WAXSEAL_DATABASE", url);
        }
        let said = Process::start(command).is_refused();
        for words in words {
            assert!(said.contains(words), "{arguments:?}, {words}: {said}");
        }
        assert!(!said.contains("listening on"), "{said}");
        assert!(!said.contains("cannot be reached yet"), "at once: {said}");
        is_secret(&said);
    }
}

#[test]
fn credentials_and_databases_that_are_wrong() {
    let database = Postgres::start();
    let nodes = nodes(&database, 1, &[]);
    let port = database.port();
    let place = format!("postgres://127.0.0.1:{port}/waxseal: ");
    let other = database.url_with_password("not-open%40sea-at-all");
    let words = [
        &place,
        "password authentication failed",
        "check the user and the password",
    ];
    is_refused(&nodes, Some(&other), &words);
    let nobody = format!("postgres://nobody:an%3Aopen%40sea@127.0.0.1:{port}/waxseal");
    is_refused(
        &nodes,
        Some(&nobody),
        &["no pg_hba.conf entry", "check the user"],
    );
    let words = ["\"elsewhere\" does not exist", "make the database first"];
    is_refused(&nodes, Some(&database.url_of("elsewhere")), &words);
}

#[test]
fn a_user_who_may_make_no_tables() {
    let database = Postgres::start();
    let nodes = nodes(&database, 1, &[]);
    let postgres = |sql: &str| database.try_sql_in("postgres", sql).unwrap();
    postgres("CREATE DATABASE bare OWNER postgres");
    let url = database.url_of("bare");
    let words = [
        "permission denied for schema public",
        "make the user the owner",
    ];
    is_refused(&nodes, Some(&url), &words);
    postgres("REVOKE CONNECT ON DATABASE bare FROM PUBLIC");
    let words = ["permission denied for database", "make the user the owner"];
    is_refused(&nodes, Some(&url), &words);
}

#[test]
fn a_server_that_would_lose_commits_or_take_none() {
    let database = Postgres::start();
    let nodes = nodes(&database, 1, &[]);
    for setting in ["fsync", "full_page_writes"] {
        database.sql(&format!(
            "ALTER SYSTEM SET {setting} = off; SELECT pg_reload_conf();"
        ));
        let has = || database.sql(&format!("SHOW {setting}"));
        while has() != "off" {}
        is_refused(&nodes, None, &["fsync and full_page_writes must be on"]);
        database.sql(&format!(
            "ALTER SYSTEM RESET {setting}; SELECT pg_reload_conf();"
        ));
        while has() != "on" {}
    }
    database.read_only(true);
    is_refused(
        &nodes,
        None,
        &["read-only", "address of the writable primary"],
    );
    database.read_only(false);
    let standby = database.standby();
    let words = ["it is a standby", "address of the writable primary"];
    is_refused(&nodes, Some(&standby.url()), &words);
    nodes.0[0].ok(&["user", "list"], "");
}

#[test]
fn another_encoding() {
    let database = Postgres::start();
    let nodes = nodes(&database, 1, &[]);
    let made = "CREATE DATABASE latin OWNER waxseal TEMPLATE template0 ENCODING 'LATIN1'";
    database.try_sql_in("postgres", made).unwrap();
    let words = ["encoding must be UTF8"];
    is_refused(&nodes, Some(&database.url_of("latin")), &words);
}

/// No such old server is available: this one only reports an old version.
#[test]
fn a_server_that_is_too_old() {
    let database = Postgres::start();
    let nodes = nodes(&database, 1, &[]);
    database.sql(
        "CREATE SCHEMA old; GRANT USAGE ON SCHEMA old TO PUBLIC;
         CREATE FUNCTION old.current_setting(name text) RETURNS text LANGUAGE sql AS
           $$ SELECT CASE name WHEN 'server_version_num' THEN '110022'
              ELSE pg_catalog.current_setting(name) END $$;
         ALTER ROLE waxseal SET search_path = old, pg_catalog, public;",
    );
    is_refused(&nodes, None, &["must be PostgreSQL 12 or later"]);
}

#[test]
fn a_schema_that_is_newer_or_not_ours() {
    let database = Postgres::start();
    let nodes = nodes(&database, 1, &[]);
    database.sql(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (7, 'later', true, '\\x00', 1)",
    );
    let rows = || database.sql("SELECT * FROM head; SELECT * FROM mark; SELECT * FROM node;");
    let before = rows();
    is_refused(
        &nodes,
        None,
        &["its schema has version 7", "newer than this program"],
    );
    assert_eq!(rows(), before, "and nothing was written");
    database.sql("DELETE FROM _sqlx_migrations WHERE version = 7");
    nodes.0[0].ok(&["user", "list"], "");
    database.sql("UPDATE _sqlx_migrations SET checksum = '\\x00'");
    is_refused(&nodes, None, &["has been modified"]);
}
