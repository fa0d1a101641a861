//! The embedded store: opened beside its mark, looked into, and taken on after an older copy was put back.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::Arc;

use super::{OpenError, Settings};
use crate::account::Accounts;
use crate::account::client::Clients;
use crate::revocation::log::{Head, RevocationLog};
use crate::store::mark::{Mark, MarkError, MarkFile, lies_in};
use crate::store::sqlite::SqliteStore;
use crate::time::{Clock, SystemClock, Timestamp};

/// Opens the embedded store alone, for tools that work beside a running service.
///
/// # Errors
/// [`OpenError`] names what is wrong; a database that is not there is not made, and one that is older than
/// the mark is refused.
pub async fn open_store(settings: &Settings) -> Result<SqliteStore, OpenError> {
    open_by(settings, &system_clock()).await
}

/// Opens the embedded store, and makes it if it is not there.
///
/// # Errors
/// As [`open_store`].
pub async fn open_or_make_store(settings: &Settings) -> Result<SqliteStore, OpenError> {
    open_or_make_by(settings, &system_clock()).await
}

/// Opens the embedded store to be looked into: it refuses every change, and asks for no mark.
///
/// # Errors
/// [`OpenError`] names what is wrong; a database that is not there is not made.
pub async fn look_into_store(settings: &Settings) -> Result<SqliteStore, OpenError> {
    open_unmarked(settings, None).await
}

/// What an older copy of the database was taken on with.
#[derive(Clone, Copy, Debug)]
pub struct Restored {
    /// The newest entry of the copy.
    pub seq: i64,
    /// Up to when the copy certainly has everything: none if it has never had anything.
    pub known_until: Option<Timestamp>,
    /// The mark from before, if it could be read.
    pub mark: Option<Mark>,
    /// When the copy was taken on.
    pub at: Timestamp,
}

/// Takes an older copy of the database on: ends every session and every client's token from before, and
/// puts the mark at its log. None if the log goes on from the mark: then nothing was put back, and nothing
/// is done. No server may run meanwhile.
///
/// # Errors
/// [`OpenError`] names what is wrong; it may be done again.
pub async fn restored(settings: &Settings) -> Result<Option<Restored>, OpenError> {
    let clock = system_clock();
    let file = mark_file(settings, &clock)?;
    let mark = match file.read() {
        Ok(mark) => Some(mark),
        Err(MarkError::Missing(_) | MarkError::Damaged(_)) => None,
        Err(cause) => return Err(cause.into()),
    };
    let store = open_unmarked(settings, Some(file)).await?;
    let (head, continued) = compare(&store, mark.as_ref()).await?;
    if mark.is_some() && continued {
        return Ok(None);
    }
    let newest = store.read(head.cursor.seq.saturating_sub(1), 1).await?;
    let entry = newest.entries.first().map(|entry| entry.revocation.at);
    let login = (head.newest_lineage > Timestamp::EPOCH).then_some(head.newest_lineage);
    let at = clock.now();
    let floor = |of: fn(&Mark) -> Timestamp| mark.as_ref().map_or(Timestamp::EPOCH, of);
    let (lineage, horizon) = (
        floor(|mark| mark.newest_lineage),
        floor(|mark| mark.horizon),
    );
    store.end_former(lineage, horizon, at).await?;
    Ok(Some(Restored {
        seq: head.cursor.seq,
        known_until: entry.or(login),
        mark,
        at,
    }))
}

/// Whether the mark is where an older copy of the data folder does not bring an older mark along.
///
/// # Errors
/// [`OpenError::MarkWithin`].
pub fn mark_is_apart(settings: &Settings) -> Result<(), OpenError> {
    if lies_in(&settings.mark_dir, &settings.data_dir) {
        return Err(OpenError::MarkWithin {
            mark_dir: settings.mark_dir.clone(),
            data_dir: settings.data_dir.clone(),
        });
    }
    Ok(())
}

/// Makes the data folder, for its owner alone, if it is not there.
///
/// # Errors
/// [`OpenError::Folder`].
pub fn make_data_dir(settings: &Settings) -> Result<(), OpenError> {
    let folder = &settings.data_dir;
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder);
    made.map_err(|cause| OpenError::Folder {
        path: folder.clone(),
        cause,
    })
}

fn system_clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

fn database(settings: &Settings) -> PathBuf {
    settings.data_dir.join("waxseal.db")
}

fn mark_file(settings: &Settings, clock: &Arc<dyn Clock>) -> Result<MarkFile, OpenError> {
    mark_is_apart(settings)?;
    Ok(MarkFile::new(&settings.mark_dir, Arc::clone(clock)))
}

pub(super) async fn open_or_make_by(
    settings: &Settings,
    clock: &Arc<dyn Clock>,
) -> Result<SqliteStore, OpenError> {
    mark_is_apart(settings)?;
    make_data_dir(settings)?;
    let path = database(settings);
    let made = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&path);
    made.map_err(|cause| OpenError::Folder { path, cause })?;
    open_by(settings, clock).await
}

async fn open_by(settings: &Settings, clock: &Arc<dyn Clock>) -> Result<SqliteStore, OpenError> {
    let file = mark_file(settings, clock)?;
    // Before the log is: that one may go on meanwhile, and is then still past the mark.
    let mark = match file.read() {
        Ok(mark) => Some(mark),
        Err(MarkError::Missing(_)) => None,
        Err(cause) => return Err(cause.into()),
    };
    let store = open_unmarked(settings, Some(file.clone())).await?;
    let (head, continued) = compare(&store, mark.as_ref()).await?;
    let Some(mark) = mark else {
        if !is_new(&head) {
            tracing::warn!(
                mark = %file.path().display(),
                "there was no mark, and one is made: whether the database is an older copy could not be seen"
            );
        }
        file.make(&head)?;
        return Ok(store);
    };
    if continued {
        // It must be writable, and may be behind if a process died before it moved it.
        file.advance(&head)?;
        return Ok(store);
    }
    let empty =
        is_new(&head) && store.users().await?.is_empty() && store.clients().await?.is_empty();
    if !empty {
        return Err(OpenError::Behind {
            path: file.path(),
            mark,
            seq: head.cursor.seq,
        });
    }
    tracing::warn!(
        "the revocation log is new and the mark is not: all sessions from before are ended"
    );
    store
        .end_former(mark.newest_lineage, mark.horizon, clock.now())
        .await?;
    Ok(store)
}

async fn open_unmarked(
    settings: &Settings,
    mark: Option<MarkFile>,
) -> Result<SqliteStore, OpenError> {
    let path = database(settings);
    let failed = |cause| OpenError::Folder {
        path: path.clone(),
        cause,
    };
    // It has password hashes in it. SQLite's other files take its mode.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    SqliteStore::open(&path, mark)
        .await
        .map_err(|cause| OpenError::Store { path, cause })
}

/// The log's head, and whether the log goes on from the mark.
async fn compare(store: &SqliteStore, mark: Option<&Mark>) -> Result<(Head, bool), OpenError> {
    let after = mark.map_or(0, |mark| mark.cursor.seq);
    let page = store.read(after, 1).await?;
    let continued = mark.is_none_or(|mark| mark.is_continued(&page.head, page.entries.first()));
    Ok((page.head, continued))
}

fn is_new(head: &Head) -> bool {
    head.cursor.seq == 0 && head.newest_lineage == Timestamp::EPOCH
}
