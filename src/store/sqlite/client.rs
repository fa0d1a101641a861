//! Clients: added, changed, looked at, and their tokens begun.

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::reader::{self, HeadRow, parsed, time, unreadable};
use super::writer::{Change, Done, append, cut_off};
use super::{SqliteStore, sql};
use crate::account::client::{
    BeginToken, Changed, Client, ClientChange, ClientKeys, ClientName, ClientStart, Clients,
    Presented, SecretDigest,
};
use crate::id::ClientId;
use crate::revocation::log::StoreError;
use crate::revocation::{Reason, Revocation, Target, cut_off_expiry};
use crate::time::Timestamp;

/// What is written about clients.
#[derive(Debug)]
pub(super) enum ClientWrite {
    Add(Box<Client>),
    Change(ClientId, ClientChange, Timestamp),
    Present(Presented),
    Begin(BeginToken),
    /// Assertions that expired at or before then.
    Forget(Timestamp),
}

fn digest(row: &SqliteRow, column: usize) -> sqlx::Result<Option<SecretDigest>> {
    let bytes: Option<Vec<u8>> = row.try_get(column)?;
    let digest = |bytes: Vec<u8>| bytes.try_into().map(SecretDigest::from_store);
    let digest = bytes.map(digest).transpose();
    digest.map_err(|_| unreadable("digest of a secret"))
}

fn client(row: &SqliteRow) -> sqlx::Result<Client> {
    let keys: Option<String> = row.try_get(8)?;
    let keys = keys.map(|json| ClientKeys::parse(&json)).transpose();
    let secrets = [digest(row, 6)?, digest(row, 7)?];
    let audiences: String = row.try_get(3)?;
    Ok(Client {
        id: parsed(row, 0, "client ID")?,
        name: parsed(row, 1, "client name")?,
        scopes: parsed(row, 2, "list of scopes")?,
        audiences: audiences.split_whitespace().map(str::to_owned).collect(),
        enabled: row.try_get(4)?,
        created_at: time(row, 5)?,
        secrets: secrets.into_iter().flatten().collect(),
        keys: keys.map_err(|_| unreadable("client's key"))?,
    })
}

pub(super) async fn write(
    connection: &mut SqliteConnection,
    head: &mut HeadRow,
    write: &ClientWrite,
) -> sqlx::Result<Done> {
    match write {
        ClientWrite::Add(client) => add(connection, client).await,
        ClientWrite::Change(id, wanted, at) => change(connection, head, *id, wanted, *at).await,
        ClientWrite::Begin(wanted) => begin(connection, head, wanted).await,
        ClientWrite::Present(assertion) => {
            let query = sqlx::query(sql::PRESENT)
                .bind(assertion.digest.as_slice())
                .bind(assertion.expires_at.millis());
            let written = query.execute(connection).await?;
            Ok(Done::of(written.rows_affected() == 1))
        }
        ClientWrite::Forget(until) => {
            let query = sqlx::query(sql::FORGET_ASSERTIONS).bind(until.millis());
            query.execute(connection).await?;
            Ok(Done::Yes)
        }
    }
}

async fn add(connection: &mut SqliteConnection, client: &Client) -> sqlx::Result<Done> {
    let secret = client.secrets.first().map(|secret| secret.bytes().to_vec());
    let added = sqlx::query(sql::ADD_CLIENT)
        .bind(client.id.to_string())
        .bind(client.name.as_str())
        .bind(client.scopes.to_string())
        .bind(client.audiences.join(" "))
        .bind(client.created_at.millis())
        .bind(secret)
        .bind(client.keys.as_ref().map(ClientKeys::json))
        .execute(connection)
        .await?;
    Ok(Done::of(added.rows_affected() == 1))
}

async fn change(
    connection: &mut SqliteConnection,
    head: &mut HeadRow,
    id: ClientId,
    change: &ClientChange,
    at: Timestamp,
) -> sqlx::Result<Done> {
    let text = id.to_string();
    let known: Option<(bool, i64, i64, i64)> = sqlx::query_as(sql::CLIENT_VERSION)
        .bind(&text)
        .fetch_optional(&mut *connection)
        .await?;
    let Some((_, _, newest, before)) = known else {
        return Ok(Done::No);
    };
    let reason = match change {
        ClientChange::Disable => Some(Reason::Disabled),
        ClientChange::Delete => Some(Reason::Deleted),
        ClientChange::EndTokens => Some(Reason::Operator),
        ClientChange::AddSecret(_)
        | ClientChange::FinishRotation
        | ClientChange::Keys(_)
        | ClientChange::Enable => None,
    };
    let from = match reason {
        None => before,
        Some(_) => cut_off(at, newest, before),
    };
    sqlx::query(sql::CHANGE_CLIENT)
        .bind(&text)
        .bind(from)
        .execute(&mut *connection)
        .await?;
    let query = match change {
        ClientChange::EndTokens => None,
        ClientChange::AddSecret(secret) => Some(
            sqlx::query(sql::ADD_SECRET)
                .bind(&text)
                .bind(secret.bytes().as_slice()),
        ),
        ClientChange::FinishRotation => Some(sqlx::query(sql::FINISH_ROTATION).bind(&text)),
        ClientChange::Keys(keys) => Some(
            sqlx::query(sql::SET_CLIENT_KEYS)
                .bind(&text)
                .bind(keys.json()),
        ),
        ClientChange::Disable => Some(sqlx::query(sql::SET_CLIENT_ENABLED).bind(&text).bind(false)),
        ClientChange::Enable => Some(sqlx::query(sql::SET_CLIENT_ENABLED).bind(&text).bind(true)),
        ClientChange::Delete => Some(sqlx::query(sql::DELETE_CLIENT).bind(&text)),
    };
    if let Some(query) = query {
        query.execute(&mut *connection).await?;
    }
    let Some(reason) = reason else {
        return Ok(Done::Yes);
    };
    let revocation = Revocation {
        seq: 0,
        target: Target::Client(id),
        from,
        grace_until: None,
        spared: None,
        expires_at: cut_off_expiry(at, from),
        reason,
        at,
    };
    append(connection, head, revocation).await
}

