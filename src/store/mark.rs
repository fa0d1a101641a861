//! The mark: a copy of the log's head in a folder of its own, which detects an older copy of the database.
//!
//! The store writes the mark after each commit that moves the head, and before it answers any caller. So every part of
//! the log's head is at or past the mark, or the log is not the one that was marked.
//!
//! The file has two slots of equal size, which are overwritten in turn: an update is one write and one sync, and needs
//! no further disk space and no rename. A torn write damages only the slot that no answer relies on yet.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::crypto::sha256;
use crate::encoding::base64url;
use crate::random::Random;
use crate::report::Advised;
use crate::revocation::log::{Cursor, Entry, Head};
use crate::time::{Clock, Timestamp};

const VERSION: u32 = 1;

/// The size of a slot, in bytes. A disk writes this much at once, so a torn write never damages both slots.
const SLOT: usize = 4096;

const FILE: &str = "mark";
const PARTIAL: &str = "mark.partial";

/// A failure to read or move the mark.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MarkError {
    /// The file does not exist.
    #[error("there is no mark {path}; the next start makes one, and cannot compare the log with it", path = .0.display())]
    Missing(PathBuf),
    /// The file is damaged, or a newer version wrote it.
    #[error("the mark {path} is damaged, or from a newer version. If the database is the newest there is, remove the mark and start again; if an older copy was put back, run: waxseal restored", path = .0.display())]
    Damaged(PathBuf),
    /// The log does not continue from the mark.
    #[error("the revocation log does not continue from the mark {path}: an older copy of the database was put back, or it is another one", path = .0.display())]
    AnotherLog(PathBuf),
    /// The folder or the file cannot be read or written.
    #[error("{path}", path = path.display())]
    Folder {
        /// The folder or the file.
        path: PathBuf,
        /// The error of the operating system, with advice.
        #[source]
        cause: Advised,
    },
}

/// The ID of a mark: 16 random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkId([u8; 16]);

impl MarkId {
    fn new(random: &dyn Random) -> Self {
        let mut bytes = [0; 16];
        random.fill(&mut bytes);
        Self(bytes)
    }
}

impl fmt::Display for MarkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64url::encode(&self.0))
    }
}

/// The position of the log when the mark was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The ID of this mark among those of several nodes. `None` in a mark that predates support for several nodes.
    pub id: Option<MarkId>,
    /// The newest entry, and the running hash after it.
    pub cursor: Cursor,
    /// The horizon of the log.
    pub horizon: Timestamp,
    /// The newest lineage that was issued.
    pub newest_lineage: Timestamp,
    /// The time at which the mark was written.
    pub written_at: Timestamp,
}

impl Mark {
    const fn of(head: &Head, id: Option<MarkId>, written_at: Timestamp) -> Self {
        Self {
            id,
            cursor: head.cursor,
            horizon: head.horizon,
            newest_lineage: head.newest_lineage,
            written_at,
        }
    }

    /// Returns `true` if the mark has the same position as the head, in every part.
    #[must_use]
    pub fn is_at(&self, head: &Head) -> bool {
        self.is_before(head) && Self::of(head, self.id, self.written_at).is_before(&self.head())
    }

    const fn head(&self) -> Head {
        Head {
            cursor: self.cursor,
            compacted: 0,
            horizon: self.horizon,
            newest_lineage: self.newest_lineage,
        }
    }

    /// Returns `true` if no part of the mark is past that head.
    pub(super) fn is_before(&self, head: &Head) -> bool {
        let same_or_later = head.cursor.seq > self.cursor.seq || head.cursor == self.cursor;
        same_or_later && head.horizon >= self.horizon && head.newest_lineage >= self.newest_lineage
    }

    /// Returns `true` if a log continues from the mark: a log with that head, in which `next` follows the mark's `seq`.
    ///
    /// The hash of the next entry covers the entry at the mark, which may have been dropped. Compaction keeps the next
    /// entry; without it nothing is proven.
    #[must_use]
    pub fn is_continued(&self, head: &Head, next: Option<&Entry>) -> bool {
        let chained = |entry: &Entry| {
            let revocation = &entry.revocation;
            revocation.seq == self.cursor.seq + 1
                && revocation.chain(&self.cursor.hash) == entry.hash
        };
        self.is_before(head) && (head.cursor == self.cursor || next.is_some_and(chained))
    }
}

/// The JSON of a slot. Times that are compared are in milliseconds, as in the log.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SlotText {
    version: u32,
    /// The slot with the larger counter is the newer one.
    counter: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    seq: i64,
    hash: String,
    horizon: i64,
    newest_lineage: i64,
    written_at: String,
}

