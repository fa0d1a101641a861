//! The folder of private keys: one PKCS#8 PEM file a key, mode 0600, and `keyring.json` with their
//! times. Whoever changes it holds its lock, and writes the keys first and the times last, so that a
//! crash leaves either the old schedule or the new one.

mod change;
mod manifest;

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::files::{self, UnsafeFile};
use crate::key::{Algorithm, Format, KeyError, SigningKey};
use crate::keyring::{Keyring, KeyringError};
use crate::schedule::{self, Times};
use crate::time::Timestamp;
pub use change::Change;
use manifest::MANIFEST;

/// A file of the folder is small; a larger one is refused.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// When keys without a schedule were published.
fn unscheduled() -> Timestamp {
    Timestamp::EPOCH.minus(schedule::LEAD)
}

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

/// A key, its times, and the file that it came from.
#[derive(Debug)]
pub struct KeyFile {
    /// The file.
    pub path: PathBuf,
    /// The key.
    pub key: SigningKey,
    /// Its times.
    pub times: Times,
}

fn io_at(path: &Path) -> impl Fn(io::Error) -> KeyFolderError {
    let path = path.to_owned();
    move |cause| KeyFolderError::Io {
        path: path.clone(),
        cause,
    }
}

/// The keys of the schedule. A folder without one is read as every `*.pem` in the order of the names,
/// for JWTs: all verify, and the last signs.
///
/// # Errors
/// [`KeyFolderError`] names the file and says what to do. One bad file refuses the folder.
pub fn load(folder: &Path) -> Result<Vec<KeyFile>, KeyFolderError> {
    match load_once(folder) {
        // A key may have left the schedule, and its file the folder, in between.
        Err(KeyFolderError::Io { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
            load_once(folder)
        }
        loaded => loaded,
    }
}

fn load_once(folder: &Path) -> Result<Vec<KeyFile>, KeyFolderError> {
    // Kubernetes mounts a Secret read-only in a folder of root's that says that everybody can write to it.
    if !is_mounted(folder) {
        files::check(folder, &[])?;
    }
    let Some(entries) = manifest::read(folder)? else {
        return load_unscheduled(folder);
    };
    let files = entries.into_iter().map(|entry| {
        let path = folder.join(&entry.file);
        let file = load_file(path.clone(), entry.algorithm.format(), entry.times)?;
        let public = file.key.public();
        if *public.kid() != entry.kid || public.algorithm() != entry.algorithm {
            let why = format!(
                "{} is not the key {} that the schedule says it is",
                path.display(),
                entry.kid
            );
            return Err(KeyFolderError::Manifest {
                path: folder.join(MANIFEST),
                why,
            });
        }
        Ok(file)
    });
    files.collect()
}

fn load_unscheduled(folder: &Path) -> Result<Vec<KeyFile>, KeyFolderError> {
    let paths = pem_files(folder)?;
    let made_here = |path: &PathBuf| {
        Algorithm::ALL
            .iter()
            .any(|algorithm| made_for(path, *algorithm).is_some())
    };
    if paths.iter().any(made_here) {
        return Err(KeyFolderError::Manifest {
            path: folder.join(MANIFEST),
            why: "it is missing, and without it nobody knows which key signs".to_owned(),
        });
    }
    let last = paths.len().saturating_sub(1);
    let turn = |index: usize| Timestamp::from_millis(i64::try_from(index).unwrap_or(i64::MAX));
    let times = |index| Times {
        signs_from: Some(turn(index)),
        signs_until: if index == last {
            Timestamp::NEVER
        } else {
            turn(index + 1)
        },
        ..Times::successor(unscheduled())
    };
    paths
        .into_iter()
        .enumerate()
        .map(|(index, path)| load_file(path, Format::Jwt, times(index)))
        .collect()
}

/// When the file was made, if it was made here for a key of that algorithm.
fn made_for(path: &Path, algorithm: Algorithm) -> Option<Timestamp> {
    let name = path.file_name()?.to_str()?;
    let (millis, rest) = name.split_once('-')?;
    rest.strip_prefix(algorithm.name())?.strip_prefix('-')?;
    millis.parse().ok().map(Timestamp::from_millis)
}

fn pem_files(folder: &Path) -> Result<Vec<PathBuf>, KeyFolderError> {
    let mut paths = Vec::new();
    match fs::read_dir(folder) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
        Err(cause) => return Err(io_at(folder)(cause)),
        Ok(entries) => {
            for entry in entries {
                let path = entry.map_err(io_at(folder))?.path();
                if path.extension().is_some_and(|extension| extension == "pem") {
                    paths.push(path);
                }
            }
        }
    }
    paths.sort();
    Ok(paths)
}

