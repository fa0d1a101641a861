//! Implements the inventory of sessions on the store.

use std::net::IpAddr;

use async_trait::async_trait;

use super::commands::session::Forget;
use super::engine::{Readers, Row};
use super::row::{generation, parsed, time, unreadable};
use super::statements as sql;
use super::store::SqlStore;
use crate::id::{Lineage, SessionId, UserId};
use crate::inventory::{Entered, Inventory, LoginOrigin, Renew, Renewed};
use crate::revocation::log::StoreError;
use crate::time::Timestamp;

async fn ended_by_a_change(readers: &Readers, session: SessionId) -> sqlx::Result<bool> {
    let lineage = session.lineage.to_string();
    let row = readers.optional(sql::RAISED, |query| query.bind(lineage));
    let Some(row) = row.await? else {
        return Ok(false);
    };
    Ok(session.generation < generation(&row, 0)?)
}

async fn list(readers: &Readers, user: UserId, since: Timestamp) -> sqlx::Result<Vec<Entered>> {
    let rows = readers.all(sql::SESSIONS, |query| {
        query.bind(user.to_string()).bind(since.millis())
    });
    rows.await?.iter().map(listed).collect()
}

async fn find(readers: &Readers, user: UserId, lineage: Lineage) -> sqlx::Result<Option<Entered>> {
    let row = readers.optional(sql::SESSION, |query| {
        query.bind(lineage.to_string()).bind(user.to_string())
    });
    row.await?.as_ref().map(listed).transpose()
}

fn listed(row: &Row) -> sqlx::Result<Entered> {
    let address: Option<String> = row.get(5)?;
    let address: Option<IpAddr> = address
        .map(|text| text.parse())
        .transpose()
        .map_err(|_| unreadable("address"))?;
    let browser: Option<String> = row.get(6)?;
    Ok(Entered {
        lineage: parsed(row, 0, "session lineage")?,
        auth_time: time(row, 1)?,
        session_expiry: time(row, 2)?,
        renew_at: time(row, 3)?,
        idle_end: time(row, 4)?,
        methods: parsed(row, 7, "set of login methods")?,
        origin: LoginOrigin::new(address, browser.as_deref()),
    })
}

#[async_trait]
impl Inventory for SqlStore {
    async fn sessions(&self, user: UserId, since: Timestamp) -> Result<Vec<Entered>, StoreError> {
        let read = list(&self.readers, user, since);
        self.read("list the sessions", read).await
    }

    async fn session(&self, user: UserId, lineage: Lineage) -> Result<Option<Entered>, StoreError> {
        let read = find(&self.readers, user, lineage);
        self.read("find the session", read).await
    }

    async fn renew(&self, renew: Renew) -> Result<Renewed, StoreError> {
        self.write(renew).await
    }

    async fn ended_by_a_change(&self, session: SessionId) -> Result<bool, StoreError> {
        let read = ended_by_a_change(&self.readers, session);
        self.read("find the session", read).await
    }

    async fn forget(&self, until: Timestamp) -> Result<u64, StoreError> {
        let mut all = 0;
        loop {
            match self.write(Forget(until)).await? {
                0 => return Ok(all),
                some => all += some,
            }
        }
    }
}
