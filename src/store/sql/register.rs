//! The register of nodes, by a connection of its own: a beat waits for no logout and for no reader.

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, watch};

use super::engine::{Connection, Db, Row};
use super::marking::Cause;
use super::reader::{hash, page_in, parsed, unreadable};
use super::skew::Skew;
use super::writer::Server;
use super::{SqlStore, postgres, statements as sql, within_limit};
use crate::id::NodeId;
use crate::revocation::log::{Cursor, Page, StoreError};
use crate::revocation::register::{Node, Nodes, Register, Registered};

/// The connection by which nodes are entered and taken out.
#[derive(Debug)]
pub(super) struct Attendance {
    server: Server,
    connection: Mutex<Option<Connection>>,
    skew: Option<Skew>,
}

/// Asks whether the connection is alive.
const ALIVE: (&str, &str) = ("SELECT 1", "SELECT 1");

enum Ask<'a> {
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

    /// By how many milliseconds this node's clock is ahead of the server's.
    pub(super) fn clock_ahead(&self) -> Option<i64> {
        self.skew.as_ref().and_then(Skew::ahead)
    }

    /// The connection is kept only if what was asked for was done.
    async fn ask(&self, doing: &'static str, ask: Ask<'_>) -> Result<Option<Page>, StoreError> {
        let mut slot = self.connection.lock().await;
        let kept = slot.take();
        let work = async {
            let mut connection = self.server.begin(kept, ALIVE).await?;
            let page = self.answer(&mut connection.db(), ask).await?;
            Ok::<_, Cause>((connection, page))
        };
        let done = within_limit(self.server.limit(), work).await;
        let (connection, page) = done.map_err(|cause| StoreError::new(doing, cause))?;
        *slot = Some(connection);
        Ok(page)
    }

    async fn answer(&self, db: &mut Db<'_>, ask: Ask<'_>) -> Result<Option<Page>, Cause> {
        match ask {
            Ask::Enter(node) => enter(db, node).await?,
            Ask::Attend(node, limit) => {
                enter(db, node).await?;
                let asked = self.skew.as_ref().map(Skew::now);
                db.query_of("BEGIN", postgres::SNAPSHOT).execute().await?;
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
        if db.is_postgres() {
            db.query(sql::RING).execute().await?;
        }
        Ok(None)
    }
}

/// Each statement is committed by itself.
async fn enter(db: &mut Db<'_>, node: &Node) -> sqlx::Result<()> {
    let bound = i64::try_from(node.bound.as_millis()).unwrap_or(i64::MAX);
    let query = db.query(sql::ENTER_NODE).bind(node.id.to_string());
    let query = query.bind(node.name.as_str()).bind(node.beat);
    let query = query
        .bind(node.applied.seq)
        .bind(node.applied.hash.to_vec());
    query.bind(bound).execute().await.map(drop)
}

fn registered(row: &Row) -> sqlx::Result<Option<Registered>> {
    if row.get::<Option<String>>(1)?.is_none() {
        return Ok(None);
    }
    let applied = Cursor {
        seq: row.get(4)?,
        hash: hash(row, 5)?,
    };
    let bound = u64::try_from(row.get::<i64>(6)?).map_err(|_| unreadable("bound"))?;
    let node = Node {
        id: parsed(row, 1, "node ID")?,
        name: row.get(2)?,
        beat: row.get(3)?,
        applied,
        bound: Duration::from_millis(bound),
    };
    Ok(Some(Registered {
        node,
        continued: row.get(7)?,
    }))
}

#[async_trait]
impl Register for SqlStore {
    async fn enter(&self, node: &Node) -> Result<(), StoreError> {
        let entered = self.attendance.ask("enter this node", Ask::Enter(node));
        entered.await.map(drop)
    }

    async fn attend(&self, node: &Node, limit: u32) -> Result<Page, StoreError> {
        let doing = "enter this node and read the revocation log";
        let page = self.attendance.ask(doing, Ask::Attend(node, limit)).await?;
        page.ok_or_else(|| StoreError::new(doing, "there is no page"))
    }

    async fn nodes(&self) -> Result<Nodes, StoreError> {
        let read = async {
            let rows = self.readers.all(sql::NODES, |query| query).await?;
            let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
            let seq = first.get(0)?;
            let nodes = rows.iter().filter_map(|row| registered(row).transpose());
            let nodes = nodes.collect::<sqlx::Result<_>>()?;
            Ok(Nodes { seq, nodes })
        };
        self.read("read the register of nodes", read).await
    }

    async fn dismiss(&self, node: NodeId, beat: i64) -> Result<(), StoreError> {
        let ask = Ask::Dismiss(node, beat);
        self.attendance.ask("take a node out", ask).await.map(drop)
    }

    async fn leave(&self, node: NodeId, beat: i64) -> Result<(), StoreError> {
        let ask = Ask::Leave(node, beat);
        self.attendance
            .ask("take this node out", ask)
            .await
            .map(drop)
    }

    fn bell(&self) -> watch::Receiver<u64> {
        self.bell.subscribe()
    }
}
