//! The embedded store: opens it with its mark, opens it read-only, and recovers from a restored older copy.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::open_error::OpenError;
use super::settings::{Database, Settings};
use crate::account::Accounts;
use crate::account::client::Clients;
use crate::random::{OsRandom, Random};
use crate::revocation::log::{Head, LogReader};
use crate::revocation::register::{Register, Registered};
use crate::store::files;
use crate::store::mark::{Mark, MarkError, MarkFile, lies_in};
use crate::store::sql::{Continuation, Skew, SqlStore};
use crate::time::{Clock, SystemClock, Timestamp};

/// The files of the data folder.
const DATA_FILES: &[&str] = &["waxseal.db", "waxseal.db-wal", "waxseal.db-shm", "lock"];

/// The interval between checks for nodes that serve.
const LOOK: Duration = Duration::from_millis(100);

/// Opens the embedded store alone, for tools that work beside a running service.
///
/// # Errors
/// [`OpenError`] names the cause. A missing database is not created, and a database that is older than the mark is
/// refused.
#[doc(hidden)]
pub async fn open_store(settings: &Settings) -> Result<SqlStore, OpenError> {
    let (clock, random) = system();
    open_by(settings, &clock, &random).await
}

/// Opens the embedded store, and creates it if it does not exist.
///
/// # Errors
/// As for [`open_store`].
#[doc(hidden)]
pub async fn open_or_make_store(settings: &Settings) -> Result<SqlStore, OpenError> {
    let (clock, random) = system();
    open_or_make_by(settings, &clock, &random).await
}

/// Opens the embedded store read-only: it refuses every change, and does not check the mark.
///
/// # Errors
/// [`OpenError`] names the cause. A missing database is not created.
#[doc(hidden)]
pub async fn look_into_store(settings: &Settings) -> Result<SqlStore, OpenError> {
    let (clock, _) = system();
    open_unmarked(settings, None, &clock).await
}

/// The outcome of recovering from a restored older copy of the database.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Restored {
    /// The `seq` of the copy's newest entry.
    pub seq: i64,
    /// The time up to which the copy certainly is complete, or `None` if it never had anything.
    pub known_until: Option<Timestamp>,
    /// The mark from before, if it was readable.
    pub mark: Option<Mark>,
    /// The time of the recovery.
    pub at: Timestamp,
}

