//! Clients: added, changed, looked at, and their tokens begun.

use super::change::{append, cut_off};
use super::engine::{Db, Readers, Row};
use super::reader::{self, HeadRow, parsed, time, unreadable};
use super::writer::{Change, Done};
use super::{SqlStore, statements as sql};
use crate::account::client::{
    BeginToken, Changed, Client, ClientChange, ClientKeys, ClientName, ClientStart, Clients,
    Presented, SecretDigest,
};
use crate::id::ClientId;
use crate::revocation::log::StoreError;
use crate::revocation::{Reason, Revocation, Target, cut_off_expiry};
use crate::time::Timestamp;
use async_trait::async_trait;

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

pub(super) async fn write(
    db: &mut Db<'_>,
    head: &mut HeadRow,
    write: &ClientWrite,
) -> sqlx::Result<Done> {
    match write {
        ClientWrite::Add(client) => add(db, client).await,
        ClientWrite::Change(id, wanted, at) => change(db, head, *id, wanted, *at).await,
        ClientWrite::Begin(wanted) => begin(db, head, wanted).await,
        ClientWrite::Present(assertion) => {
            let query = db
                .query(sql::PRESENT)
                .bind(assertion.digest.as_slice())
                .bind(assertion.expires_at.millis());
            let written = query.execute().await?;
            Ok(Done::of(written == 1))
        }
        ClientWrite::Forget(until) => {
            let query = db.query(sql::FORGET_ASSERTIONS).bind(until.millis());
            query.execute().await?;
            Ok(Done::Yes)
        }
    }
}

async fn add(db: &mut Db<'_>, client: &Client) -> sqlx::Result<Done> {
    let secret = client.secrets.first().map(|secret| secret.bytes().to_vec());
    let added = db
        .query(sql::ADD_CLIENT)
        .bind(client.id.to_string())
        .bind(client.name.as_str())
        .bind(client.scopes.to_string())
        .bind(client.audiences.join(" "))
        .bind(client.created_at.millis())
        .bind(secret)
        .bind(client.keys.as_ref().map(|keys| keys.json().to_owned()))
        .execute()
        .await?;
    Ok(Done::of(added == 1))
}

async fn change(
    db: &mut Db<'_>,
    head: &mut HeadRow,
    id: ClientId,
    change: &ClientChange,
    at: Timestamp,
) -> sqlx::Result<Done> {
    let text = id.to_string();
    let known = version(db, &text).await?;
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
    db.query(sql::CHANGE_CLIENT)
        .bind(&text)
        .bind(from)
        .execute()
        .await?;
    let query = match change {
        ClientChange::EndTokens => None,
        ClientChange::AddSecret(secret) => Some(
            db.query(sql::ADD_SECRET)
                .bind(&text)
                .bind(secret.bytes().as_slice()),
        ),
        ClientChange::FinishRotation => Some(db.query(sql::FINISH_ROTATION).bind(&text)),
        ClientChange::Keys(keys) => {
            Some(db.query(sql::SET_CLIENT_KEYS).bind(&text).bind(keys.json()))
        }
        ClientChange::Disable => Some(db.query(sql::SET_CLIENT_ENABLED).bind(&text).bind(false)),
        ClientChange::Enable => Some(db.query(sql::SET_CLIENT_ENABLED).bind(&text).bind(true)),
        ClientChange::Delete => Some(db.query(sql::DELETE_CLIENT).bind(&text)),
    };
    if let Some(query) = query {
        query.execute().await?;
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
    Ok(Done::Revoked(append(head, revocation)))
}

/// A token whose client changed since it was read is not handed out; one that is is known to every
/// cut-off that comes after.
async fn begin(db: &mut Db<'_>, head: &mut HeadRow, begin: &BeginToken) -> sqlx::Result<Done> {
    let id = begin.client.to_string();
    let known = version(db, &id).await?;
    let Some((enabled, read, newest, from)) = known else {
        return Ok(Done::No);
    };
    let time = begin.token.created_at();
    let unchanged = read == begin.version && head.everything_version == begin.everything_version;
    if !enabled || !unchanged || time.millis() < from.max(head.everything_from) {
        return Ok(Done::No);
    }
    db.query(sql::SET_NEWEST_TOKEN)
        .bind(&id)
        .bind(newest.max(time.millis()))
        .execute()
        .await?;
    head.head.newest_lineage = head.head.newest_lineage.max(time);
    Ok(Done::Yes)
}

/// `enabled`, `version`, `newest`, `from`.
async fn version(db: &mut Db<'_>, id: &str) -> sqlx::Result<Option<(bool, i64, i64, i64)>> {
    let row = db.query(sql::CLIENT_VERSION).bind(id).optional().await?;
    let version = |row: Row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
    row.map(version).transpose()
}

async fn start(readers: &Readers, id: ClientId) -> sqlx::Result<ClientStart> {
    let mut reader = readers.snapshot().await?;
    let mut db = reader.db();
    let head = reader::head(&mut db).await?;
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
        self.read("look up the client", start(&self.readers, id))
            .await
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