fn load_file(path: PathBuf, format: Format, times: Times) -> Result<KeyFile, KeyFolderError> {
    let pem = read_private(&path)?;
    match SigningKey::from_pem(&pem, format) {
        Ok(key) => Ok(KeyFile { path, key, times }),
        Err(why) => Err(KeyFolderError::Key { path, why }),
    }
}

/// Whether root has mounted a Kubernetes Secret as this folder.
fn is_mounted(folder: &Path) -> bool {
    let is_roots = |path: &Path| fs::symlink_metadata(path).is_ok_and(|found| found.uid() == 0);
    is_secret(&folder.join(MANIFEST)) && is_roots(folder) && is_roots(&folder.join("..data"))
}

/// Whether the file is mounted from a Kubernetes Secret: its folder then has a link of this name to the files.
/// chmod does nothing there.
fn is_secret(path: &Path) -> bool {
    let folder = path.parent();
    folder.is_some_and(|folder| folder.join("..data").is_symlink())
}

/// Reads a file that nobody else may read or change.
///
/// # Errors
/// [`KeyFolderError`].
pub fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFolderError> {
    // Before it is opened: opening a pipe would wait for somebody to write.
    if !fs::metadata(path).map_err(io_at(path))?.is_file() {
        return Err(KeyFolderError::NotAFile {
            path: path.to_owned(),
        });
    }
    let file = File::open(path).map_err(io_at(path))?;
    // Of the open file, so that it cannot be another one than the one that is read.
    let metadata = file.metadata().map_err(io_at(path))?;
    let mode = metadata.mode() & 0o7777;
    let own = rustix::process::geteuid().as_raw();
    if metadata.uid() != own && metadata.uid() != 0 {
        return Err(KeyFolderError::Owner {
            path: path.to_owned(),
        });
    }
    // A mounted secret belongs to root, and the service reads it through its group.
    let mounted = metadata.uid() != own;
    if mode & if mounted { 0o037 } else { 0o077 } != 0 {
        let path = path.to_owned();
        return Err(match is_secret(&path) {
            true => KeyFolderError::SecretMode { path, mode },
            false => KeyFolderError::Mode { path, mode },
        });
    }
    let mut content = Zeroizing::new(Vec::new());
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut content)
        .map_err(io_at(path))?;
    if content.len() as u64 > MAX_FILE_BYTES {
        return Err(KeyFolderError::Key {
            path: path.to_owned(),
            why: KeyError::NotPem,
        });
    }
    Ok(content)
}

/// The folder's keyring.
///
/// # Errors
/// As [`load`], and [`KeyFolderError::Keyring`].
pub fn keyring(folder: &Path) -> Result<Keyring, KeyFolderError> {
    let keys = load(folder)?
        .into_iter()
        .map(|file| (file.key, file.times))
        .collect();
    Keyring::new(keys).map_err(|why| KeyFolderError::Keyring {
        path: folder.to_owned(),
        why,
    })
}

/// The folder's keyring, to take the place of `before`, which came from it: a folder that has lost
/// its schedule or all its keys is broken.
///
/// # Errors
/// As [`keyring`], and [`KeyFolderError::Gone`].
pub fn reload(folder: &Path, before: &Keyring) -> Result<Keyring, KeyFolderError> {
    let keyring = keyring(folder)?;
    let scheduled = |keyring: &Keyring| {
        let mut keys = keyring.plan().iter();
        keys.any(|key| key.times.published != unscheduled())
    };
    let lost = before.plan().len() > keyring.plan().len() && keyring.plan().is_empty();
    if lost || (scheduled(before) && !scheduled(&keyring)) {
        return Err(KeyFolderError::Gone {
            path: folder.to_owned(),
        });
    }
    Ok(keyring)
}
