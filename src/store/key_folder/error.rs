//! Why a folder gives no keyring.

use std::io;
use std::path::{Path, PathBuf};

use crate::key::KeyError;
use crate::keyring::KeyringError;
use crate::store::files::UnsafeFile;

/// Why a folder gives no keyring.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFolderError {
    /// The file system refused.
    #[error("{path}: {cause}", path = path.display())]
    Io {
        /// What it refused.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// A folder, a pipe or a device.
    #[error("{path} is not a file; remove it, or give it another ending than .pem", path = path.display())]
    NotAFile {
        /// What is not a file.
        path: PathBuf,
    },
    /// Somebody else put the file there.
    #[error("{path} belongs to another user, who may know the key or change it; if it is yours, take it over with chown", path = path.display())]
    Owner {
        /// The file.
        path: PathBuf,
    },
    /// The folder belongs to another user, who could not read what is made in it.
    #[error("{path} belongs to the user with the ID {owner}; run this as that user: sudo -u '#{owner}' waxseal keys …", path = path.display())]
    AnothersFolder {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// Others may change the folder.
    #[error(transparent)]
    Unsafe(#[from] UnsafeFile),
    /// Others than the owner may read or write the file.
    #[error("{path} has mode {mode:04o}, so that others can read or change the key; run: chmod 600 {path}", path = path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Others than the group may read the file of a mounted Secret, or the group may change it.
    #[error("{path} has mode {mode:04o}, so that others can read or change the key; in the pod's volume of this Secret set: defaultMode: 0440", path = path.display())]
    SecretMode {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The file is not a key that can be used.
    #[error("{path} is refused: {why}", path = path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        why: KeyError,
    },
    /// The schedule cannot be read.
    #[error("{path} is refused: {why}; restore it from a copy", path = path.display())]
    Manifest {
        /// The schedule.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// It had keys, and has none.
    #[error("{path} has no keys any more; restore it from a copy", path = path.display())]
    Gone {
        /// The folder.
        path: PathBuf,
    },
    /// The keys do not fit together.
    #[error("{path}: {why}", path = path.display())]
    Keyring {
        /// The folder.
        path: PathBuf,
        /// Why.
        why: KeyringError,
    },
}

impl KeyFolderError {
    /// Whether the folder was not looked at, because no more files can be open in this process (EMFILE) or in the
    /// system (ENFILE). It says nothing of the keys.
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
