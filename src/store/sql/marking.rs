//! The writer's use of the mark: each transaction checks it, and it advances after the commit.

use super::advice::BoxedError;
use super::engine::Db;
use super::reader;
use super::statements as sql;
use crate::revocation::log::{Cursor, Head};
use crate::store::mark::{Mark, MarkError, MarkFile, MarkId};

/// The relation of a log to a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuation {
    /// The log continues from the mark.
    GoesOn,
    /// The log does not continue from the mark, but a cut-off in it ends everything that can have begun by then:
    /// another node recovered from a restored older copy.
    AllEnded,
    /// The log does not continue from the mark.
    Another,
}

/// The state of the mark in a transaction.
#[derive(Debug)]
pub(super) enum Marking {
    /// The log continues from the mark.
    After(Mark),
    /// The mark is behind, because it could not be written.
    Stuck(Mark, BoxedError),
    /// The commit will replace the mark with one at this log's head.
    Anew,
}

/// Runs file operations on a thread for blocking work, away from the threads that serve.
async fn off_thread<T: Send + 'static>(
    mark: &MarkFile,
    work: impl FnOnce(MarkFile) -> Result<T, MarkError> + Send + 'static,
) -> Result<T, BoxedError> {
    let mark = mark.clone();
    Ok(tokio::task::spawn_blocking(move || work(mark)).await??)
}

impl Marking {
    pub(super) const fn anew() -> Self {
        Self::Anew
    }

    /// Checks that the log continues from the mark.
    ///
    /// The holder of the write lock sees all that was committed before any mark was written. So a log that does not
    /// continue from the mark is not the one that was marked, and nothing may be appended to it.
    pub(super) async fn after(
        file: &MarkFile,
        db: &mut Db<'_>,
        head: &Head,
        was_stuck: bool,
    ) -> Result<Self, BoxedError> {
        let mark = off_thread(file, |file| file.read()).await?;
        if mark.is_at(head) {
            return Ok(Self::After(mark));
        }
        let next = reader::entry_after(db, mark.cursor.seq).await?;
        if !mark.is_continued(head, next.as_ref()) && !is_noted(db, &mark, head).await? {
            return Err(MarkError::AnotherLog(file.path()).into());
        }
        // Other nodes move the head without moving this mark, and this transaction does not wait for the mark's disk.
        if db.is_shared() && !was_stuck {
            return Ok(Self::After(mark));
        }
        // The mark is behind: another process is about to advance it or died before it could, or the mark cannot be
        // written.
        let head = *head;
        Ok(
            match off_thread(file, move |file| file.advance(&head)).await {
                Ok(()) => Self::After(mark),
                Err(cause) => Self::Stuck(mark, cause),
            },
        )
    }

    pub(super) const fn is_stuck(&self) -> bool {
        matches!(self, Self::Stuck(..))
    }

    /// Returns `true` if the mark covers that entry.
    pub(super) const fn has(&self, seq: i64) -> bool {
        match self {
            Self::After(mark) | Self::Stuck(mark, _) => seq <= mark.cursor.seq,
            Self::Anew => false,
        }
    }

    /// Records in the transaction where the mark is and where it will be, because other nodes drop the entries that
    /// would prove that the log continues from the mark.
    pub(super) async fn note(&self, db: &mut Db<'_>, head: &Head) -> sqlx::Result<()> {
        let (Self::After(mark) | Self::Stuck(mark, _)) = self else {
            return Ok(());
        };
        let Some(id) = mark.id.filter(|_| db.is_shared()) else {
            return Ok(());
        };
        note(db, id, &head.cursor, &mark.cursor).await
    }

    /// Moves the mark to the committed head, before any caller gets a reply.
    pub(super) async fn follow(self, file: &MarkFile, head: &Head) -> Result<(), BoxedError> {
        let head = *head;
        match self {
            Self::After(mark) if mark.is_at(&head) => Ok(()),
            Self::After(_) => off_thread(file, move |file| file.advance(&head)).await,
            Self::Anew => off_thread(file, move |file| file.replace(&head)).await,
            Self::Stuck(_, cause) => Err(cause),
        }
    }
}

/// Returns the log's head, and whether the log continues from that mark.
pub(super) async fn compare(
    db: &mut Db<'_>,
    mark: Option<&Mark>,
) -> sqlx::Result<(Head, Continuation)> {
    let after = mark.map_or(0, |mark| mark.cursor.seq);
    let (row, page) = reader::page_in(db, after, 1).await?;
    let next = page.entries.first();
    let continued = match mark {
        None => Continuation::GoesOn,
        Some(mark) if mark.is_continued(&page.head, next) => Continuation::GoesOn,
        Some(mark) if is_noted(db, mark, &page.head).await? => Continuation::GoesOn,
        Some(mark) if db.is_shared() && row.has_ended_all_of(mark) => Continuation::AllEnded,
        Some(_) => Continuation::Another,
    };
    Ok((page.head, continued))
}

/// Returns `true` if the recorded positions of the mark prove that the log continues from it.
pub(super) async fn is_noted(db: &mut Db<'_>, mark: &Mark, head: &Head) -> sqlx::Result<bool> {
    let Some(id) = mark.id.filter(|_| db.is_shared()) else {
        return Ok(false);
    };
    let row = db.query(sql::MARK).bind(id.to_string()).optional().await?;
    let Some(row) = row else {
        return Ok(false);
    };
    let is = |seq: i64, hash: Vec<u8>| seq == mark.cursor.seq && hash == mark.cursor.hash;
    let noted = is(row.get(0)?, row.get(1)?) || is(row.get(2)?, row.get(3)?);
    Ok(noted && mark.is_before(head))
}

/// Returns `true` unless the next entry shows that the log does not continue from the cursor. The next entry may have
/// been dropped, and then nothing is proven.
pub(super) async fn goes_on(db: &mut Db<'_>, read: &Cursor, head: &Head) -> sqlx::Result<bool> {
    if read.seq >= head.cursor.seq {
        return Ok(*read == head.cursor);
    }
    let next = reader::entry_after(db, read.seq).await?;
    let next = next.filter(|next| next.revocation.seq == read.seq + 1);
    Ok(next.is_none_or(|next| next.revocation.chain(&read.hash) == next.hash))
}

/// Records that a mark will be at `to` and may still be at `from`.
pub(super) async fn note(
    db: &mut Db<'_>,
    id: MarkId,
    to: &Cursor,
    from: &Cursor,
) -> sqlx::Result<()> {
    let query = db.query(sql::SET_MARK).bind(id.to_string());
    let query = query.bind(to.seq).bind(to.hash.to_vec());
    let query = query.bind(from.seq).bind(from.hash.to_vec());
    query.execute().await.map(drop)
}
