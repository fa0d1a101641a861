//! A PostgreSQL server on small disks that a test can fill.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::{MountNamespace, Postgres, template};

const DISKS: &str = r#"mkdir "$1/data" "$1/log-disk" \
  && mount -t tmpfs -o size=80m,mode=0700 waxseal "$1/data" \
  && mount -t tmpfs -o size=24m,mode=0700 waxseal "$1/log-disk" \
  && chown postgres: "$1/data" "$1/log-disk""#;
const FILES: &str = r#"cp -a "$TEMPLATE/." "$1/data" && mv "$1/data/pg_wal" "$1/log-disk/" && ln -s "$1/log-disk/pg_wal" "$1/data/pg_wal""#;
/// A number of MiB that exceeds the size of either disk.
const TOO_MUCH: usize = 256;

/// The disk to fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The disk of the tables. A statement that needs more space fails.
    Tables,
    /// The disk of the write-ahead log. A server that needs more space terminates.
    Log,
}

impl Postgres {
    /// Starts a server on two small disks of its own. Prints a note and returns `None` where that is not permitted.
    pub fn start_on_small_disks() -> Option<Self> {
        let mut server = Self::in_folder(None);
        // PostgreSQL refuses to run as root, which includes the root of a user namespace.
        let namespace = MountNamespace::new(DISKS, server.folder.path(), true)?;
        let mut files = namespace.command("sh");
        files.args(["-c", FILES, "sh"]).arg(server.folder.path());
        files.env("TEMPLATE", template::source());
        let copied = files.output().unwrap();
        assert!(copied.status.success(), "{copied:?}");
        server.namespace = Some(namespace);
        server.start_again();
        Some(server)
    }

    /// Maps a path of the server to the path under which this process can reach it.
    pub(super) fn see(&self, path: &Path) -> PathBuf {
        let namespace = self.namespace.as_ref();
        namespace.map_or_else(|| path.to_owned(), |namespace| namespace.see(path))
    }

    fn filler(&self, part: Part) -> PathBuf {
        let disk = match part {
            Part::Tables => "data",
            Part::Log => "log-disk",
        };
        assert!(self.namespace.is_some(), "its disks are everybody's");
        self.see(&self.folder.path().join(disk).join("filler"))
    }

    /// Fills a disk completely.
    pub fn fill(&self, part: Part) {
        let mut filler = File::create(self.filler(part)).unwrap();
        for size in [1 << 20, 4096] {
            let chunk = vec![0; size];
            let full = (0..TOO_MUCH).find_map(|_| filler.write_all(&chunk).err());
            assert_eq!(
                full.expect("a disk that fills up").kind(),
                ErrorKind::StorageFull
            );
        }
    }

    /// Frees the space that [`Self::fill`] took.
    pub fn make_room(&self, part: Part) {
        fs::remove_file(self.filler(part)).unwrap();
    }
}