/// A token whose client changed since it was read is not handed out; one that is is known to every
/// cut-off that comes after.
async fn begin(
    connection: &mut SqliteConnection,
    head: &mut HeadRow,
    begin: &BeginToken,
) -> sqlx::Result<Done> {
    let id = begin.client.to_string();
    let known: Option<(bool, i64, i64, i64)> = sqlx::query_as(sql::CLIENT_VERSION)
        .bind(&id)
        .fetch_optional(&mut *connection)
        .await?;
    let Some((enabled, version, newest, from)) = known else {
        return Ok(Done::No);
    };
    let time = begin.token.created_at();
    let unchanged = version == begin.version && head.everything_version == begin.everything_version;
    if !enabled || !unchanged || time.millis() < from.max(head.everything_from) {
        return Ok(Done::No);
    }
    sqlx::query(sql::SET_NEWEST_TOKEN)
        .bind(&id)
        .bind(newest.max(time.millis()))
        .execute(connection)
        .await?;
    head.head.newest_lineage = head.head.newest_lineage.max(time);
    Ok(Done::Yes)
}

#[async_trait]
impl Clients for SqliteStore {
    async fn clients(&self) -> Result<Vec<Client>, StoreError> {
        let rows = sqlx::query(sql::CLIENTS).fetch_all(&self.readers).await;
        rows.and_then(|rows| rows.iter().map(client).collect())
            .map_err(|cause| StoreError::new("list the clients", cause))
    }

    async fn client_named(&self, name: &ClientName) -> Result<Option<Client>, StoreError> {
        let query = sqlx::query(sql::CLIENT_NAMED).bind(name.as_str());
        let row = query.fetch_optional(&self.readers).await;
        row.and_then(|row| row.as_ref().map(client).transpose())
            .map_err(|cause| StoreError::new("find the client", cause))
    }

    async fn add_client(&self, client: Client) -> Result<bool, StoreError> {
        let write = ClientWrite::Add(Box::new(client));
        self.write(Change::Client(write)).await?.yes_or_no()
    }

    async fn change_client(
        &self,
        client: ClientId,
        change: ClientChange,
        at: Timestamp,
    ) -> Result<Changed, StoreError> {
        let write = ClientWrite::Change(client, change, at);
        match self.write(Change::Client(write)).await? {
            Done::Yes => Ok(Changed::Done),
            Done::Revoked(seq) => Ok(Changed::Revoked(seq)),
            Done::No => Ok(Changed::Unknown),
            other => Err(other.unexpected()),
        }
    }

    async fn start_client(&self, id: ClientId) -> Result<ClientStart, StoreError> {
        let read = async {
            let mut transaction = self.readers.begin().await?;
            let head = reader::head(&mut transaction).await?;
            let row = sqlx::query(sql::CLIENT)
                .bind(id.to_string())
                .fetch_optional(&mut *transaction)
                .await?;
            transaction.commit().await?;
            let (mut version, mut first_time) = (0, head.everything_from);
            if let Some(row) = &row {
                version = row.try_get(9)?;
                first_time = first_time.max(row.try_get(11)?);
            }
            Ok::<_, sqlx::Error>(ClientStart {
                client: row.as_ref().map(client).transpose()?,
                version,
                first_time,
                everything_version: head.everything_version,
            })
        };
        read.await
            .map_err(|cause| StoreError::new("look up the client", cause))
    }

    async fn present(&self, assertion: Presented) -> Result<bool, StoreError> {
        let write = ClientWrite::Present(assertion);
        self.write(Change::Client(write)).await?.yes_or_no()
    }

    async fn begin_token(&self, begin: BeginToken) -> Result<bool, StoreError> {
        let write = ClientWrite::Begin(begin);
        self.write(Change::Client(write)).await?.yes_or_no()
    }

    async fn forget_assertions(&self, until: Timestamp) -> Result<(), StoreError> {
        let write = ClientWrite::Forget(until);
        self.write(Change::Client(write)).await.map(drop)
    }
}
