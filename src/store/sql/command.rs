//! Commands: what is written, and the reply to each, by its own type.

use std::fmt::Debug;

use async_trait::async_trait;
use tokio::sync::oneshot;

use super::engine::Db;
use super::head::HeadRow;
use super::marking::Marking;
use crate::id::Lineage;
use crate::revocation::log::{Cursor, StoreError};

/// A transaction that holds the head.
pub(super) struct Transaction<'t, 'c> {
    pub(super) db: &'t mut Db<'c>,
    pub(super) head: &'t mut HeadRow,
    pub(super) marking: &'t Marking,
}

/// What the writer does for a command besides writing it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Effect<'a> {
    /// Refuses the transaction unless the log continues from there.
    Follow(&'a Cursor),
    /// Puts the mark where the log is, whatever log it was of.
    EndFormer,
    /// Takes the session out of the inventory, together with those of other commands.
    EndSession(Lineage),
    /// Nothing.
    Other,
}

/// A command, with a reply of its own type.
pub(super) trait Command: Debug + Send + Sync + 'static {
    type Reply: Debug + Send + Sync;

    /// Writes it within a transaction. Others may be written in the same one.
    fn write(
        &self,
        to: &mut Transaction<'_, '_>,
    ) -> impl Future<Output = sqlx::Result<Self::Reply>> + Send;

    /// The reply if the caller cannot learn that it was written, and it must then not be. None if it is written all
    /// the same.
    fn unheard(&self) -> Option<Self::Reply> {
        None
    }

    fn kind(&self) -> Effect<'_> {
        Effect::Other
    }
}

/// A command whose caller waits for the reply.
#[async_trait]
pub(super) trait Job: Debug + Send + Sync {
    async fn write(&mut self, to: &mut Transaction<'_, '_>) -> sqlx::Result<()>;

    fn kind(&self) -> Effect<'_>;

    /// Replies, once the transaction is committed or has failed. A caller that is gone hears nothing.
    fn reply(self: Box<Self>, failure: Option<&str>);
}

#[derive(Debug)]
struct QueuedCommand<C: Command> {
    command: C,
    written: Option<C::Reply>,
    caller: oneshot::Sender<Result<C::Reply, StoreError>>,
}

/// The reply of a command, when it comes.
pub(super) type Reply<C> = oneshot::Receiver<Result<<C as Command>::Reply, StoreError>>;

/// The job of a command, and its reply.
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
        // A caller who gets no answer keeps the token that it has: it must not end here.
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

    fn reply(self: Box<Self>, failure: Option<&str>) {
        let Self {
            written, caller, ..
        } = *self;
        let reply = match (written, failure) {
            (Some(reply), None) => Ok(reply),
            (_, failure) => {
                let cause = failure.unwrap_or("the transaction ended without it");
                Err(StoreError::new("write", cause.to_owned()))
            }
        };
        let _ = caller.send(reply);
    }
}
