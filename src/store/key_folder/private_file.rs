//! Reads files that no other user may read or change.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use zeroize::Zeroizing;

use super::error::{KeyFolderError, io_at};
use crate::key::KeyError;

/// The size limit for a file of the key folder.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Returns `true` if the file is mounted from a Kubernetes Secret: its folder then has a link of this name to the
/// files. chmod has no effect there.
pub(super) fn is_secret(path: &Path) -> bool {
    let folder = path.parent();
    folder.is_some_and(|folder| folder.join("..data").is_symlink())
}

/// Reads a file after checking that no other user may read or change it.
///
/// # Errors
/// [`KeyFolderError`] says what to do.
pub fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFolderError> {
    // Checks the type before opening the file: opening a pipe would block until another process writes to it.
    if !fs::metadata(path).map_err(io_at(path))?.is_file() {
        return Err(KeyFolderError::NotAFile {
            path: path.to_owned(),
        });
    }
    let file = File::open(path).map_err(io_at(path))?;
    // Takes the metadata from the open file, so that they describe the file that is read.
    let metadata = file.metadata().map_err(io_at(path))?;
    let mode = metadata.mode() & 0o7777;
    let own = rustix::process::geteuid().as_raw();
    if metadata.uid() != own && metadata.uid() != 0 {
        return Err(KeyFolderError::Owner {
            path: path.to_owned(),
        });
    }
    // A mounted Secret belongs to root, and the service reads it through its group.
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
