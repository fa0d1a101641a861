//! The reasons for which a folder gives no keyring.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use crate::id::KeyId;
use crate::key::KeyError;
use crate::keyring::KeyringError;
use crate::report::Advised;
use crate::schedule::{NotYet, ScheduleError};
use crate::store::files::UnsafeFile;

/// A failure to read or change the key folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFolderError {
    /// The file system refused an operation.
    #[error("{path}", path = path.display())]
    Io {
        /// The path of the operation.
        path: PathBuf,
        /// The error of the operating system.
        #[source]
        cause: io::Error,
    },
    /// The path is a folder, a pipe or a device.
    #[error("{path} is not a file; remove it, or give it another ending than .pem", path = path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// Another user owns the file.
    #[error("{path} belongs to another user, who may know the key or change it; if it is yours, take it over with chown", path = path.display())]
    Owner {
        /// The file.
        path: PathBuf,
    },
    /// The folder belongs to another user, who could not read the files that this process creates in it.
    #[error("{path} belongs to the user with the ID {owner}; run this as that user: sudo -u '#{owner}' waxseal keys …", path = path.display())]
    AnothersFolder {
        /// The folder.
        path: PathBuf,
        /// The owner's user ID.
        owner: u32,
    },
    /// Other users may change the folder.
    #[error(transparent)]
    Unsafe(#[from] UnsafeFile),
    /// Users other than the owner may read or write the file.
    #[error("{path} has mode {mode:04o}, so that others can read or change the key; run: chmod 600 {path}", path = path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// The mode of the file.
        mode: u32,
    },
    /// Users outside the group may read the file of a mounted Secret, or the group may change it.
    #[error("{path} has mode {mode:04o}, so that others can read or change the key; in the pod's volume of this Secret set: defaultMode: 0440", path = path.display())]
    SecretMode {
        /// The file.
        path: PathBuf,
        /// The mode of the file.
        mode: u32,
    },
    /// The file does not contain a usable key.
    #[error("{path} is refused", path = path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        why: KeyError,
    },
    /// The schedule is missing or invalid.
    #[error("{path} is refused", path = path.display())]
    Manifest {
        /// The path of the schedule.
        path: PathBuf,
        /// The reason, with advice.
        #[source]
        why: Advised,
    },
    /// The folder had keys or a schedule and has lost them.
    #[error("{path} has no keys any more; restore it from a copy", path = path.display())]
    Gone {
        /// The folder.
        path: PathBuf,
    },
    /// The keys contradict each other.
    #[error("{path}", path = path.display())]
    Keyring {
        /// The folder.
        path: PathBuf,
        /// The reason.
        #[source]
        why: KeyringError,
    },
    /// Every key begins to sign in the future, which a rotation does not change.
    #[error(transparent)]
    NotYet(#[from] NotYet),
    /// The key to import was revoked.
    #[error("the key {0} is revoked, for good; make another")]
    Revoked(KeyId),
    /// The folder has the key to import.
    #[error("the key {kid} is in {path} already", path = path.display())]
    Known {
        /// The key.
        kid: KeyId,
        /// The folder.
        path: PathBuf,
    },
}

impl KeyFolderError {
    /// Returns the function that makes the error for an invalid schedule of this folder.
    pub(super) fn of_schedule(folder: &Path) -> impl Fn(ScheduleError) -> Self {
        move |why| Self::Keyring {
            path: folder.to_owned(),
            why: why.into(),
        }
    }

    /// The error for a schedule that is missing or invalid.
    pub(super) fn manifest(path: PathBuf, why: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Manifest {
            path,
            why: Advised::new(why, "restore it from a copy"),
        }
    }

    /// Returns `true` if the folder could not be read because this process (EMFILE) or the system (ENFILE) has no free
    /// file descriptor. Such a failure says nothing about the keys.
    #[doc(hidden)]
    #[must_use]
    pub fn is_out_of_descriptors(&self) -> bool {
        use rustix::io::Errno;
        let Self::Io { cause, .. } = self else {
            return false;
        };
        let errno = Errno::from_io_error(cause);
        matches!(errno, Some(Errno::MFILE | Errno::NFILE))
    }
}

pub(super) fn io_at(path: &Path) -> impl Fn(io::Error) -> KeyFolderError {
    let path = path.to_owned();
    move |cause| KeyFolderError::Io {
        path: path.clone(),
        cause,
    }
}
