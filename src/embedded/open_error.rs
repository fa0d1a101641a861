//! Why a service does not open.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::account::password::HashingFailed;
use crate::key::Format;
use crate::policy::BadPolicy;
use crate::revocation::follower::FollowError;
use crate::revocation::log::StoreError;
use crate::store::files::UnsafeFile;
use crate::store::key_folder::KeyFolderError;
use crate::store::mark::{Mark, MarkError};
use crate::time::Timestamp;

/// Why a service does not open.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A folder cannot be used.
    #[error("{path}: {cause}; the folder must exist or be makeable, and be writable", path = path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The file of the database does not exist.
    #[error("there is no database at {path}; run this in the folder where the service runs, or set --data-dir or WAXSEAL_DATA_DIR", path = .0.display())]
    NoDatabase(PathBuf),
    /// Others may change a folder or a file.
    #[error(transparent)]
    Unsafe(#[from] UnsafeFile),
    /// The keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyFolderError),
    /// Another format was issued before, and verifiers may not have this one's keys yet.
    #[error("tokens cannot be written as {format} before {from}: verifiers may not have its keys yet. Until then go on with the other format, and with accept = \"jwt,paseto\", which publishes the keys of both", format = format.name())]
    TooEarly {
        /// The format that is to be issued.
        format: Format,
        /// When it can be.
        from: Timestamp,
    },
    /// The database cannot be used.
    #[error("{database}: {cause}")]
    Store {
        /// The database: a file, or an address without who may use it.
        database: String,
        /// Why.
        cause: StoreError,
    },
    /// The mark is within the data folder.
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
    /// The log does not go on from the mark.
    #[error("an older copy of the database was put back, or another one: the mark {path} of {at} has seq {marked}, and the revocation log, at seq {seq}, does not go on from there. With it sessions that were ended would be good again. Put the newest copy back, or, if this is the one to go on with, run: waxseal restored", path = path.display(), at = mark.written_at, marked = mark.cursor.seq)]
    Behind {
        /// The file of the mark.
        path: PathBuf,
        /// What it says.
        mark: Mark,
        /// The newest entry of the log.
        seq: i64,
    },
    /// A server runs where none may.
    #[error("the node {0} serves by this database; stop every node first")]
    Serving(String),
    /// The file was put aside when its database moved to a server.
    #[error("the database was moved to a PostgreSQL server, and {path} is what was here: set WAXSEAL_DATABASE to that server. To begin anew, move that file away", path = .0.display())]
    Moved(PathBuf),
    /// A file from before is where the one that moves is to be put.
    #[error("{path} is there already, from another migration; move it away first", path = .0.display())]
    Aside(PathBuf),
    /// A database that is to be moved to is in use.
    #[error(
        "{database} is not empty: it has {found}. Nothing was moved; give the address of an empty database"
    )]
    NotEmpty {
        /// Its address, without who may use it.
        database: String,
        /// What it has.
        found: String,
    },
    /// Nodes that share a database must share their keys.
    #[error("there is no key for {format} in {folder}, and nodes that share a database share their keys: copy the folder of another node here; at the first one make it with: waxseal keys rotate --token-format {format} --accept {format}", format = format.name(), folder = folder.display())]
    NoKeys {
        /// What tokens are written in.
        format: Format,
        /// The folder.
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
    /// Argon2 does not start.
    #[error(transparent)]
    Hashing(#[from] HashingFailed),
}

/// As `Display`: a program whose `main` returns the error prints it so.
impl fmt::Debug for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
