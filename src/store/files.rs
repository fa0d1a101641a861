//! Checks of ownership and mode: only the user of the process and root may change the folders and files of the
//! database, the mark and the keys.

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::{getegid, geteuid, getgroups};

const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;
const SET_GID: u32 = 0o2000;
const STICKY: u32 = 0o1000;

/// A folder or file that another user may change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnsafeFile {
    /// The file system refused to give the metadata.
    #[error("{path}", path = path.display())]
    Io {
        /// The folder or the file.
        path: PathBuf,
        /// The error of the operating system.
        #[source]
        cause: io::Error,
    },
    /// Another user owns the entry.
    #[error("{path} belongs to the user with the ID {owner}, who can change it; run this as that user, or take it over: chown {user} {path}", path = path.display())]
    Owner {
        /// The folder or the file.
        path: PathBuf,
        /// The owner's user ID.
        owner: u32,
        /// The user ID of this process.
        user: u32,
    },
    /// Other users may write to the entry.
    #[error("{path} has mode {mode:04o}, so that others can change it; run: chmod go-w {path}", path = path.display())]
    Mode {
        /// The folder or the file.
        path: PathBuf,
        /// The mode of the entry.
        mode: u32,
    },
    /// Other users may write to a folder that belongs to root, such as the volume of a container.
    #[error("{path} belongs to root and has mode {mode:04o}, so that others can change it; set a folder in it, such as {path}/waxseal, which Waxseal makes for itself", path = path.display())]
    Volume {
        /// The folder.
        path: PathBuf,
        /// The mode of the folder.
        mode: u32,
    },
}

/// The user and the groups of this process.
struct Process {
    user: u32,
    group: u32,
    groups: Vec<u32>,
}

/// The owner and the mode of a folder or a file.
#[derive(Clone, Copy)]
struct Permissions {
    owner: u32,
    group: u32,
    mode: u32,
}

#[derive(Debug, PartialEq, Eq)]
enum Safety {
    Good,
    AnotherOwner,
    OthersWrite,
}

impl Process {
    fn this() -> Self {
        let groups = getgroups().unwrap_or_default();
        Self {
            user: geteuid().as_raw(),
            group: getegid().as_raw(),
            groups: groups.iter().map(|group| group.as_raw()).collect(),
        }
    }

    fn has(&self, group: u32) -> bool {
        self.group == group || self.groups.contains(&group)
    }

    /// Returns `true` if the group of `entry`, which is `folder` or lies in it, is used by this process alone.
    ///
    /// Three kinds of group count: the private group that many systems create for each user, with the user's ID; the
    /// group through which root gives a folder to a process that is not root; and the `fsGroup` of a Kubernetes pod,
    /// which makes its volumes writable to the group and sets the set-group-ID bit of their folders.
    fn owns_group(&self, entry: Permissions, folder: Permissions) -> bool {
        let private = entry.group == self.group && self.group == self.user;
        let given = entry.owner == 0 && self.user != 0;
        let of_volume = folder.mode & SET_GID != 0 && folder.group == entry.group;
        private || (self.has(entry.group) && (given || of_volume))
    }

    fn judge(&self, entry: Permissions, folder: Permissions) -> Safety {
        let group_writes = entry.mode & GROUP_WRITES != 0 && !self.owns_group(entry, folder);
        if entry.owner != self.user && entry.owner != 0 {
            Safety::AnotherOwner
        } else if entry.mode & OTHERS_WRITE != 0 || group_writes {
            Safety::OthersWrite
        } else {
            Safety::Good
        }
    }
}

impl Permissions {
    fn of(metadata: &Metadata) -> Self {
        Self {
            owner: metadata.uid(),
            group: metadata.gid(),
            mode: metadata.mode() & 0o7777,
        }
    }
}

/// Refuses a folder, or one of the named files in it, that a user other than this process's user and root may change.
/// Skips a missing entry. Follows links.
///
/// # Errors
/// [`UnsafeFile`] says what to do.
pub fn check(folder: &Path, files: &[&str]) -> Result<(), UnsafeFile> {
    let Some(own) = entry(folder)? else {
        return Ok(());
    };
    let process = Process::this();
    refuse(folder, &process, own, own)?;
    for name in files {
        let path = folder.join(name);
        if let Some(file) = entry(&path)? {
            refuse(&path, &process, file, own)?;
        }
    }
    Ok(())
}

