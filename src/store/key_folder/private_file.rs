//! A file that nobody else may read or change.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use zeroize::Zeroizing;

use super::error::{KeyFolderError, io_at};
use crate::key::KeyError;

/// A file of the folder is small; a larger one is refused.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Whether the file is mounted from a Kubernetes Secret: its folder then has a link of this name to the files.
/// chmod does nothing there.
pub(super) fn is_secret(path: &Path) -> bool {
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
