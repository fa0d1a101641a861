//! The mark, as the writer keeps it: asked for in each transaction, and moved on after its commit.

use sqlx::SqliteConnection;

use super::reader;
use crate::revocation::log::Head;
use crate::store::mark::{Mark, MarkError, MarkFile};

pub(super) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What a transaction knows of the mark.
#[derive(Debug)]
pub(super) enum Marking {
    /// The log goes on from there.
    After(Mark),
    /// The mark is behind, as nobody could write it.
    Stuck(Mark, Cause),
    /// It will be put where the log is.
    Anew,
}

/// Away from the threads that serve.
async fn off_thread<T: Send + 'static>(
    mark: &MarkFile,
    work: impl FnOnce(MarkFile) -> Result<T, MarkError> + Send + 'static,
) -> Result<T, Cause> {
    let mark = mark.clone();
    Ok(tokio::task::spawn_blocking(move || work(mark)).await??)
}

impl Marking {
    pub(super) const fn anew() -> Self {
        Self::Anew
    }

    /// Whoever has the write lock sees all that was committed before any mark was written: if the log does
    /// not go on from the mark, it is not the one that was marked, and nothing may be added to it.
    pub(super) async fn after(
        file: &MarkFile,
        connection: &mut SqliteConnection,
        head: &Head,
    ) -> Result<Self, Cause> {
        let mark = off_thread(file, |file| file.read()).await?;
        if mark.is_at(head) {
            return Ok(Self::After(mark));
        }
        let next = reader::entry_after(connection, mark.cursor.seq).await?;
        if !mark.is_continued(head, next.as_ref()) {
            return Err(MarkError::AnotherLog(file.path()).into());
        }
        // It is behind: another process is about to move it or died over that, or it cannot be written.
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

    /// Whether the mark has that entry.
    pub(super) const fn has(&self, seq: i64) -> bool {
        match self {
            Self::After(mark) | Self::Stuck(mark, _) => seq <= mark.cursor.seq,
            Self::Anew => false,
        }
    }

    /// Moves the mark to the head that was committed, before anybody hears of that.
    pub(super) async fn follow(self, file: &MarkFile, head: &Head) -> Result<(), Cause> {
        let head = *head;
        match self {
            Self::After(mark) if mark.is_at(&head) => Ok(()),
            Self::After(_) => off_thread(file, move |file| file.advance(&head)).await,
            Self::Anew => off_thread(file, move |file| file.replace(&head)).await,
            Self::Stuck(_, cause) => Err(cause),
        }
    }
}
