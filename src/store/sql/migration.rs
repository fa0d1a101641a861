//! Migrations of the schema.

use sqlx::SqlSafeStr;
use sqlx::migrate::{MigrateError, Migration, MigrationType};

use super::advice::{BoxedError, explained};
use crate::revocation::log::StoreError;

pub(super) fn migration(version: i64, name: &'static str, sql: &'static str) -> Migration {
    let (name, kind) = (name.into(), MigrationType::Simple);
    Migration::new(version, name, kind, sql.into_sql_str(), false)
}

pub(super) fn not_migrated(cause: MigrateError) -> StoreError {
    let cause: BoxedError = match cause {
        MigrateError::VersionMissing(version) => format!(
            "its schema has version {version}, which is newer than this program; use the newer one"
        )
        .into(),
        MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _) => {
            explained(cause.into())
        }
        cause => cause.into(),
    };
    StoreError::new("bring the database's schema up to date", cause)
}
