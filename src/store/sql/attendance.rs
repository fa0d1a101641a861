//! The connection of the register of nodes. It is separate, so that a heartbeat waits neither for a logout nor for a
//! reader.

use tokio::sync::Mutex;

use super::advice::BoxedError;
use super::engine::{Connection, Db};
use super::reader::page_in;
use super::server::Server;
use super::skew::Skew;
use super::statements as sql;
use super::time_limit::within_limit;
use crate::id::NodeId;
use crate::revocation::log::{Page, StoreError};
use crate::revocation::register::Node;

/// The connection that enters and removes nodes.
#[derive(Debug)]
pub(super) struct Attendance {
    server: Server,
    connection: Mutex<Option<Connection>>,
    skew: Option<Skew>,
}

/// The statement that tests whether the connection is alive.
const ALIVE: (&str, &str) = ("SELECT 1", "SELECT 1");

pub(super) enum Ask<'a> {
    Enter(&'a Node),
    Attend(&'a Node, u32),
    Dismiss(NodeId, i64),
    Leave(NodeId, i64),
}

impl Attendance {
    pub(super) fn new(server: Server, skew: Option<Skew>) -> Self {
        let connection = Mutex::new(None);
        Self {
            server,
            connection,
            skew,
        }
    }

    /// Returns the milliseconds by which this node's clock is ahead of the server's.
    pub(super) fn clock_ahead(&self) -> Option<i64> {
        self.skew.as_ref().and_then(Skew::ahead)
    }

    /// Runs one request. The connection is kept only if the request succeeds.
    pub(super) async fn ask(
        &self,
        doing: &'static str,
        ask: Ask<'_>,
    ) -> Result<Option<Page>, StoreError> {
        let mut slot = self.connection.lock().await;
        let kept = slot.take();
        let work = async {
            let mut connection = self.server.begin(kept, ALIVE).await?;
            let page = self.answer(&mut connection.db(), ask).await?;
            Ok::<_, BoxedError>((connection, page))
        };
        let done = within_limit(self.server.limit(), work).await;
        let (connection, page) = done.map_err(|cause| StoreError::new(doing, cause))?;
        *slot = Some(connection);
        Ok(page)
    }

    async fn answer(&self, db: &mut Db<'_>, ask: Ask<'_>) -> Result<Option<Page>, BoxedError> {
        match ask {
            Ask::Enter(node) => enter(db, node).await?,
            Ask::Attend(node, limit) => {
                enter(db, node).await?;
                let asked = self.skew.as_ref().map(Skew::now);
                db.query_of("BEGIN", sql::SNAPSHOT).execute().await?;
                let (head, page) = page_in(db, node.applied.seq, limit).await?;
                db.query("COMMIT").execute().await?;
                if let (Some(skew), Some(asked), Some(server)) =
                    (&self.skew, asked, head.server_time)
                {
                    skew.note(asked, server);
                    skew.check(asked, server)?;
                }
                return Ok(Some(page));
            }
            Ask::Dismiss(node, beat) => {
                let query = db.query(sql::DISMISS_NODE).bind(node.to_string());
                query.bind(beat).execute().await?;
            }
            Ask::Leave(node, beat) => {
                let query = db.query(sql::LEAVE).bind(node.to_string());
                query.bind(beat).execute().await?;
            }
        }
        if db.is_shared() {
            db.query(sql::RING).execute().await?;
        }
        Ok(None)
    }
}

/// Enters the node. Each statement commits separately.
async fn enter(db: &mut Db<'_>, node: &Node) -> sqlx::Result<()> {
    let bound = i64::try_from(node.bound.as_millis()).unwrap_or(i64::MAX);
    let query = db.query(sql::ENTER_NODE).bind(node.id.to_string());
    let query = query.bind(node.name.as_str()).bind(node.beat);
    let query = query
        .bind(node.applied.seq)
        .bind(node.applied.hash.to_vec());
    query.bind(bound).execute().await.map(drop)
}
