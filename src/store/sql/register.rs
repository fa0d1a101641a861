//! Implements the register of nodes on the store.

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use super::attendance::Ask;
use super::engine::Row;
use super::row::{hash, parsed, unreadable};
use super::statements as sql;
use super::store::SqlStore;
use crate::id::NodeId;
use crate::revocation::log::{Cursor, Page, StoreError};
use crate::revocation::register::{Node, Nodes, Register, Registered};

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