impl SlotText {
    fn mark(&self) -> Option<Mark> {
        let hash = base64url::decode(self.hash.as_bytes()).ok()?;
        let id = self.id.as_ref().map(|text| {
            let bytes = base64url::decode(text.as_bytes()).ok()?;
            bytes.try_into().ok().map(MarkId)
        });
        let id = match id {
            None => None,
            Some(id) => Some(id?),
        };
        Some(Mark {
            id,
            cursor: Cursor {
                seq: self.seq,
                hash: hash.try_into().ok()?,
            },
            horizon: Timestamp::from_millis(self.horizon),
            newest_lineage: Timestamp::from_millis(self.newest_lineage),
            written_at: Timestamp::parse_rfc3339(&self.written_at)?,
        })
    }
}

/// Formats a slot: a line of JSON with its checksum, padded with spaces.
fn slot(mark: &Mark, counter: u64) -> Vec<u8> {
    let json = serde_json::json!(SlotText {
        version: VERSION,
        counter,
        id: mark.id.map(|id| id.to_string()),
        seq: mark.cursor.seq,
        hash: base64url::encode(&mark.cursor.hash),
        horizon: mark.horizon.millis(),
        newest_lineage: mark.newest_lineage.millis(),
        written_at: mark.written_at.to_string(),
    })
    .to_string();
    let sum = base64url::encode(&sha256(json.as_bytes()));
    format!("{:width$}\n", format!("{json} {sum}"), width = SLOT - 1).into_bytes()
}

fn read_slot(bytes: &[u8]) -> Option<(Mark, u64)> {
    let line = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
    let (json, sum) = line.trim_end_matches(' ').rsplit_once(' ')?;
    if base64url::encode(&sha256(json.as_bytes())) != sum {
        return None;
    }
    let text: SlotText = serde_json::from_str(json).ok()?;
    let mark = (text.version == VERSION).then(|| text.mark()).flatten()?;
    Some((mark, text.counter))
}

/// Returns the newer of the two slots. One of them may be torn.
fn newest(bytes: &[u8]) -> Option<(Mark, u64)> {
    let slots = bytes.chunks_exact(SLOT).filter_map(read_slot);
    slots.max_by_key(|(_, counter)| *counter)
}

/// The file of the mark. A lock on the folder serializes the processes that use it.
///
/// The folder and the file stay open from the first use, so that a commit needs no new file descriptor. Each use checks
/// that the path still names the open file, so that a removed or replaced file is never written to.
#[derive(Clone, Debug)]
pub struct MarkFile {
    folder: PathBuf,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    open: Arc<Mutex<OpenFiles>>,
}

/// The open folder and file. Their mutex serializes the threads of this process, because a lock on a folder belongs to
/// the descriptor (flock(2)), which they share.
#[derive(Debug, Default)]
struct OpenFiles {
    folder: Option<File>,
    /// Open for reading and writing.
    file: Option<File>,
}

/// Returns the open file if the path still names it; otherwise closes it and returns `None`.
///
/// # Errors
/// The path does not exist, or its metadata cannot be read.
fn still_named<'a>(open: &'a mut Option<File>, path: &Path) -> io::Result<Option<&'a File>> {
    let named = fs::metadata(path)?;
    if let Some(file) = &*open {
        let known = file.metadata()?;
        if (known.dev(), known.ino()) != (named.dev(), named.ino()) {
            *open = None;
        }
    }
    Ok(open.as_ref())
}

/// Returns the open file if the path still names it; otherwise opens the path.
fn kept<'a>(
    open: &'a mut Option<File>,
    path: &Path,
    options: &OpenOptions,
) -> io::Result<&'a File> {
    still_named(open, path)?;
    match open {
        Some(file) => Ok(file),
        None => Ok(open.insert(options.open(path)?)),
    }
}

/// A lock on the folder, released on drop.
#[derive(Debug)]
struct FolderLock<'a>(&'a File);

impl Drop for FolderLock<'_> {
    fn drop(&mut self) {
        // Unlocking fails only for a file that is not open.
        let _ = self.0.unlock();
    }
}

impl MarkFile {
    /// Creates a handle to the file in that folder. Neither needs to exist.
    #[must_use]
    pub fn new(folder: &Path, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        let folder = folder.to_owned();
        Self {
            folder,
            clock,
            random,
            open: Arc::default(),
        }
    }

    /// Reads the mark.
    ///
    /// # Errors
    /// [`MarkError`] if the mark is missing, damaged or cannot be read.
    pub fn read(&self) -> Result<Mark, MarkError> {
        let OpenFiles { folder, file } = &mut *self.open();
        let folder = self.folder(folder)?;
        self.at(folder.lock_shared())?;
        let _turn = FolderLock(folder);
        let path = self.path();
        let read = match self.at(still_named(file, &path))? {
            Some(file) => self.newest_in(file),
            // Does not keep the file open: a reader may lack the permission to write, which the kept file needs.
            None => self.newest_in(&self.at(File::open(&path))?),
        };
        read.map(|(mark, _)| mark)
    }

    /// Advances the mark to that head, never back, and syncs it to disk.
    ///
    /// # Errors
    /// [`MarkError`]; the state on disk is then unknown.
    pub fn advance(&self, head: &Head) -> Result<(), MarkError> {
        let OpenFiles { folder, file } = &mut *self.open();
        let _turn = self.lock(folder)?;
        self.advance_locked(file, head)
    }

