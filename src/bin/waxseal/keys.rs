//! `waxseal keys`.

use std::collections::HashSet;
use std::io::Read;
use std::time::Duration;

use serde_json::{Value, json};
use waxseal::embedded::{
    Database, KeyFolder, Planned, Rotated, Rotation, database_file, look_into_store, moved_file,
    open_store,
};
use waxseal::id::KeyId;
use waxseal::key::{SigningKey, pem_from_jwk};
use waxseal::random::OsRandom;
use waxseal::report::report;
use waxseal::revocation::Target;
use waxseal::revocation::log::LogReader;
use waxseal::schedule;
use waxseal::store::key_folder::{self, Lack, lack};
use waxseal::time::{Clock, SystemClock, Timestamp};

use crate::cli::KeysAction;
use crate::config::Config;
use crate::ended::EndedReport;
use crate::failure::Failure;
use crate::output::Output;
use crate::streams;
use crate::table::table;

/// The command that shows the result of a change.
const SEE: &str = "waxseal keys list";

pub async fn run(action: KeysAction, config: &Config, output: Output) -> Result<(), Failure> {
    let folder = KeyFolder::new(&config.settings.keys_dir);
    match action {
        KeysAction::List => {
            let keyring = key_folder::keyring(folder.path()).map_err(Failure::refused)?;
            let revoked = revoked_keys(config).await?;
            print(keyring.plan(), &revoked, SystemClock.now(), output)
        }
        KeysAction::Plan { every } => plan(config, &folder, every, output).await,
        KeysAction::Rotate { every, dry_run } => {
            rotate(config, &folder, every, dry_run, output).await
        }
        KeysAction::Revoke { kid } => revoke(config, &folder, &kid, output).await,
        KeysAction::Prune => prune(&folder, output),
        KeysAction::Import => import(config, &folder, output).await,
    }
}

/// Returns the keys that the revocation log revokes. Without a database there are none.
async fn revoked_keys(config: &Config) -> Result<HashSet<KeyId>, Failure> {
    let mut revoked = HashSet::new();
    let sqlite = matches!(config.settings.database, Database::Sqlite);
    let nowhere =
        !database_file(&config.settings).exists() && !moved_file(&config.settings).exists();
    if sqlite && nowhere {
        return Ok(revoked);
    }
    let store = look_into_store(&config.settings)
        .await
        .map_err(Failure::refused)?;
    let mut after = 0;
    loop {
        let page = store.read(after, 4096).await.map_err(Failure::refused)?;
        let Some(last) = page.entries.last() else {
            return Ok(revoked);
        };
        after = last.revocation.seq;
        for entry in page.entries {
            if let Target::Key(kid) = entry.revocation.target {
                revoked.insert(kid);
            }
        }
    }
}

fn rows(plan: &[Planned], revoked: &HashSet<KeyId>, now: Timestamp) -> Vec<Value> {
    let mut plan: Vec<_> = plan.iter().collect();
    plan.sort_by_key(|key| {
        (
            key.algorithm.format(),
            key.times.signs_from.unwrap_or(Timestamp::NEVER),
            key.times.published,
        )
    });
    let all: Vec<Planned> = plan.iter().map(|key| (*key).clone()).collect();
    let row = |key: &&Planned| {
        let format = key.algorithm.format();
        let signs = schedule::signer(&all, format, now, |kid| revoked.contains(kid))
            .is_some_and(|signer| signer.kid == key.kid);
        let gone = key.times.revoked_at.is_some() || revoked.contains(&key.kid);
        let state = match () {
            () if gone => "revoked",
            () if signs => "signs",
            () if !key.times.verifies(now) => "over",
            () if key.times.signs_from.is_none() => "successor",
            () if key.times.signs_from > Some(now) => "next",
            () => "verifies",
        };
        let unless_never = |time: Timestamp| (time < Timestamp::NEVER).then_some(time);
        json!({
            "kid": key.kid, "format": format.name(), "algorithm": key.algorithm.name(), "state": state, "signs": signs,
            "published": key.times.published, "signs_from": key.times.signs_from,
            "signs_until": unless_never(key.times.signs_until), "verifies_until": unless_never(key.times.verifies_until),
        })
    };
    plan.iter().map(row).collect()
}

fn text(rows: &[Value]) -> String {
    let columns = [
        ("STATE", "state"),
        ("ALGORITHM", "algorithm"),
        ("SIGNS FROM", "signs_from"),
        ("SIGNS UNTIL", "signs_until"),
        ("VERIFIES UNTIL", "verifies_until"),
        ("KEY ID", "kid"),
    ];
    let cell = |row: &Value, name: &str| row[name].as_str().unwrap_or("-").to_owned();
    let row = |row: &Value| columns.map(|(_, name)| cell(row, name));
    let rows: Vec<_> = rows.iter().map(row).collect();
    table(columns.map(|(header, _)| header), &rows)
}

/// Returns one key as JSON, with the same members in every command.
fn row_of(rows: &[Value], kid: &KeyId) -> Option<Value> {
    let of_key = |row: &&Value| row["kid"] == kid.to_string();
    rows.iter().find(of_key).cloned()
}

fn print(
    plan: &[Planned],
    revoked: &HashSet<KeyId>,
    now: Timestamp,
    output: Output,
) -> Result<(), Failure> {
    let rows = rows(plan, revoked, now);
    output.print(&rows, || text(&rows))
}

