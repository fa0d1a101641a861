//! The reasons for which a service does not open.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::account::password::HashingFailed;
use crate::key::Format;
use crate::policy::BadPolicy;
use crate::report::{Advised, report};
use crate::revocation::follower::FollowError;
use crate::revocation::log::StoreError;
use crate::store::files::UnsafeFile;
use crate::store::key_folder::KeyFolderError;
use crate::store::mark::MarkError;
use crate::time::Timestamp;

/// A failure to open the service.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A folder cannot be created, read or written.
    #[error("{path}", path = path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The error of the operating system, with advice.
        #[source]
        cause: Advised,
    },
    /// The database file does not exist.
    #[error("there is no database at {path}; run this in the folder where the service runs, or set --data-dir or WAXSEAL_DATA_DIR", path = .0.display())]
    NoDatabase(PathBuf),
    /// Other users may change a folder or a file.
    #[error(transparent)]
    Unsafe(#[from] UnsafeFile),
    /// The key folder cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyFolderError),
    /// Another format was issued before, and verifiers may not have the keys of this one yet.
    #[error("tokens cannot be written as {format} before {from}: verifiers may not have its keys yet. Until then go on with the other format, and with accept = \"jwt,paseto\", which publishes the keys of both", format = format.name())]
    TooEarly {
        /// The format of the tokens to issue.
        format: Format,
        /// The time from which the format can be issued.
        from: Timestamp,
    },
    /// The database cannot be opened.
    #[error("{database}")]
    Store {
        /// The database: a file, or an address without its credentials.
        database: String,
        /// The error of the store.
        #[source]
        cause: StoreError,
    },
    /// The folder of the mark is in the data folder.
    #[error("the mark's folder {mark_dir} is in the data folder {data_dir}: it would be put back together with an older copy of the database; set --mark-dir", mark_dir = mark_dir.display(), data_dir = data_dir.display())]
    MarkWithin {
        /// The folder of the mark.
        mark_dir: PathBuf,
        /// The folder of the database.
        data_dir: PathBuf,
    },
    /// The mark cannot be used.
    #[error(transparent)]
    Mark(#[from] MarkError),
    /// The log does not continue from the mark.
    #[error("an older copy of the database was put back, or another one: the mark {path} of {at} has seq {marked}, and the revocation log, at seq {seq}, does not continue from there. With it, ended sessions would be valid again. Restore the newest copy, or, to continue with this one, run: waxseal restored", path = path.display(), at = written_at)]
    Behind {
        /// The file of the mark.
        path: PathBuf,
        /// When the mark was written.
        written_at: Timestamp,
        /// The `seq` of the mark.
        marked: i64,
        /// The `seq` of the newest entry of the log.
        seq: i64,
    },
    /// A node still serves from this database.
    #[error("the node {0} serves by this database; stop every node first")]
    Serving(String),
    /// The database was moved to a PostgreSQL server, and its file was renamed.
    #[error("the database was moved to a PostgreSQL server, and {path} is the old file: set WAXSEAL_DATABASE to that server. To start with an empty database, move the file away", path = .0.display())]
    Moved(PathBuf),
    /// A file of an earlier migration has the name that this migration needs.
    #[error("{path} is there already, from another migration; move it away first", path = .0.display())]
    Aside(PathBuf),
    /// The destination of a migration is not empty.
    #[error(
        "{database} is not empty: it has {found}. Nothing was moved; give the address of an empty database"
    )]
    NotEmpty {
        /// The address of the database, without its credentials.
        database: String,
        /// A description of what the database contains.
        found: String,
    },
    /// The key folder has no key for an accepted format, and nodes that share a database must share their keys.
    #[error("there is no key for {format} in {folder}, and nodes that share a database share their keys: copy the folder of another node here; at the first one make it with: waxseal keys rotate --token-format {format} --accept {format}", format = format.name(), folder = folder.display())]
    NoKeys {
        /// The accepted format without a key.
        format: Format,
        /// The key folder.
        folder: PathBuf,
    },
    /// The log cannot be replayed.
    #[error(transparent)]
    Replay(#[from] FollowError),
    /// The log cannot be read or written.
    #[error(transparent)]
    Log(#[from] StoreError),
    /// The settings contradict themselves.
    #[error(transparent)]
    Policy(#[from] BadPolicy),
    /// Password hashing with Argon2 cannot start.
    #[error(transparent)]
    Hashing(#[from] HashingFailed),
}

impl OpenError {
    /// The error for a folder or a file that cannot be created, read or written.
    pub(super) fn folder(path: PathBuf, cause: io::Error) -> Self {
        let advice = "the folder must exist (or be creatable), and be writable";
        Self::Folder {
            path,
            cause: Advised::new(cause, advice),
        }
    }
}

/// Prints the causes too, because a program whose `main` returns the error prints the `Debug` form.
impl fmt::Debug for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&report(self), f)
    }
}