    /// Creates the folder, and the mark at that head. An existing mark is advanced instead.
    ///
    /// # Errors
    /// As for [`MarkFile::advance`].
    pub fn make(&self, head: &Head) -> Result<(), MarkError> {
        self.make_folder()?;
        let OpenFiles { folder, file } = &mut *self.open();
        let turn = self.lock(folder)?;
        match self.advance_locked(file, head) {
            Err(MarkError::Missing(_)) => self.put(&turn, file, head),
            done => done,
        }
    }

    /// Replaces the mark with one at that head, wherever it was.
    ///
    /// # Errors
    /// [`MarkError`] if the mark cannot be written.
    pub fn replace(&self, head: &Head) -> Result<(), MarkError> {
        self.make_folder()?;
        let OpenFiles { folder, file } = &mut *self.open();
        let turn = self.lock(folder)?;
        self.put(&turn, file, head)
    }

    fn open(&self) -> MutexGuard<'_, OpenFiles> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn folder<'a>(&self, open: &'a mut Option<File>) -> Result<&'a File, MarkError> {
        self.at(kept(open, &self.folder, File::options().read(true)))
    }

    fn lock<'a>(&self, folder: &'a mut Option<File>) -> Result<FolderLock<'a>, MarkError> {
        let folder = self.folder(folder)?;
        self.at(folder.lock())?;
        Ok(FolderLock(folder))
    }

    /// Creates the folder if it does not exist.
    fn make_folder(&self) -> Result<(), MarkError> {
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder);
        self.at(made)?;
        let real = self.at(self.folder.canonicalize())?;
        match real.parent() {
            Some(parent) => self.at(File::open(parent).and_then(|parent| parent.sync_all())),
            None => Ok(()),
        }
    }

    fn advance_locked(&self, open: &mut Option<File>, head: &Head) -> Result<(), MarkError> {
        let mut options = OpenOptions::new();
        let file = self.at(kept(open, &self.path(), options.read(true).write(true)))?;
        let (mark, counter) = self.newest_in(file)?;
        if mark.is_before(head) {
            let new = Mark::of(head, mark.id, self.clock.now());
            let counter = counter + 1;
            let offset = SLOT as u64 * (counter % 2);
            self.at(file.write_all_at(&slot(&new, counter), offset))?;
        } else if !Mark::of(head, mark.id, mark.written_at).is_before(&mark.head()) {
            return Err(MarkError::AnotherLog(self.path()));
        }
        // Always syncs: another process may have advanced the mark and died before its write was on disk.
        self.at(file.sync_data())
    }

    fn put(
        &self,
        turn: &FolderLock<'_>,
        open: &mut Option<File>,
        head: &Head,
    ) -> Result<(), MarkError> {
        let id = Some(MarkId::new(&*self.random));
        let mark = Mark::of(head, id, self.clock.now());
        let partial = self.folder.join(PARTIAL);
        let mut options = OpenOptions::new();
        options.create(true).truncate(true).mode(0o600);
        let mut file = self.at(options.read(true).write(true).open(&partial))?;
        // Writes both slots, so that an unreadable slot always means a torn write.
        self.at(file.write_all(&[slot(&mark, 0), slot(&mark, 1)].concat()))?;
        self.at(file.sync_all())?;
        self.at(fs::rename(&partial, self.path()))?;
        *open = Some(file);
        self.at(turn.0.sync_all())
    }

    /// Returns the path of the file.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    fn at<T>(&self, done: io::Result<T>) -> Result<T, MarkError> {
        done.map_err(|cause| match cause.kind() {
            io::ErrorKind::NotFound => MarkError::Missing(self.path()),
            _ => MarkError::Folder {
                path: self.path(),
                cause: Advised::new(cause, "the mark must be writable"),
            },
        })
    }

    fn newest_in(&self, file: &File) -> Result<(Mark, u64), MarkError> {
        let mut bytes = vec![0; 2 * SLOT];
        let damaged = || MarkError::Damaged(self.path());
        if self.at(file.metadata())?.len() != bytes.len() as u64 {
            return Err(damaged());
        }
        self.at(file.read_exact_at(&mut bytes, 0))?;
        newest(&bytes).ok_or_else(damaged)
    }
}

/// Returns `true` if the folder `inner` is `outer` or lies in it. Resolves links. Neither folder needs to exist.
#[must_use]
pub fn lies_in(inner: &Path, outer: &Path) -> bool {
    resolved(inner).starts_with(resolved(outer))
}

fn resolved(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for there in absolute.ancestors() {
        if let (Ok(real), Ok(rest)) = (there.canonicalize(), absolute.strip_prefix(there)) {
            return if rest.as_os_str().is_empty() {
                real
            } else {
                real.join(rest)
            };
        }
    }
    absolute
}
