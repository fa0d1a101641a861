//! The folder of private keys: one PKCS#8 PEM file per key, mode 0600, and `keyring.json` with the schedule. A process
//! that changes the folder holds its lock. It writes the keys first and the schedule last, so a crash leaves either the
//! old schedule or the new one.

mod change;
mod error;
mod manifest;
mod private_file;
mod rotation;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::files;
use crate::key::{Algorithm, Format, SigningKey};
use crate::keyring::Keyring;
use crate::schedule::{self, Planned, Times};
use crate::time::Timestamp;
pub use change::KeyFolderChange;
pub use error::KeyFolderError;
use error::io_at;
use manifest::MANIFEST;
use private_file::is_secret;
pub use private_file::read_private;
pub use rotation::{Imported, KeyFolder, KeyRevoked, Lack, Rotated, lack};

/// The publication time of keys without a schedule.
fn unscheduled() -> Timestamp {
    Timestamp::EPOCH.minus(schedule::LEAD)
}

/// A key, its schedule and its file.
#[derive(Debug)]
pub struct KeyFile {
    /// The path of the file.
    pub path: PathBuf,
    /// The signing key.
    pub key: SigningKey,
    /// The times of the key in the schedule.
    pub times: Times,
}

impl KeyFile {
    fn planned(&self) -> Planned {
        let public = self.key.public();
        Planned {
            kid: public.kid().clone(),
            algorithm: public.algorithm(),
            times: self.times,
        }
    }
}

/// Loads the keys of the schedule. Without a schedule, loads every `*.pem` in the order of the names, for JWTs: all
/// verify, and the last one signs.
///
/// # Errors
/// [`KeyFolderError`] names the file and says what to do. One bad file makes the whole folder fail.
pub fn load(folder: &Path) -> Result<Vec<KeyFile>, KeyFolderError> {
    match load_once(folder) {
        // Retries once: a key may leave the schedule, and its file the folder, between the two reads.
        Err(KeyFolderError::Io { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
            load_once(folder)
        }
        loaded => loaded,
    }
}

fn load_once(folder: &Path) -> Result<Vec<KeyFile>, KeyFolderError> {
    // Kubernetes mounts a Secret read-only in a folder that belongs to root and whose mode lets everyone write.
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
            return Err(KeyFolderError::manifest(folder.join(MANIFEST), why));
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
        let why = "it is missing, and without it the signing key is unknown";
        return Err(KeyFolderError::manifest(folder.join(MANIFEST), why));
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

/// Returns the creation time of a key file, read from its name, if this program created it for that algorithm.
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

/// Returns `true` if root has mounted a Kubernetes Secret as this folder.
fn is_mounted(folder: &Path) -> bool {
    let is_roots = |path: &Path| fs::symlink_metadata(path).is_ok_and(|found| found.uid() == 0);
    is_secret(&folder.join(MANIFEST)) && is_roots(folder) && is_roots(&folder.join("..data"))
}

/// Loads the folder's keyring.
///
/// # Errors
/// As for [`load`], and [`KeyFolderError::Keyring`].
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

/// Loads the folder's keyring to replace `before`, which came from the same folder. A folder that has lost its schedule
/// or all its keys is broken.
///
/// # Errors
/// As for [`keyring`], and [`KeyFolderError::Gone`].
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
