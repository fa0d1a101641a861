//! The embedded store: opened beside its mark, looked into, and taken on after an older copy was put back.

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
use crate::revocation::log::{Head, RevocationLog};
use crate::revocation::register::{Register, Registered};
use crate::store::files;
use crate::store::mark::{Mark, MarkError, MarkFile, lies_in};
use crate::store::sql::{Continuation, Skew, SqlStore};
use crate::time::{Clock, SystemClock, Timestamp};

/// The files of the data folder.
const DATA_FILES: &[&str] = &["waxseal.db", "waxseal.db-wal", "waxseal.db-shm", "lock"];

/// How often it is looked for nodes that serve.
const LOOK: Duration = Duration::from_millis(100);

/// Opens the embedded store alone, for tools that work beside a running service.
///
/// # Errors
/// [`OpenError`] names what is wrong; a database that is not there is not made, and one that is older than
/// the mark is refused.
pub async fn open_store(settings: &Settings) -> Result<SqlStore, OpenError> {
    let (clock, random) = system();
    open_by(settings, &clock, &random).await
}

/// Opens the embedded store, and makes it if it is not there.
///
/// # Errors
/// As [`open_store`].
pub async fn open_or_make_store(settings: &Settings) -> Result<SqlStore, OpenError> {
    let (clock, random) = system();
    open_or_make_by(settings, &clock, &random).await
}

/// Opens the embedded store to be looked into: it refuses every change, and asks for no mark.
///
/// # Errors
/// [`OpenError`] names what is wrong; a database that is not there is not made.
pub async fn look_into_store(settings: &Settings) -> Result<SqlStore, OpenError> {
    let (clock, _) = system();
    open_unmarked(settings, None, &clock).await
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
/// [`OpenError::Folder`]; [`OpenError::Unsafe`] if it, or a file in it, is there and others may change it.
pub fn make_data_dir(settings: &Settings) -> Result<(), OpenError> {
    let folder = &settings.data_dir;
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder);
    made.map_err(|cause| OpenError::Folder {
        path: folder.clone(),
        cause,
    })?;
    check_data_dir(settings)
}

/// Refuses a data folder that others may change.
pub(super) fn check_data_dir(settings: &Settings) -> Result<(), OpenError> {
    files::check(&settings.data_dir, DATA_FILES).map_err(OpenError::from)
}

/// The clock and the randomness of tools.
pub(super) fn system() -> (Arc<dyn Clock>, Arc<dyn Random>) {
    (Arc::new(SystemClock), Arc::new(OsRandom::new()))
}

/// The file of the embedded store.
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

/// Where the file is once it was moved to a server.
#[must_use]
pub fn moved_file(settings: &Settings) -> PathBuf {
    settings.data_dir.join("waxseal.db.migrated")
}

/// Who serves on without the database that was moved would begin anew, and forget what was revoked.
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
    // Not opened if it is there: who closes a file drops every lock (fcntl) that the process has on it, those of
    // a store that has it open among them.
    let made = fs::OpenOptions::new()
        .create_new(true)
        .append(true)
        .mode(0o600)
        .open(&path);
    match made {
        Err(cause) if cause.kind() != ErrorKind::AlreadyExists => {
            Err(OpenError::Folder { path, cause })
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
    // Before the log is: that one may go on meanwhile, and is then still past the mark.
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
                "there was no mark, and one is made: whether the database is an older copy could not be seen"
            );
        }
        file.make(&head)?;
        return Ok(store);
    };
    if continued == Continuation::AllEnded {
        tracing::warn!(
            mark = %file.path().display(),
            "the revocation log does not go on from the mark, and everything from before is ended in it: an older copy was taken on at another node"
        );
        file.replace(&head)?;
        return Ok(store);
    }
    if continued == Continuation::GoesOn {
        // It must be writable, and may be behind if a process died before it moved it.
        file.advance(&head)?;
        if mark.id.is_none() && matches!(settings.database, Database::Postgres(_)) {
            // From before there were several nodes, each of which has a mark of its own.
            file.replace(&head)?;
        }
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

/// Says it if others could read the file so far.
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
            // It has password hashes in it. SQLite's other files take its mode.
            let mode = fs::set_permissions(&path, fs::Permissions::from_mode(0o600));
            mode.map_err(|cause| match cause.kind() {
                ErrorKind::NotFound => OpenError::NoDatabase(path.clone()),
                _ => OpenError::Folder {
                    path: path.clone(),
                    cause,
                },
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

/// A node that serves by this store now: it enters itself while it is looked at.
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