async fn plan(
    config: &Config,
    folder: &KeyFolder,
    every: Option<Duration>,
    output: Output,
) -> Result<(), Failure> {
    let now = SystemClock.now();
    let keyring = key_folder::keyring(folder.path()).map_err(Failure::refused)?;
    let revoked = revoked_keys(config).await?;
    let algorithm = config.settings.signing_algorithm();
    let lack = lack(keyring.plan(), algorithm, every, &revoked, now);
    print(keyring.plan(), &revoked, now, output)?;
    match lack.map_err(Failure::refused)? {
        Some(Lack::Signer) => Err(Failure::refused(format!(
            "no {} key signs now; run: waxseal keys rotate",
            algorithm.format().name()
        ))),
        Some(Lack::Rotation) => Err(Failure::Due(
            "a rotation is due; run: waxseal keys rotate".to_owned(),
        )),
        Some(Lack::Successor) => Err(Failure::Due(
            "no successor is published; run: waxseal keys rotate".to_owned(),
        )),
        None => Ok(()),
    }
}

async fn rotate(
    config: &Config,
    folder: &KeyFolder,
    every: Option<Duration>,
    dry_run: bool,
    output: Output,
) -> Result<(), Failure> {
    let (algorithm, clock) = (config.settings.signing_algorithm(), SystemClock);
    let revoked = revoked_keys(config).await?;
    let rotated = match dry_run {
        true => folder.preview_rotation(algorithm, every, &revoked, &clock),
        false => folder.rotate(algorithm, every, &revoked, &clock, &OsRandom::new()),
    };
    let Rotated {
        rotation, plan, at, ..
    } = rotated.map_err(Failure::refused)?;
    let rows = rows(&plan, &revoked, at);
    let done = describe(&rotation);
    if dry_run {
        let done = format!("would be: {done}");
        return output.print(&json!({ "done": done, "timeline": rows }), || {
            format!("{done}\n{}", text(&rows))
        });
    }
    let value = json!({ "done": done, "timeline": rows });
    let done = format!("{done}\n{}", text(&rows));
    output.receipt().finish(&value, &done, SEE)
}

fn describe(rotation: &Rotation) -> String {
    match rotation {
        Rotation::TakesOver(kid, at) => format!("{kid} signs from {at}"),
        Rotation::Pending(kid, at) => format!("nothing to do: {kid} takes over at {at}"),
        Rotation::NotDue(at) => format!("nothing to do: not due before {at}"),
        Rotation::First(kid) => format!("{kid} is the first key and signs"),
    }
}

async fn revoke(
    config: &Config,
    folder: &KeyFolder,
    kid: &str,
    output: Output,
) -> Result<(), Failure> {
    let wanted: KeyId = kid
        .parse()
        .map_err(|why| Failure::Usage(format!("{kid:?} is {why}")))?;
    match folder.verifying_key(&wanted) {
        Ok(Some(_)) => {}
        Ok(None) => {
            return Err(Failure::refused(format!(
                "{} has no key {wanted}; list its keys with: waxseal keys list",
                folder.path().display()
            )));
        }
        // A broken folder, perhaps broken by this very key, must not prevent the revocation.
        Err(why) => streams::note(&report(&why).to_string()),
    }
    let store = open_store(&config.settings)
        .await
        .map_err(Failure::refused)?;
    let revoked = folder
        .revoke(&wanted, &store, &SystemClock, &OsRandom::new())
        .await
        .map_err(Failure::refused)?;
    let seq = revoked.seq;
    let done = format!("revoked key {wanted} (seq {seq})");
    let mut ended = EndedReport::by(seq, Value::Null, done, SEE);
    if let Err(why) = revoked.left {
        streams::note(&format!(
            "the key is revoked, but stays in the key folder: {why}"
        ));
    }
    let mut value = json!({ "kid": wanted, "seq": seq, "scope": "key", "key": wanted });
    // A broken folder has no row for the key.
    if let Ok(keyring) = key_folder::keyring(folder.path()) {
        let gone = HashSet::from([wanted.clone()]);
        let rows = rows(keyring.plan(), &gone, SystemClock.now());
        for (name, member) in row_of(&rows, &wanted)
            .iter()
            .flat_map(Value::as_object)
            .flatten()
        {
            value[name] = member.clone();
        }
    }
    ended.value = value;
    ended.say(store, config, output.receipt()).await
}

fn prune(folder: &KeyFolder, output: Output) -> Result<(), Failure> {
    let gone = folder.prune(&SystemClock).map_err(Failure::refused)?;
    let done = format!("removed {} keys", gone.len());
    let value = json!({ "removed": gone });
    output.receipt().finish(&value, &done, SEE)
}

async fn import(config: &Config, folder: &KeyFolder, output: Output) -> Result<(), Failure> {
    let format = config.settings.format;
    let mut text = zeroize::Zeroizing::new(String::new());
    let read = std::io::stdin()
        .lock()
        .take(64 * 1024)
        .read_to_string(&mut text);
    read.map_err(|cause| {
        Failure::refused(format!("no key could be read from standard input: {cause}"))
    })?;
    let refused = |why| Failure::refused(format!("the key on standard input is refused: {why}"));
    let pem = if text.trim_start().starts_with('{') {
        pem_from_jwk(text.as_bytes()).map_err(refused)?
    } else {
        text
    };
    // Without this check the error would name the folder, which does not have the key.
    SigningKey::from_pem(pem.as_bytes(), format).map_err(refused)?;
    let revoked = revoked_keys(config).await?;
    let imported = folder
        .import(&pem, format, &revoked, &SystemClock)
        .map_err(Failure::refused)?;
    let role = match imported.is_first {
        true => "the first key, and signs",
        false => "a successor",
    };
    let kid = imported.kid;
    let rows = rows(&imported.plan, &HashSet::new(), imported.at);
    let value = row_of(&rows, &kid).unwrap_or_default();
    let done = format!("{kid} is {role}");
    output.receipt().finish(&value, &done, SEE)
}
