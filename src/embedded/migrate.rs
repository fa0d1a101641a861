//! Moves a SQLite installation to PostgreSQL.

use std::fs::{self, File};
use std::path::PathBuf;

use super::open_error::OpenError;
use super::settings::Settings;
use super::store::{check_data_dir, database_file, mark_file, moved_file, refuse_moved, system};
use crate::store::mark::{Mark, MarkError};
use crate::store::sql::{Continuation, MoveError, Moved, Moving, PostgresUrl};

/// Moves the SQLite database of the data folder to the database at `to`, which must be empty, and renames the SQLite
/// file. The mark continues at the new database.
///
/// No server may run meanwhile. Other commands wait, and then fail.
///
/// # Errors
/// [`OpenError`] names the cause. After an error either nothing has moved, or a second call finishes the move.
#[doc(hidden)]
pub async fn migrate(settings: &Settings, to: &PostgresUrl) -> Result<Moved, OpenError> {
    let path = database_file(settings);
    refuse_moved(settings)?;
    check_data_dir(settings)?;
    let aside = moved_file(settings);
    if aside.exists() {
        return Err(OpenError::Aside(aside));
    }
    let (clock, random) = system();
    let file = mark_file(settings, &clock, &random)?;
    // Reads the mark before the log, as an opening of the store does.
    let mark = match file.read() {
        Ok(mark) => Some(mark),
        Err(MarkError::Missing(_)) => None,
        Err(cause) => return Err(cause.into()),
    };
    let database = path.display().to_string();
    let failed = |cause| OpenError::Store { database, cause };
    let mut moving = Moving::begin(&path).await.map_err(failed)?;
    let moved = moving.all().await?;
    if !moving.has_moved().await? {
        check(&mut moving, file.path(), mark.as_ref()).await?;
        let copied = moving.copy_to(to, mark.as_ref()).await;
        copied.map_err(|cause| match cause {
            MoveError::NotEmpty(found) => OpenError::NotEmpty {
                database: to.to_string(),
                found,
            },
            MoveError::Store(cause) => OpenError::Store {
                database: to.to_string(),
                cause,
            },
        })?;
    }
    moving.close().await?;
    put_aside(settings).map_err(|cause| OpenError::folder(path, cause))?;
    Ok(moved)
}

/// Refuses an older copy of the database: it would carry tokens over as valid that were revoked since.
async fn check(moving: &mut Moving, path: PathBuf, mark: Option<&Mark>) -> Result<(), OpenError> {
    let (head, continued) = moving.compare(mark).await?;
    match mark {
        Some(mark) if continued != Continuation::GoesOn => Err(OpenError::Behind {
            path,
            written_at: mark.written_at,
            marked: mark.cursor.seq,
            seq: head.cursor.seq,
        }),
        Some(_) => Ok(()),
        None => {
            tracing::warn!(
                mark = %path.display(),
                "there is no mark, so an older copy of the database could not be detected"
            );
            Ok(())
        }
    }
}

/// Renames the SQLite files, so that no process serves from them by mistake.
fn put_aside(settings: &Settings) -> std::io::Result<()> {
    let (from, to) = (database_file(settings), moved_file(settings));
    let beside = |path: &PathBuf, suffix: &str| {
        let mut name = path.clone().into_os_string();
        name.push(suffix);
        PathBuf::from(name)
    };
    fs::rename(&from, &to)?;
    // These files exist only while a process has the database open.
    for suffix in ["-wal", "-shm"] {
        match fs::rename(beside(&from, suffix), beside(&to, suffix)) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => return Err(cause),
            _ => {}
        }
    }
    File::open(&settings.data_dir)?.sync_all()
}
