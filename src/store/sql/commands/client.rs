//! Commands that add and change clients, and record their tokens.

use crate::account::client::{BeginToken, Changed, Client, ClientChange, PresentedAssertion};
use crate::id::ClientId;
use crate::revocation::{Reason, Revocation, Target, cut_off_expiry};
use crate::store::sql::command::{Command, Transaction};
use crate::store::sql::engine::{Db, Row};
use crate::store::sql::head::{HeadRow, append, cut_off};
use crate::store::sql::statements as sql;
use crate::time::Timestamp;

/// Adds a client. The reply is `false` if the name is taken.
#[derive(Debug)]
pub(in crate::store::sql) struct AddClient(pub(in crate::store::sql) Box<Client>);

impl Command for AddClient {
    type Reply = bool;

    async fn write(&self, to: &mut Transaction<'_, '_>) -> sqlx::Result<bool> {
        let Self(client) = self;
        let secret = client.secrets.first();
        let added = to
            .db
            .query(sql::ADD_CLIENT)
            .bind(client.id.to_string())
            .bind(client.name.as_str())
            .bind(client.scopes.to_string())
            .bind(client.audiences.join(" "))
            .bind(client.created_at.millis())
            .bind(secret.map(|secret| secret.bytes().to_vec()))
            .bind(client.keys.as_ref().map(|keys| keys.json().to_owned()))
            .execute()
            .await?;
        Ok(added == 1)
    }
}

/// Changes a client.
#[derive(Debug)]
pub(in crate::store::sql) struct ChangeClient {
    pub(in crate::store::sql) client: ClientId,
    pub(in crate::store::sql) change: ClientChange,
    pub(in crate::store::sql) at: Timestamp,
}

impl Command for ChangeClient {
    type Reply = Changed;

    async fn write(&self, to: &mut Transaction<'_, '_>) -> sqlx::Result<Changed> {
        change(to.db, to.head, self.client, &self.change, self.at).await
    }
}

/// The reply is `false` if the assertion was presented before.
impl Command for PresentedAssertion {
    type Reply = bool;

    async fn write(&self, to: &mut Transaction<'_, '_>) -> sqlx::Result<bool> {
        let query = to.db.query(sql::PRESENT).bind(self.digest.as_slice());
        let written = query.bind(self.expires_at.millis()).execute().await?;
        Ok(written == 1)
    }
}

/// The reply is `false` if the client has changed since it was read.
impl Command for BeginToken {
    type Reply = bool;

    async fn write(&self, to: &mut Transaction<'_, '_>) -> sqlx::Result<bool> {
        begin(to.db, to.head, self).await
    }
}

/// Removes assertions that expired at or before a time.
#[derive(Debug)]
pub(in crate::store::sql) struct ForgetAssertions(pub(in crate::store::sql) Timestamp);

impl Command for ForgetAssertions {
    type Reply = ();

    async fn write(&self, to: &mut Transaction<'_, '_>) -> sqlx::Result<()> {
        let Self(until) = self;
        let query = to.db.query(sql::FORGET_ASSERTIONS).bind(until.millis());
        query.execute().await.map(drop)
    }
}

async fn change(
    db: &mut Db<'_>,
    head: &mut HeadRow,
    id: ClientId,
    change: &ClientChange,
    at: Timestamp,
) -> sqlx::Result<Changed> {
    let text = id.to_string();
    let known = version(db, &text).await?;
    let Some((_, _, newest, before)) = known else {
        return Ok(Changed::Unknown);
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
        return Ok(Changed::Done);
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
    Ok(Changed::Revoked(append(head, revocation)))
}

/// Refuses a token if its client has changed since it was read. Records an issued token, so that every later cut-off
/// covers it.
async fn begin(db: &mut Db<'_>, head: &mut HeadRow, begin: &BeginToken) -> sqlx::Result<bool> {
    let id = begin.client.to_string();
    let known = version(db, &id).await?;
    let Some((enabled, read, newest, from)) = known else {
        return Ok(false);
    };
    let time = begin.token.created_at();
    let unchanged = read == begin.version && head.everything_version == begin.everything_version;
    if !enabled || !unchanged || time.millis() < from.max(head.everything_from) {
        return Ok(false);
    }
    db.query(sql::SET_NEWEST_TOKEN)
        .bind(&id)
        .bind(newest.max(time.millis()))
        .execute()
        .await?;
    head.head.newest_lineage = head.head.newest_lineage.max(time);
    Ok(true)
}

/// Returns `enabled`, `version`, `newest` and `from` of a client.
async fn version(db: &mut Db<'_>, id: &str) -> sqlx::Result<Option<(bool, i64, i64, i64)>> {
    let row = db.query(sql::CLIENT_VERSION).bind(id).optional().await?;
    let version = |row: Row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
    row.map(version).transpose()
}
