//! Reading a log on from a cursor, page by page: pure, whoever brings the pages.

use super::list::RevocationList;
use super::log::{Cursor, Entry, Page};

/// The log is not the one that was read before: restored from an older copy, altered, or another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the revocation log went back or was altered at seq {0}: it does not continue what was read before"
)]
pub struct Broken(pub i64);

/// A log that is read from a cursor on, or from its beginning: then it is a snapshot, which has gaps
/// where compaction has dropped something.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    cursor: Cursor,
    snapshot: bool,
}

impl Reading {
    /// Goes on after `cursor`.
    #[must_use]
    pub fn from(cursor: Cursor) -> Self {
        Self {
            cursor,
            snapshot: cursor == Cursor::START,
        }
    }

    /// How far it has come.
    #[must_use]
    pub const fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Whether it began at the beginning.
    #[must_use]
    pub const fn is_snapshot(&self) -> bool {
        self.snapshot
    }

    /// Takes the page of entries after [`cursor`](Self::cursor), the `last` one or one that is followed by
    /// others. True if it has come to the head; else the page after the cursor comes next.
    ///
    /// # Errors
    /// [`Broken`]: this is another log.
    pub fn take(&mut self, page: &Page, last: bool) -> Result<bool, Broken> {
        if !self.snapshot && self.cursor.seq < page.head.compacted {
            // What came next may be dropped, and nothing then proves that this is the same log.
            *self = Self::from(Cursor::START);
            return Ok(false);
        }
        let broken = Broken(self.cursor.seq);
        let next = follow(self.cursor, page.head.compacted, &page.entries).ok_or(broken)?;
        // A page with nothing on it leads nowhere.
        if !last && page.entries.is_empty() {
            return Err(broken);
        }
        // Past the last row the head alone is left: compaction may have dropped the newest entry.
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

/// Enters what a page says into the list.
pub fn enter(list: &RevocationList, page: &Page) {
    let live = page.head.cursor.seq.saturating_sub(page.head.compacted);
    list.expect(u64::try_from(live).unwrap_or(0));
    list.apply_all(page.entries.iter().map(|entry| &entry.revocation));
    list.note_lineage(page.head.newest_lineage);
    list.raise_horizon(page.head.horizon);
}

/// The cursor after `entries`, if they continue the log after `cursor`. An entry whose predecessor
/// compaction may have dropped is taken with the hash that was stored beside it.
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
