//! The folder of private keys: one PKCS#8 PEM file a key, mode 0600.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::key::{Algorithm, KeyError, SigningKey, generate_pem};
use crate::keyring::{Keyring, KeyringError};
use crate::random::OsRandom;
use crate::time::Timestamp;

/// A key file is small; what is larger is not read.
const MAX_FILE_BYTES: u64 = 16 * 1024;

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
    /// Others than the owner may read or write the file.
    #[error("{path} has mode {mode:04o}, so that others can read or change the key; run: chmod 600 {path}", path = path.display())]
    Mode {
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
    /// The keys do not fit together.
    #[error("{path}: {why}", path = path.display())]
    Keyring {
        /// The folder.
        path: PathBuf,
        /// Why.
        why: KeyringError,
    },
}

/// A key and the file that it came from.
#[derive(Debug)]
pub struct KeyFile {
    /// The file.
    pub path: PathBuf,
    /// The key.
    pub key: SigningKey,
}

/// Every `*.pem` of the folder, in the order of the names. The names that [`create`] gives begin
/// with the time, so the newest is last.
///
/// # Errors
/// [`KeyFolderError`] names the file and says what to do. One bad file refuses the folder.
pub fn load(folder: &Path) -> Result<Vec<KeyFile>, KeyFolderError> {
    let io_at = |path: &Path| {
        let path = path.to_owned();
        move |cause| KeyFolderError::Io { path, cause }
    };
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
    paths.into_iter().map(load_file).collect()
}

fn load_file(path: PathBuf) -> Result<KeyFile, KeyFolderError> {
    let io_error = |cause| KeyFolderError::Io {
        path: path.clone(),
        cause,
    };
    // Before it is opened: opening a pipe would wait for somebody to write.
    if !fs::metadata(&path).map_err(io_error)?.is_file() {
        return Err(KeyFolderError::NotAFile { path });
    }
    let file = File::open(&path).map_err(io_error)?;
    // Of the open file, so that it cannot be another one than the one that is read.
    let metadata = file.metadata().map_err(io_error)?;
    let mode = metadata.mode() & 0o7777;
    let owners = [0, rustix::process::geteuid().as_raw()];
    if !owners.contains(&metadata.uid()) {
        return Err(KeyFolderError::Owner { path });
    }
    if mode & 0o077 != 0 {
        return Err(KeyFolderError::Mode { path, mode });
    }
    let mut pem = Zeroizing::new(Vec::new());
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut pem)
        .map_err(io_error)?;
    let key = if pem.len() as u64 > MAX_FILE_BYTES {
        Err(KeyError::NotPem)
    } else {
        SigningKey::from_pem(&pem)
    };
    match key {
        Ok(key) => Ok(KeyFile { path, key }),
        Err(why) => Err(KeyFolderError::Key { path, why }),
    }
}

/// The folder's keyring; the newest key signs.
///
/// # Errors
/// As [`load`], and [`KeyFolderError::Keyring`].
pub fn keyring(folder: &Path) -> Result<Keyring, KeyFolderError> {
    let keys = load(folder)?.into_iter().map(|file| file.key).collect();
    Keyring::from_signing_keys(keys).map_err(|why| KeyFolderError::Keyring {
        path: folder.to_owned(),
        why,
    })
}

/// Makes a key in the folder, durably, and gives its file. A crash leaves either the whole key or
/// none: the file gets its name last.
///
/// # Errors
/// [`KeyFolderError::Io`].
pub fn create(
    folder: &Path,
    algorithm: Algorithm,
    now: Timestamp,
    random: &OsRandom,
) -> Result<PathBuf, KeyFolderError> {
    let pem = generate_pem(algorithm, random);
    let key = SigningKey::from_pem(pem.as_bytes()).map_err(|why| KeyFolderError::Key {
        path: folder.to_owned(),
        why,
    })?;
    let name = format!("{:013}-{}.pem", now.millis(), key.public().kid());
    let (path, partial) = (folder.join(&name), folder.join(format!(".{name}.partial")));
    let write = || -> io::Result<()> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&partial)?;
        file.write_all(pem.as_bytes())?;
        file.sync_all()?;
        fs::rename(&partial, &path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|cause| KeyFolderError::Io {
        path: path.clone(),
        cause,
    })?;
    Ok(path)
}
