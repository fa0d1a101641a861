//! `waxseal client`.

use std::io::Read;

use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};
use waxseal::account::client::{
    Changed, Client, ClientChange, ClientKeys, ClientName, Clients, SecretDigest,
};
use waxseal::embedded::{look_into_store, open_or_make_store, open_store};
use waxseal::id::ClientId;
use waxseal::random::OsRandom;
use waxseal::scope::Scopes;
use waxseal::time::{Clock, SystemClock};

use crate::cli::ClientAction;
use crate::config::Config;
use crate::ended::EndedReport;
use crate::failure::Failure;
use crate::output::Output;
use crate::table::table;

/// The command that shows the result of a change.
const SEE: &str = "waxseal client list";

/// The most bytes to read of a key set. Every valid set is smaller.
const MAX_KEYS_BYTES: u64 = 64 * 1024;

/// The maximum length of an audience, in bytes. Every token carries its audience and has a limited size.
const MAX_AUDIENCE_BYTES: usize = 1024;

pub async fn run(action: ClientAction, config: &Config, output: Output) -> Result<(), Failure> {
    let opened = match action {
        // The first client may be added before the first start.
        ClientAction::Add { .. } => open_or_make_store(&config.settings).await,
        ClientAction::List => look_into_store(&config.settings).await,
        _ => open_store(&config.settings).await,
    };
    let store = opened.map_err(Failure::refused)?;
    let (name, wanted, done) = match action {
        ClientAction::Add {
            name,
            scope,
            audience,
            keys_stdin,
        } => {
            let wanted = wanted(&name, &scope, audience)?;
            let keys = keys_stdin.then(keys_from_stdin).transpose()?;
            return add(&store, wanted, keys, output).await;
        }
        ClientAction::List => return list(&store, output).await,
        ClientAction::RotateSecret { name, finish: true } => {
            let done = "has one secret, the newest";
            (name, ClientChange::FinishRotation, done)
        }
        ClientAction::RotateSecret { name, .. } => {
            return rotate_secret(&store, &name, output).await;
        }
        ClientAction::SetKeys { name } => {
            let keys = keys_from_stdin()?;
            (name, ClientChange::Keys(keys), "has other keys")
        }
        ClientAction::Disable { name } => {
            (name, ClientChange::Disable, "disabled, its tokens ended")
        }
        ClientAction::Enable { name } => (name, ClientChange::Enable, "enabled"),
        ClientAction::Delete { name } => (name, ClientChange::Delete, "deleted, its tokens ended"),
    };
    let client = find(&store, &name).await?;
    let seq = change(&store, &client, wanted).await?;
    let mut value = shown(&as_it_is(&store, client.clone()).await);
    let done = format!("{} {done}", client.name);
    let Some(seq) = seq else {
        return output.receipt().finish(&value.into(), &done, SEE);
    };
    value.insert("seq".to_owned(), seq.into());
    let ended = EndedReport::by(seq, value.into(), done, SEE);
    ended.say(store, config, output.receipt()).await
}

/// Returns the client after a change, or as it was before if it was deleted or cannot be read.
async fn as_it_is(clients: &dyn Clients, client: Client) -> Client {
    let now = clients.client_named(&client.name).await;
    let same = |now: &Client| now.id == client.id;
    now.ok().flatten().filter(same).unwrap_or(client)
}

fn wanted(name: &str, scope: &str, audiences: Vec<String>) -> Result<Client, Failure> {
    let name: ClientName = name
        .parse()
        .map_err(|why| Failure::Usage(format!("{name:?} is {why}")))?;
    let scopes: Scopes = scope
        .parse()
        .map_err(|why| Failure::Usage(format!("--scope {scope:?} is {why}")))?;
    let fits = |audience: &&String| {
        (1..=MAX_AUDIENCE_BYTES).contains(&audience.len())
            && audience.bytes().all(|b| b.is_ascii_graphic())
    };
    if let Some(odd) = audiences.iter().find(|audience| !fits(audience)) {
        return Err(Failure::Usage(format!(
            "--audience {odd:?} is not a URL or a name of at most {MAX_AUDIENCE_BYTES} bytes and without spaces"
        )));
    }
    let created_at = SystemClock.now();
    let id = ClientId::new(created_at, &OsRandom::new());
    let mut client = Client::new(id, name, created_at);
    client.scopes = scopes;
    client.audiences = audiences;
    Ok(client)
}

fn keys_from_stdin() -> Result<ClientKeys, Failure> {
    let mut text = String::new();
    let read = std::io::stdin()
        .lock()
        .take(MAX_KEYS_BYTES)
        .read_to_string(&mut text);
    read.map_err(|cause| {
        Failure::refused(format!(
            "no keys could be read from standard input: {cause}"
        ))
    })?;
    ClientKeys::parse(&text).map_err(|why| {
        Failure::refused(format!(
            "the keys on standard input are refused: {why}; give public EdDSA or ES256 keys, as a JWK set"
        ))
    })
}

