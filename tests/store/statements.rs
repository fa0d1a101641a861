//! Both engines understand every statement, against the current schema.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqlSafeStr, SqliteConnection};

use super::fixture::Fixture;

/// The statements for PostgreSQL alone, because SQLite has no equivalent.
const POSTGRES_ALONE: [&str; 20] = [
    "SNAPSHOT",
    "HEAD_AT_PRIMARY",
    "LOCK_HEAD",
    "APPEND_AT_SERVER",
    "DROP_AT_SERVER",
    "FORGET_SESSIONS_AT_SERVER",
    "RING",
    "MARK",
    "SET_MARK",
    "COUNT_LOGIN",
    "WAIT_FOR_LOGIN",
    "FORGET_LOGINS",
    "GIVE_LOGIN_BACK",
    "COUNT_FAILURE",
    "LAST_FAILURE",
    "GIVE_FAILURE_BACK",
    "FORGET_FAILURES",
    "ADD_NETWORK",
    "FORGET_OTHER_NETWORKS",
    "FORGET_NETWORKS",
];
const SQLITE_ALONE: [&str; 9] = [
    "EXPIRED_FAILURE",
    "APPEND",
    "DROP",
    "ENTRIES",
    "FORGET_SESSIONS",
    "NOTE_NETWORK",
    "KEPT_FAILURES",
    "KEEP_FAILURES",
    "DROP_FAILURES",
];

/// The text of string literals and of the macro `now`, up to the semicolon.
fn text_of(mut rest: &str, now: &str) -> String {
    let mut text = String::new();
    loop {
        let at = rest.find(['"', ';', 'r', 'n']).unwrap();
        rest = &rest[at..];
        let (end, literal) = if rest.starts_with(';') {
            return text;
        } else if let Some(raw) = rest.strip_prefix("r#\"") {
            let length = raw.find("\"#").unwrap();
            (length + 5, &raw[..length])
        } else if let Some(plain) = rest.strip_prefix('"') {
            let length = plain.find('"').unwrap();
            assert!(!plain[..length].contains('\\'), "{plain}");
            (length + 2, &plain[..length])
        } else if rest.starts_with("now!()") {
            (6, now)
        } else {
            (1, "")
        };
        text.push_str(literal);
        rest = &rest[end..];
    }
}

/// All statements of the source, by name. The count proves that none is left out.
fn statements() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/sql");
    let source = fs::read_to_string(root.join("statements.rs")).unwrap();
    let (_, now) = source.split_once("macro_rules! now").unwrap();
    let now = now.split('"').nth(1).unwrap();
    let mut found = BTreeMap::new();
    for part in source.split("const ").skip(1) {
        let (name, text) = part.split_once(": &str =").unwrap();
        found.insert(name.to_owned(), text_of(text, now));
    }
    assert_eq!(found.len(), source.matches("pub(super) const ").count());
    found
}

fn is_of(engine_alone: &[&str], name: &str) -> bool {
    engine_alone.contains(&name)
}

#[test]
fn no_statement_stands_elsewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/sql");
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().and_then(|name| name.to_str());
        // Each engine's file has the statements that run before there is a schema. The tests of the migration run all
        // of it.
        if let Some("statements.rs" | "moving_statements.rs" | "postgres.rs" | "sqlite.rs") = name {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap_or_default();
        let text = text.replace("\"SELECT 1\"", "");
        for word in ["\"SELECT ", "\"INSERT ", "\"UPDATE ", "\"DELETE "] {
            assert!(!text.contains(word), "{} has {word}", path.display());
        }
    }
}

#[tokio::test]
async fn each_can_be_prepared_where_it_is_used() {
    let all = statements();
    assert!(all.len() > 60, "{}", all.len());
    for name in POSTGRES_ALONE.iter().chain(&SQLITE_ALONE) {
        assert!(all.contains_key(*name), "{name} is not there any more");
    }
    let (file, server) = (Fixture::sqlite(), Fixture::postgres());
    drop((file.node("a").await, server.node("a").await));
    let mut sqlite = SqliteConnection::connect(&file.url()).await.unwrap();
    let mut postgres = PgConnection::connect(&server.url()).await.unwrap();
    for (name, text) in &all {
        let sql = || AssertSqlSafe(text.clone()).into_sql_str();
        let by_sqlite = sqlite.prepare(sql()).await.map(drop);
        let wanted = !is_of(&POSTGRES_ALONE, name);
        assert_eq!(
            by_sqlite.is_ok(),
            wanted,
            "{name} by SQLite: {by_sqlite:?}\n{text}"
        );
        let by_postgres = postgres.prepare(sql()).await.map(drop);
        let wanted = !is_of(&SQLITE_ALONE, name);
        assert_eq!(
            by_postgres.is_ok(),
            wanted,
            "{name} by PostgreSQL: {by_postgres:?}\n{text}"
        );
    }
}
