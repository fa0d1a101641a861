//! `waxseal client`.

use std::io::Read;

use secrecy::ExposeSecret;
use serde_json::{Value, json};
use waxseal::account::client::{
    Changed, Client, ClientChange, ClientKeys, ClientName, Clients, SecretDigest,
};
use waxseal::embedded::{look_into_store, open_or_make_store, open_store};
use waxseal::id::ClientId;
use waxseal::random::OsRandom;
use waxseal::scope::Scopes;
use waxseal::time::{Clock, SystemClock};

use crate::cli::{ClientAction, Output};
use crate::config::Config;
use crate::ended::Ended;
use crate::failure::Failure;

/// More than any set of keys has.
const MAX_KEYS_BYTES: u64 = 64 * 1024;

/// It is carried by every token, and a token has room for so much.
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
    let mut value = json!({ "client_id": client.id, "name": client.name.as_str() });
    let text = format!("{} {done}", client.name);
    let Some(seq) = seq else {
        output.print(&value, || text);
        return Ok(());
    };
    value["seq"] = seq.into();
    Ended::by(seq, value, text).say(store, config, output).await
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
            "--audience {odd:?} is no URL or name of who the tokens are for, of at most {MAX_AUDIENCE_BYTES} bytes and without spaces"
        )));
    }
    let created_at = SystemClock.now();
    Ok(Client {
        id: ClientId::new(created_at, &OsRandom::new()),
        name,
        scopes,
        audiences,
        enabled: true,
        created_at,
        secrets: Vec::new(),
        keys: None,
    })
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

/// The client of that name or ID, or a refusal that says what to do.
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

fn shown(client: &Client) -> Value {
    json!({
        "client_id": client.id,
        "name": client.name.as_str(),
        "scope": client.scopes.to_string(),
        "audience": client.audiences,
        "enabled": client.enabled,
        "created_at": client.created_at,
        "secrets": client.secrets.len(),
        "keys": client.keys.as_ref().map_or(0, |keys| keys.candidates(None).count()),
    })
}

async fn add(
    clients: &dyn Clients,
    mut client: Client,
    keys: Option<ClientKeys>,
    output: Output,
) -> Result<(), Failure> {
    let secret = match keys {
        Some(keys) => {
            client.keys = Some(keys);
            None
        }
        None => {
            let (secret, digest) = SecretDigest::make(&OsRandom::new());
            client.secrets.push(digest);
            Some(secret)
        }
    };
    let mut value = shown(&client);
    let name = client.name.clone();
    let id = client.id;
    if !clients.add_client(client).await.map_err(Failure::refused)? {
        return Err(Failure::refused(format!(
            "there is a client {name} already; make a new secret with: waxseal client rotate-secret {name}"
        )));
    }
    if let Some(secret) = &secret {
        value["client_secret"] = secret.expose_secret().into();
    }
    output.print(&value, || match &secret {
        Some(secret) => format!(
            "{name} added\nclient_id: {id}\nclient_secret: {} (shown once)",
            secret.expose_secret()
        ),
        None => format!("{name} added\nclient_id: {id}"),
    });
    Ok(())
}

async fn rotate_secret(clients: &dyn Clients, name: &str, output: Output) -> Result<(), Failure> {
    let client = find(clients, name).await?;
    let (secret, digest) = SecretDigest::make(&OsRandom::new());
    change(clients, &client, ClientChange::AddSecret(digest)).await?;
    let secret = secret.expose_secret();
    let value =
        json!({ "client_id": client.id, "name": client.name.as_str(), "client_secret": secret });
    output.print(&value, || {
        format!(
            "{name} has a new secret; the one from before is good too, until: waxseal client rotate-secret {name} --finish\nclient_id: {}\nclient_secret: {secret} (shown once)",
            client.id,
            name = client.name
        )
    });
    Ok(())
}

async fn list(clients: &dyn Clients, output: Output) -> Result<(), Failure> {
    let clients = clients.clients().await.map_err(Failure::refused)?;
    let rows: Vec<_> = clients.iter().map(shown).collect();
    output.print(&rows, || {
        let line = |client: &Client| {
            let state = if client.enabled {
                "enabled"
            } else {
                "disabled"
            };
            format!(
                "{}  {:8}  {}  {}  {}",
                client.id, state, client.created_at, client.name, client.scopes
            )
        };
        clients.iter().map(line).collect::<Vec<_>>().join("\n")
    });
    Ok(())
}

/// Changes the client; gives the `seq` of the revocation, if that ended its tokens.
pub async fn change(
    clients: &dyn Clients,
    client: &Client,
    change: ClientChange,
) -> Result<Option<i64>, Failure> {
    let changed = clients
        .change_client(client.id, change, SystemClock.now())
        .await;
    match changed.map_err(Failure::refused)? {
        Changed::Done => Ok(None),
        Changed::Revoked(seq) => Ok(Some(seq)),
        Changed::Unknown => Err(Failure::refused(format!(
            "the client {} was deleted meanwhile",
            client.name
        ))),
    }
}
