//! Implements the storage of clients.

use async_trait::async_trait;

use super::commands::client::{AddClient, ChangeClient, ForgetAssertions};
use super::engine::{Readers, Row};
use super::head::head;
use super::row::{parsed, time, unreadable};
use super::statements as sql;
use super::store::SqlStore;
use crate::account::client::{
    BeginToken, Changed, Client, ClientChange, ClientKeys, ClientName, ClientStart, Clients,
    PresentedAssertion, SecretDigest,
};
use crate::id::ClientId;
use crate::revocation::log::StoreError;
use crate::time::Timestamp;

fn digest(row: &Row, column: usize) -> sqlx::Result<Option<SecretDigest>> {
    let bytes: Option<Vec<u8>> = row.get(column)?;
    let digest = |bytes: Vec<u8>| bytes.try_into().map(SecretDigest::from_store);
    let digest = bytes.map(digest).transpose();
    digest.map_err(|_| unreadable("digest of a secret"))
}

fn client(row: &Row) -> sqlx::Result<Client> {
    let keys: Option<String> = row.get(8)?;
    let keys = keys.map(|json| ClientKeys::parse(&json)).transpose();
    let secrets = [digest(row, 6)?, digest(row, 7)?];
    let audiences: String = row.get(3)?;
    Ok(Client {
        id: parsed(row, 0, "client ID")?,
        name: parsed(row, 1, "client name")?,
        scopes: parsed(row, 2, "list of scopes")?,
        audiences: audiences.split_whitespace().map(str::to_owned).collect(),
        enabled: row.get(4)?,
        created_at: time(row, 5)?,
        secrets: secrets.into_iter().flatten().collect(),
        keys: keys.map_err(|_| unreadable("client's key"))?,
    })
}

async fn start(readers: &Readers, id: ClientId) -> sqlx::Result<ClientStart> {
    let mut reader = readers.snapshot().await?;
    let mut db = reader.db();
    let head = head(&mut db).await?;
    let row = db
        .query(sql::CLIENT)
        .bind(id.to_string())
        .optional()
        .await?;
    reader.done().await?;
    let (mut version, mut first_time) = (0, head.everything_from);
    if let Some(row) = &row {
        version = row.get(9)?;
        first_time = first_time.max(row.get(11)?);
    }
    Ok(ClientStart {
        client: row.as_ref().map(client).transpose()?,
        version,
        first_time,
        everything_version: head.everything_version,
    })
}

#[async_trait]
impl Clients for SqlStore {
    async fn clients(&self) -> Result<Vec<Client>, StoreError> {
        let read = async {
            let rows = self.readers.all(sql::CLIENTS, |query| query).await?;
            rows.iter().map(client).collect()
        };
        self.read("list the clients", read).await
    }

    async fn client_named(&self, name: &ClientName) -> Result<Option<Client>, StoreError> {
        let read = async {
            let row = self
                .readers
                .optional(sql::CLIENT_NAMED, |query| query.bind(name.as_str()));
            row.await?.as_ref().map(client).transpose()
        };
        self.read("find the client", read).await
    }

    async fn add_client(&self, client: Client) -> Result<bool, StoreError> {
        self.write(AddClient(Box::new(client))).await
    }

    async fn change_client(
        &self,
        client: ClientId,
        change: ClientChange,
        at: Timestamp,
    ) -> Result<Changed, StoreError> {
        let change = ChangeClient { client, change, at };
        self.write(change).await
    }

    async fn start_client(&self, id: ClientId) -> Result<ClientStart, StoreError> {
        self.read("look up the client", start(&self.readers, id))
            .await
    }

    async fn present(&self, assertion: PresentedAssertion) -> Result<bool, StoreError> {
        self.write(assertion).await
    }

    async fn begin_token(&self, begin: BeginToken) -> Result<bool, StoreError> {
        self.write(begin).await
    }

    async fn forget_assertions(&self, until: Timestamp) -> Result<(), StoreError> {
        self.write(ForgetAssertions(until)).await
    }
}
