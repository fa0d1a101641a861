//! Decoders for the columns of a row.

use super::engine::Row;
use crate::revocation::LogHash;
use crate::time::Timestamp;

/// The error for a row that this version of the program cannot have written.
pub(super) fn unreadable(what: &'static str) -> sqlx::Error {
    let cause =
        format!("a {what} that this version does not know; if a newer one wrote it, upgrade");
    sqlx::Error::Decode(cause.into())
}

pub(super) fn hash(row: &Row, column: usize) -> sqlx::Result<LogHash> {
    row.get::<Vec<u8>>(column)?
        .try_into()
        .map_err(|_| unreadable("hash"))
}

pub(super) fn time(row: &Row, column: usize) -> sqlx::Result<Timestamp> {
    row.get(column).map(Timestamp::from_millis)
}

pub(super) fn maybe_time(row: &Row, column: usize) -> sqlx::Result<Option<Timestamp>> {
    let millis: Option<i64> = row.get(column)?;
    Ok(millis.map(Timestamp::from_millis))
}

pub(super) fn parsed<T: std::str::FromStr>(
    row: &Row,
    column: usize,
    what: &'static str,
) -> sqlx::Result<T> {
    row.get::<String>(column)?
        .parse()
        .map_err(|_| unreadable(what))
}

pub(super) fn generation(row: &Row, column: usize) -> sqlx::Result<u32> {
    let generation = row.get::<i64>(column)?.try_into();
    generation.map_err(|_| unreadable("generation"))
}