/// Recovers from a restored older copy of the database: ends every session and every client token issued before, and
/// moves the mark to the copy's log. Returns `None` and changes nothing if the log continues from the mark, because
/// then no older copy was restored. No server may run meanwhile.
///
/// # Errors
/// [`OpenError`] names the cause. The call can be repeated.
#[doc(hidden)]
pub async fn recover_from_restore(settings: &Settings) -> Result<Option<Restored>, OpenError> {
    let (clock, random) = system();
    let file = mark_file(settings, &clock, &random)?;
    let mark = match file.read() {
        Ok(mark) => Some(mark),
        Err(MarkError::Missing(_) | MarkError::Damaged(_)) => None,
        Err(cause) => return Err(cause.into()),
    };
    let store = open_unmarked(settings, Some(file), &clock).await?;
    if let Some(node) = serving(&store, &*clock).await? {
        return Err(OpenError::Serving(node));
    }
    let (head, continued) = store.compare(mark.as_ref()).await?;
    if mark.is_some() && continued == Continuation::GoesOn {
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

/// Checks that the mark lies outside the data folder, so that an older copy of that folder brings no older mark along.
///
/// # Errors
/// [`OpenError::MarkWithin`] if it lies inside.
#[doc(hidden)]
pub fn mark_is_apart(settings: &Settings) -> Result<(), OpenError> {
    if lies_in(&settings.mark_dir, &settings.data_dir) {
        return Err(OpenError::MarkWithin {
            mark_dir: settings.mark_dir.clone(),
            data_dir: settings.data_dir.clone(),
        });
    }
    Ok(())
}

/// Creates the data folder if it does not exist, with access for its owner only.
///
/// # Errors
/// [`OpenError::Folder`] if it cannot be created; [`OpenError::Unsafe`] if other users may change it or a file in it.
#[doc(hidden)]
pub fn make_data_dir(settings: &Settings) -> Result<(), OpenError> {
    let folder = &settings.data_dir;
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder);
    made.map_err(|cause| OpenError::folder(folder.clone(), cause))?;
    check_data_dir(settings)
}

/// Refuses a data folder that other users may change.
pub(super) fn check_data_dir(settings: &Settings) -> Result<(), OpenError> {
    files::check(&settings.data_dir, DATA_FILES).map_err(OpenError::from)
}

/// Returns the clock and the randomness that tools use.
pub(super) fn system() -> (Arc<dyn Clock>, Arc<dyn Random>) {
    (Arc::new(SystemClock), Arc::new(OsRandom::new()))
}

/// Returns the path of the embedded store's SQLite file.
#[doc(hidden)]
#[must_use]
pub fn database_file(settings: &Settings) -> PathBuf {
    settings.data_dir.join("waxseal.db")
}

pub(super) fn mark_file(
    settings: &Settings,
    clock: &Arc<dyn Clock>,
    random: &Arc<dyn Random>,
) -> Result<MarkFile, OpenError> {
    mark_is_apart(settings)?;
    files::check(&settings.mark_dir, &["mark"])?;
    files::warn_of_parents(&settings.mark_dir);
    let (clock, random) = (Arc::clone(clock), Arc::clone(random));
    Ok(MarkFile::new(&settings.mark_dir, clock, random))
}

pub(super) async fn open_or_make_by(
    settings: &Settings,
    clock: &Arc<dyn Clock>,
    random: &Arc<dyn Random>,
) -> Result<SqlStore, OpenError> {
    mark_is_apart(settings)?;
    if let Database::Sqlite = settings.database {
        make_database_file(settings)?;
    }
    open_by(settings, clock, random).await
}

/// Returns the path that the SQLite file has after a migration to a server.
#[doc(hidden)]
#[must_use]
pub fn moved_file(settings: &Settings) -> PathBuf {
    settings.data_dir.join("waxseal.db.migrated")
}

/// Refuses to start without a database that was moved: an empty one would forget every revocation.
pub(super) fn refuse_moved(settings: &Settings) -> Result<(), OpenError> {
    let aside = moved_file(settings);
    if aside.exists() && !database_file(settings).exists() {
        return Err(OpenError::Moved(aside));
    }
    Ok(())
}

fn make_database_file(settings: &Settings) -> Result<(), OpenError> {
    refuse_moved(settings)?;
    make_data_dir(settings)?;
    let path = database_file(settings);
    // Does not open an existing file: closing it drops every lock (fcntl) that the process has on it, including those
    // of a store that has it open.
    let made = fs::OpenOptions::new()
        .create_new(true)
        .append(true)
        .mode(0o600)
        .open(&path);
    match made {
        Err(cause) if cause.kind() != ErrorKind::AlreadyExists => {
            Err(OpenError::folder(path, cause))
        }
        _ => Ok(()),
    }
}

async fn open_by(
    settings: &Settings,
    clock: &Arc<dyn Clock>,
    random: &Arc<dyn Random>,
) -> Result<SqlStore, OpenError> {
    let file = mark_file(settings, clock, random)?;
    // Reads the mark before the log: the log may grow in between, and is then still past the mark.
    let mark = match file.read() {
        Ok(mark) => Some(mark),
        Err(MarkError::Missing(_)) => None,
        Err(cause) => return Err(cause.into()),
    };
    let store = open_unmarked(settings, Some(file.clone()), clock).await?;
    let (head, continued) = store.compare(mark.as_ref()).await?;
    let Some(mark) = mark else {
        if !is_new(&head) {
            tracing::warn!(
                mark = %file.path().display(),
                "there was no mark, so an older copy of the database could not be detected; a mark was created"
            );
        }
        file.make(&head)?;
        return Ok(store);
    };
    if continued == Continuation::AllEnded {
        tracing::warn!(
            mark = %file.path().display(),
            "the revocation log does not continue from the mark, and everything from before is ended in it: an older copy was accepted at another node"
        );
        file.replace(&head)?;
        return Ok(store);
    }
    if continued == Continuation::GoesOn {
        // Tests that the mark is writable. The mark is behind if a process died before it could advance it.
        file.advance(&head)?;
        if mark.id.is_none() && settings.database.is_shared() {
            // A mark from before there were several nodes, each with a mark of its own.
            file.replace(&head)?;
        }
        return Ok(store);
    }
    let empty =
        is_new(&head) && store.users().await?.is_empty() && store.clients().await?.is_empty();
    if !empty {
        return Err(OpenError::Behind {
            path: file.path(),
            written_at: mark.written_at,
            marked: mark.cursor.seq,
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

/// Warns if other users could read the database file until now.
fn warn_of_readers(path: &Path) {
    let mode = fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o044 != 0 {
        tracing::warn!(
            path = %path.display(),
            mode = %format_args!("{:04o}", mode & 0o7777),
            "other users could read the database and the password hashes in it; its mode is restricted now"
        );
    }
}

async fn open_unmarked(
    settings: &Settings,
    mark: Option<MarkFile>,
    clock: &Arc<dyn Clock>,
) -> Result<SqlStore, OpenError> {
    let failed = |database: String| move |cause| OpenError::Store { database, cause };
    match &settings.database {
        Database::Sqlite => {
            refuse_moved(settings)?;
            check_data_dir(settings)?;
            files::warn_of_parents(&settings.data_dir);
            let path = database_file(settings);
            warn_of_readers(&path);
            // The database contains password hashes. SQLite gives its other files the same mode.
            let mode = fs::set_permissions(&path, fs::Permissions::from_mode(0o600));
            mode.map_err(|cause| match cause.kind() {
                ErrorKind::NotFound => OpenError::NoDatabase(path.clone()),
                _ => OpenError::folder(path.clone(), cause),
            })?;
            let opened = SqlStore::open(&path, mark).await;
            opened.map_err(failed(path.display().to_string()))
        }
        Database::Postgres(url) => {
            let skew = Skew::new(Arc::clone(clock), settings.timeouts.leeway);
            let opened = SqlStore::connect(url, mark, Some(skew)).await;
            opened.map_err(failed(url.to_string()))
        }
    }
}

/// Returns the name of a node that serves from this store now: one that renews its entry during the check.
async fn serving(store: &SqlStore, clock: &dyn Clock) -> Result<Option<String>, OpenError> {
    let before = store.nodes().await?.nodes;
    let Some(longest) = before.iter().map(|node| node.node.over_after()).max() else {
        return Ok(None);
    };
    let until = clock.uptime() + longest;
    while clock.uptime() < until {
        tokio::time::sleep(LOOK).await;
        let now = store.nodes().await?.nodes;
        let beats = now.into_iter().find(|node| {
            let is = |known: &&Registered| known.node.id == node.node.id;
            let known = before.iter().find(is);
            known.is_none_or(|known| known.node.beat != node.node.beat)
        });
        if let Some(node) = beats {
            return Ok(Some(node.node.name));
        }
    }
    Ok(None)
}

fn is_new(head: &Head) -> bool {
    head.cursor.seq == 0 && head.newest_lineage == Timestamp::EPOCH
}
