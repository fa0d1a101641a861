//! Commands: each is one write with a reply of its own type.

use std::fmt::Debug;

use async_trait::async_trait;
use tokio::sync::oneshot;

use super::engine::Db;
use super::head::HeadRow;
use super::marking::Marking;
use crate::id::Lineage;
use crate::revocation::log::{Cursor, StoreError};

/// A transaction that holds the lock on the head.
pub(super) struct Transaction<'t, 'c> {
    pub(super) db: &'t mut Db<'c>,
    pub(super) head: &'t mut HeadRow,
    pub(super) marking: &'t Marking,
}

/// The additional work that the writer does for a command.
#[derive(Clone, Copy, Debug)]
pub(super) enum Effect<'a> {
    /// Refuses the transaction unless the log continues from this cursor.
    Follow(&'a Cursor),
    /// Moves the mark to this log's head, even if the mark is of another log.
    EndFormer,
    /// Removes the session from the inventory, in one statement with those of other commands.
    EndSession(Lineage),
    /// No additional work.
    Other,
}

/// A write with a reply of its own type.
pub(super) trait Command: Debug + Send + Sync + 'static {
    type Reply: Debug + Send + Sync;

    /// Writes the command within a transaction, which other commands may share.
    fn write(
        &self,
        to: &mut Transaction<'_, '_>,
    ) -> impl Future<Output = sqlx::Result<Self::Reply>> + Send;

    /// Returns the reply for a command that must not be written if the caller cannot receive the real reply. `None` if
    /// the command is written anyway.
    fn unheard(&self) -> Option<Self::Reply> {
        None
    }

    fn kind(&self) -> Effect<'_> {
        Effect::Other
    }
}

/// A queued command whose caller waits for the reply.
#[async_trait]
pub(super) trait Job: Debug + Send + Sync {
    async fn write(&mut self, to: &mut Transaction<'_, '_>) -> sqlx::Result<()>;

    fn kind(&self) -> Effect<'_>;

    /// Replies once the transaction has committed or failed. A caller that is gone gets no reply.
    fn reply(self: Box<Self>, failure: Option<&StoreError>);
}

#[derive(Debug)]
struct QueuedCommand<C: Command> {
    command: C,
    written: Option<C::Reply>,
    caller: oneshot::Sender<Result<C::Reply, StoreError>>,
}

/// The pending reply of a command.
pub(super) type Reply<C> = oneshot::Receiver<Result<<C as Command>::Reply, StoreError>>;

/// Wraps a command in a job, and returns the receiver of its reply.
pub(super) fn job<C: Command>(command: C) -> (Box<dyn Job>, Reply<C>) {
    let (caller, reply) = oneshot::channel();
    let waiting = QueuedCommand {
        command,
        written: None,
        caller,
    };
    (Box::new(waiting), reply)
}

#[async_trait]
impl<C: Command> Job for QueuedCommand<C> {
    async fn write(&mut self, to: &mut Transaction<'_, '_>) -> sqlx::Result<()> {
        // A caller that gets no reply keeps its current token, which must stay valid.
        let is_unheard = self.caller.is_closed() || to.marking.is_stuck();
        let unheard = self.command.unheard().filter(|_| is_unheard);
        self.written = Some(match unheard {
            Some(reply) => reply,
            None => self.command.write(to).await?,
        });
        Ok(())
    }

    fn kind(&self) -> Effect<'_> {
        self.command.kind()
    }

    fn reply(self: Box<Self>, failure: Option<&StoreError>) {
        let Self {
            written, caller, ..
        } = *self;
        let reply = match (written, failure) {
            (Some(reply), None) => Ok(reply),
            (_, Some(failure)) => Err(failure.clone()),
            (None, None) => {
                let cause = "the transaction ended without it";
                Err(StoreError::new("write", cause))
            }
        };
        let _ = caller.send(reply);
    }
}
