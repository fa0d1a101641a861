//! Reads a log from a cursor on, page by page. The code is pure and does not depend on the source of the pages.

use super::list::RevocationList;
use super::log::{Cursor, Entry, Page};

/// The log does not continue the one that was read before: it was restored from an older copy, altered or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the revocation log went back or was altered at seq {0}: it does not continue what was read before"
)]
pub struct Broken(pub i64);

/// A reading of the log from a cursor on. A reading from the beginning is a snapshot, which has gaps where compaction
/// has dropped entries.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    cursor: Cursor,
    snapshot: bool,
}

impl Reading {
    /// Continues after `cursor`.
    #[must_use]
    pub fn from(cursor: Cursor) -> Self {
        Self {
            cursor,
            snapshot: cursor == Cursor::START,
        }
    }

    /// The position that the reading has reached.
    #[must_use]
    pub const fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Whether the reading began at the first entry.
    #[must_use]
    pub const fn is_snapshot(&self) -> bool {
        self.snapshot
    }

    /// Takes the page of entries after [`cursor`](Self::cursor); `last` says that no page follows. Returns true if the
    /// reading has reached the head. Otherwise the caller brings the page after the cursor next.
    ///
    /// # Errors
    /// [`Broken`] if the page belongs to another log.
    pub fn take(&mut self, page: &Page, last: bool) -> Result<bool, Broken> {
        if !self.snapshot && self.cursor.seq < page.head.compacted {
            // Compaction may have dropped the next entries, and nothing then proves that this is the same log.
            *self = Self::from(Cursor::START);
            return Ok(false);
        }
        let broken = Broken(self.cursor.seq);
        let next = follow(self.cursor, page.head.compacted, &page.entries).ok_or(broken)?;
        // An empty page makes no progress.
        if !last && page.entries.is_empty() {
            return Err(broken);
        }
        // Compaction may have dropped the newest entry, so the head may lie past the last row.
        let dropped =
            next.seq < page.head.cursor.seq && page.head.cursor.seq <= page.head.compacted;
        self.cursor = if last && dropped && self.snapshot {
            page.head.cursor
        } else {
            next
        };
        if last && self.cursor != page.head.cursor {
            return Err(Broken(self.cursor.seq));
        }
        Ok(last)
    }
}

/// Applies a page to the list.
pub(crate) fn enter(list: &RevocationList, page: &Page) {
    let live = page.head.cursor.seq.saturating_sub(page.head.compacted);
    list.expect(u64::try_from(live).unwrap_or(0));
    list.apply_all(page.entries.iter().map(|entry| &entry.revocation));
    list.note_lineage(page.head.newest_lineage);
    list.raise_horizon(page.head.horizon);
}

/// Returns the cursor after `entries` if they continue the log after `cursor`. Where compaction may have dropped the
/// predecessor of an entry, the stored hash is taken as it is.
fn follow(mut cursor: Cursor, compacted: i64, entries: &[Entry]) -> Option<Cursor> {
    for Entry { revocation, hash } in entries {
        let continues = revocation.seq == cursor.seq + 1 && revocation.chain(&cursor.hash) == *hash;
        let after_gap = revocation.seq > cursor.seq + 1 && revocation.seq <= compacted + 1;
        if !continues && !after_gap {
            return None;
        }
        cursor = Cursor {
            seq: revocation.seq,
            hash: *hash,
        };
    }
    Some(cursor)
}
