//! Changes to the key folder.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::manifest::{self, MANIFEST};
use super::{KeyFile, KeyFolderError, io_at, load, load_file, made_for, pem_files};
use crate::id::KeyId;
use crate::key::{Algorithm, Format, SigningKey, VerifyingKey, generate_pem};
use crate::keyring::KeyringError;
use crate::random::OsRandom;
use crate::schedule::{self, Planned, Times};
use crate::time::Timestamp;

const PARTIAL: &str = ".partial";

const LOCK: &str = ".lock";

/// Exclusive access to the folder for one process that changes it. Before [`KeyFolderChange::commit`] the only changes
/// are new key files that no schedule names yet.
#[derive(Debug)]
pub struct KeyFolderChange {
    /// The schedule, which the caller edits.
    pub plan: Vec<Planned>,
    pub(super) keys: KeyFiles,
    _lock: File,
}

/// The key files of a folder, those of the schedule and new ones.
#[derive(Debug)]
pub(super) struct KeyFiles {
    folder: PathBuf,
    files: Vec<(KeyId, PathBuf)>,
    public: Vec<VerifyingKey>,
    newest: Timestamp,
    without_schedule: Option<String>,
}

impl KeyFolderChange {
    /// Creates the folder if it does not exist, waits for its lock, and reads it.
    ///
    /// # Errors
    /// [`KeyFolderError`]; a folder that is mounted read-only cannot be changed.
    pub fn begin(folder: &Path) -> Result<Self, KeyFolderError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(io_at(folder))?;
        // The service cannot read files that another user creates here.
        let owner = fs::metadata(folder).map_err(io_at(folder))?.uid();
        if owner != rustix::process::geteuid().as_raw() {
            let path = folder.to_owned();
            return Err(KeyFolderError::AnothersFolder { path, owner });
        }
        let path = folder.join(LOCK);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path);
        let lock = lock.map_err(io_at(&path))?;
        lock.lock().map_err(io_at(&path))?;
        remove_partial(folder)?;
        let loaded = load(folder)?;
        let plan: Vec<_> = loaded.iter().map(KeyFile::planned).collect();
        let public = loaded
            .iter()
            .map(|file| file.key.public().clone())
            .collect();
        let newest = plan.iter().map(|key| key.times.published).max();
        let files: Vec<_> = loaded
            .into_iter()
            .map(|file| (file.key.public().kid().clone(), file.path))
            .collect();
        let bare = manifest::read(folder)?.is_none();
        let keys = KeyFiles {
            folder: folder.to_owned(),
            public,
            newest: newest.unwrap_or(Timestamp::EPOCH),
            without_schedule: bare.then(|| manifest::write(&plan, &files)),
            files,
        };
        Ok(Self {
            plan,
            keys,
            _lock: lock,
        })
    }

    /// Adds a key to the folder durably, and returns its ID and algorithm. The file gets its name only once it is
    /// complete. The caller adds the key to the schedule.
    ///
    /// # Errors
    /// [`KeyFolderError`] if the key is invalid, is already in the folder, or cannot be written.
    pub fn add_pem(
        &mut self,
        pem: &str,
        format: Format,
        now: Timestamp,
    ) -> Result<(KeyId, Algorithm), KeyFolderError> {
        self.keys.add_pem(pem, format, now)
    }

    /// Checks the schedule and writes it, and then removes the files of keys that left it.
    ///
    /// # Errors
    /// [`KeyFolderError`]; if the schedule is invalid or cannot be written, the folder keeps its previous one.
    pub fn commit(self) -> Result<(), KeyFolderError> {
        let KeyFiles { folder, files, .. } = &self.keys;
        schedule::check(&self.plan).map_err(KeyFolderError::of_schedule(folder))?;
        let listed = |kid: &KeyId| self.plan.iter().any(|key| key.kid == *kid);
        let text = manifest::write(&self.plan, files);
        write_durably(folder, MANIFEST, text.as_bytes()).map_err(io_at(&folder.join(MANIFEST)))?;
        for (_, path) in files.iter().filter(|(kid, _)| !listed(kid)) {
            fs::remove_file(path).map_err(io_at(path))?;
        }
        Ok(())
    }
}

impl KeyFiles {
    /// Returns a key of that algorithm that the schedule does not have yet: a key that an interrupted run left behind,
    /// or else a new one.
    ///
    /// # Errors
    /// [`KeyFolderError`] if the key cannot be read or written.
    pub(super) fn new_key(
        &mut self,
        algorithm: Algorithm,
        now: Timestamp,
        random: &OsRandom,
    ) -> Result<KeyId, KeyFolderError> {
        for path in pem_files(&self.folder)? {
            // Skips an older file: its key was in the schedule and has left it.
            let new = made_for(&path, algorithm).is_some_and(|made| self.newest <= made);
            if new && !self.files.iter().any(|(_, known)| *known == path) {
                let file = load_file(path, algorithm.format(), Times::successor(now))?;
                let public = file.key.public().clone();
                if public.algorithm() == algorithm && self.twin(&public).is_ok() {
                    self.files.push((public.kid().clone(), file.path));
                    self.public.push(public.clone());
                    return Ok(public.kid().clone());
                }
            }
        }
        self.add_pem(&generate_pem(algorithm, random), algorithm.format(), now)
            .map(|(kid, _)| kid)
    }

    /// Refuses a key whose public key the folder has already, in any format.
    fn twin(&self, public: &VerifyingKey) -> Result<(), KeyFolderError> {
        let twin = self
            .public
            .iter()
            .find(|known| known.public_bytes() == public.public_bytes());
        match twin {
            None => Ok(()),
            Some(twin) => Err(KeyFolderError::Keyring {
                path: self.folder.clone(),
                why: KeyringError::of_twins(twin, public),
            }),
        }
    }

    fn add_pem(
        &mut self,
        pem: &str,
        format: Format,
        now: Timestamp,
    ) -> Result<(KeyId, Algorithm), KeyFolderError> {
        let key =
            SigningKey::from_pem(pem.as_bytes(), format).map_err(|why| KeyFolderError::Key {
                path: self.folder.clone(),
                why,
            })?;
        self.twin(key.public())?;
        let (kid, algorithm) = (key.public().kid().clone(), key.public().algorithm());
        if let Some(text) = self.without_schedule.take() {
            // Writes a schedule first: without one the new file would count as the newest key, which signs.
            write_durably(&self.folder, MANIFEST, text.as_bytes())
                .map_err(io_at(&self.folder.join(MANIFEST)))?;
        }
        let name = format!("{:013}-{}-{kid}.pem", now.millis(), algorithm.name());
        let path = self.folder.join(&name);
        write_durably(&self.folder, &name, pem.as_bytes()).map_err(io_at(&path))?;
        self.files.push((kid.clone(), path));
        self.public.push(key.public().clone());
        Ok((kid, algorithm))
    }
}

/// Removes the partial files of an interrupted run: only the holder of the lock writes.
fn remove_partial(folder: &Path) -> Result<(), KeyFolderError> {
    for entry in fs::read_dir(folder).map_err(io_at(folder))? {
        let entry = entry.map_err(io_at(folder))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') && name.ends_with(PARTIAL) {
            fs::remove_file(entry.path()).map_err(io_at(&entry.path()))?;
        }
    }
    Ok(())
}

/// Writes a file atomically and durably: the file gets its name only once its content is on disk, and the name is on
/// disk on return.
fn write_durably(folder: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let partial = folder.join(format!(".{name}{PARTIAL}"));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&partial)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&partial, folder.join(name))?;
    File::open(folder)?.sync_all()
}