/// Warns if another user can replace the whole folder because of a folder above it. It is not an error, because the
/// folder may be in a volume whose mode cannot be changed.
pub fn warn_of_parents(folder: &Path) {
    let Ok(path) = fs::canonicalize(folder) else {
        return;
    };
    let process = Process::this();
    for parent in path.ancestors().skip(1) {
        let Ok(Some(entry)) = entry(parent) else {
            continue;
        };
        let (folder, parent) = (folder.display(), parent.display());
        if entry.mode & OTHERS_WRITE != 0 && entry.mode & STICKY == 0 {
            tracing::warn!(
                %folder,
                "everybody can replace the folder, because everybody can write to {parent}; run: chmod +t {parent}"
            );
        } else if entry.owner != process.user && entry.owner != 0 {
            tracing::warn!(
                %folder,
                "the user with the ID {owner} can replace the folder, because {parent} belongs to that user; use a folder below one that belongs to root or to this user",
                owner = entry.owner
            );
        }
    }
}

fn entry(path: &Path) -> Result<Option<Permissions>, UnsafeFile> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(Permissions::of(&metadata))),
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(UnsafeFile::Io {
            path: path.to_owned(),
            cause,
        }),
    }
}

fn refuse(
    path: &Path,
    process: &Process,
    entry: Permissions,
    folder: Permissions,
) -> Result<(), UnsafeFile> {
    let path = path.to_owned();
    let mode = entry.mode;
    match process.judge(entry, folder) {
        Safety::Good => Ok(()),
        Safety::AnotherOwner => Err(UnsafeFile::Owner {
            path,
            owner: entry.owner,
            user: process.user,
        }),
        Safety::OthersWrite if entry.owner != process.user && path.is_dir() => {
            Err(UnsafeFile::Volume { path, mode })
        }
        Safety::OthersWrite => Err(UnsafeFile::Mode { path, mode }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process of user 1000 with the groups 1000 and 2000.
    fn process() -> Process {
        Process {
            user: 1000,
            group: 1000,
            groups: vec![1000, 2000],
        }
    }

    fn entry((owner, group, mode): (u32, u32, u32)) -> Permissions {
        Permissions { owner, group, mode }
    }

    #[test]
    fn a_folder_is_good_that_nobody_else_can_change() {
        use Safety::{AnotherOwner, Good, OthersWrite};
        for (folder, verdict) in [
            ((1000, 1000, 0o700), Good),
            ((1000, 1000, 0o755), Good),
            ((1000, 50, 0o750), Good),
            // umask 002, with the user's private group.
            ((1000, 1000, 0o775), Good),
            ((1000, 2000, 0o775), OthersWrite),
            ((1000, 50, 0o775), OthersWrite),
            ((1000, 1000, 0o777), OthersWrite),
            ((1000, 1000, 0o1777), OthersWrite),
            ((1000, 1000, 0o702), OthersWrite),
            ((1001, 1000, 0o700), AnotherOwner),
            ((1001, 2000, 0o2770), AnotherOwner),
            // A volume with fsGroup 2000, and a folder in such a volume after a remount.
            ((0, 2000, 0o2775), Good),
            ((1000, 2000, 0o2770), Good),
            ((1000, 50, 0o2770), OthersWrite),
            ((0, 2000, 0o2777), OthersWrite),
            // A folder that root owns and gave to the group.
            ((0, 2000, 0o770), Good),
            ((0, 0, 0o755), Good),
            ((0, 0, 0o775), OthersWrite),
            ((0, 50, 0o770), OthersWrite),
        ] {
            let entry = entry(folder);
            assert_eq!(process().judge(entry, entry), verdict, "{folder:?}");
        }
    }

    #[test]
    fn a_file_is_good_that_nobody_else_can_change() {
        use Safety::{AnotherOwner, Good, OthersWrite};
        let (own, volume) = ((1000, 1000, 0o700), (1000, 2000, 0o2770));
        for (folder, file, verdict) in [
            (own, (1000, 1000, 0o600), Good),
            (own, (1000, 1000, 0o644), Good),
            (own, (1000, 1000, 0o664), Good),
            (own, (1000, 2000, 0o660), OthersWrite),
            (own, (1000, 1000, 0o666), OthersWrite),
            (own, (0, 0, 0o600), Good),
            (own, (1001, 1000, 0o600), AnotherOwner),
            (volume, (1000, 2000, 0o660), Good),
            (volume, (1000, 50, 0o660), OthersWrite),
            (volume, (1000, 2000, 0o662), OthersWrite),
        ] {
            let verdict_here = process().judge(entry(file), entry(folder));
            assert_eq!(verdict_here, verdict, "{folder:?}, {file:?}");
        }
    }

    #[test]
    fn root_has_no_folder_by_its_group() {
        let root = Process {
            user: 0,
            group: 0,
            groups: vec![0, 4],
        };
        for (folder, verdict) in [
            ((0, 0, 0o755), Safety::Good),
            ((0, 0, 0o775), Safety::Good),
            ((0, 4, 0o775), Safety::OthersWrite),
            ((0, 0, 0o777), Safety::OthersWrite),
            ((1000, 1000, 0o700), Safety::AnotherOwner),
        ] {
            let entry = entry(folder);
            assert_eq!(root.judge(entry, entry), verdict, "{folder:?}");
        }
    }
}