/// Finds a client by name or ID. The refusal says what to do.
pub async fn find(clients: &dyn Clients, name: &str) -> Result<Client, Failure> {
    let missing = || {
        Failure::refused(format!(
            "there is no client {name:?}; see: waxseal client list"
        ))
    };
    let found = match name.parse::<ClientId>() {
        Ok(id) => clients.start_client(id).await.map(|start| start.client),
        Err(_) => {
            let name: ClientName = name.parse().map_err(|_| missing())?;
            clients.client_named(&name).await
        }
    };
    found.map_err(Failure::refused)?.ok_or_else(missing)
}

/// Returns a client as JSON, with the same members in every command.
fn shown(client: &Client) -> Map<String, Value> {
    let value = json!({
        "client_id": client.id,
        "name": client.name.as_str(),
        "scope": client.scopes.to_string(),
        "audience": client.audiences,
        "enabled": client.enabled,
        "created_at": client.created_at,
        "secrets": client.secrets.len(),
        "keys": client.keys.as_ref().map_or(0, |keys| keys.candidates(None).count()),
    });
    value.as_object().cloned().unwrap_or_default()
}

async fn add(
    clients: &dyn Clients,
    mut client: Client,
    keys: Option<ClientKeys>,
    output: Output,
) -> Result<(), Failure> {
    let (name, id) = (client.name.clone(), client.id);
    let taken = || {
        Failure::refused(format!(
            "there is a client {name} already; make a new secret with: waxseal client rotate-secret {name}"
        ))
    };
    let there = clients.client_named(&name).await;
    if there.map_err(Failure::refused)?.is_some() {
        return Err(taken());
    }
    let receipt = match keys {
        Some(keys) => {
            client.keys = Some(keys);
            output.receipt()
        }
        None => {
            let (secret, digest) = SecretDigest::make(&OsRandom::new());
            client.secrets.push(digest);
            let secret = secret.expose_secret();
            let mut value = shown(&client);
            value.insert("client_secret".to_owned(), secret.into());
            let text = format!("client_id: {id}\nclient_secret: {secret} (shown once)");
            output.show_secret("secret", value, &text)?
        }
    };
    let value = shown(&client);
    match clients.add_client(client).await {
        Ok(true) => {
            let done = if receipt.has_secret() {
                format!("{name} added")
            } else {
                format!("{name} added\nclient_id: {id}")
            };
            receipt.finish(&value.into(), &done, SEE)
        }
        Ok(false) => Err(receipt.void(taken())),
        Err(why) => Err(receipt.void(Failure::unknown(why))),
    }
}

async fn rotate_secret(clients: &dyn Clients, name: &str, output: Output) -> Result<(), Failure> {
    let client = find(clients, name).await?;
    let (secret, digest) = SecretDigest::make(&OsRandom::new());
    let (id, name, secret) = (client.id, &client.name, secret.expose_secret());
    let value = json!({ "client_id": id, "name": name.as_str(), "client_secret": secret });
    let value = value.as_object().cloned().unwrap_or_default();
    let text = format!("client_id: {id}\nclient_secret: {secret} (shown once)");
    let receipt = output.show_secret("secret", value, &text)?;
    if let Err(failure) = change(clients, &client, ClientChange::AddSecret(digest)).await {
        return Err(receipt.void(failure));
    }
    let done = format!(
        "{name} has a new secret; the one from before is good too, until: waxseal client rotate-secret {name} --finish"
    );
    let value = shown(&as_it_is(clients, client.clone()).await);
    receipt.finish(&value.into(), &done, SEE)
}

async fn list(clients: &dyn Clients, output: Output) -> Result<(), Failure> {
    let clients = clients.clients().await.map_err(Failure::refused)?;
    let rows: Vec<_> = clients.iter().map(shown).collect();
    output.print(&rows, || {
        let row = |client: &Client| {
            let state = if client.enabled {
                "enabled"
            } else {
                "disabled"
            };
            [
                client.id.to_string(),
                state.to_owned(),
                client.created_at.to_string(),
                client.name.to_string(),
                client.scopes.to_string(),
            ]
        };
        let rows: Vec<_> = clients.iter().map(row).collect();
        table(["CLIENT ID", "STATE", "CREATED", "NAME", "SCOPE"], &rows)
    })
}

/// Changes the client. Returns the `seq` of the revocation if the change ended the client's tokens.
pub async fn change(
    clients: &dyn Clients,
    client: &Client,
    change: ClientChange,
) -> Result<Option<i64>, Failure> {
    let changed = clients
        .change_client(client.id, change, SystemClock.now())
        .await;
    match changed.map_err(Failure::unknown)? {
        Changed::Done => Ok(None),
        Changed::Revoked(seq) => Ok(Some(seq)),
        Changed::Unknown => Err(Failure::refused(format!(
            "the client {} was deleted meanwhile",
            client.name
        ))),
    }
}
