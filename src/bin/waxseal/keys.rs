//! `waxseal keys`.

use std::collections::HashSet;
use std::convert::Infallible;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use waxseal::embedded::{Database, database_file, look_into_store, moved_file, open_store};
use waxseal::id::KeyId;
use waxseal::key::{Algorithm, Format, pem_from_jwk};
use waxseal::keyring::Keyring;
use waxseal::random::OsRandom;
use waxseal::revocation::log::{RevocationLog, Revoke};
use waxseal::revocation::{Reason, Target};
use waxseal::schedule::{self, Planned, Rotation, Times};
use waxseal::store::key_folder::{self, KeyFile, KeyFolderChange};
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
    let (folder, now) = (&config.settings.keys_dir, SystemClock.now());
    // Commands that change the folder read the clock when they hold its lock: a key that they create is not published
    // before that.
    match action {
        KeysAction::List => {
            let keyring = key_folder::keyring(folder).map_err(Failure::refused)?;
            let revoked = revoked_keys(config).await?;
            print(&keyring, &revoked, now, output)
        }
        KeysAction::Plan { every } => plan(config, every, now, output).await,
        KeysAction::Rotate { every, dry_run } => rotate(config, every, dry_run, output).await,
        KeysAction::Revoke { kid } => revoke(config, &kid, output).await,
        KeysAction::Prune => prune(folder, output),
        KeysAction::Import => import(config, output).await,
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
    keyring: &Keyring,
    revoked: &HashSet<KeyId>,
    now: Timestamp,
    output: Output,
) -> Result<(), Failure> {
    let rows = rows(keyring.plan(), revoked, now);
    output.print(&rows, || text(&rows))
}

async fn plan(
    config: &Config,
    every: Option<Duration>,
    now: Timestamp,
    output: Output,
) -> Result<(), Failure> {
    let keyring = key_folder::keyring(&config.settings.keys_dir).map_err(Failure::refused)?;
    let revoked = revoked_keys(config).await?;
    let algorithm = config.settings.signing_algorithm();
    let mut would_be = keyring.plan().to_vec();
    let placeholder = "to-be-made".parse::<KeyId>().map_err(Failure::refused)?;
    let every = every.unwrap_or(Duration::MAX);
    let Ok(rotation) = schedule::rotate(&mut would_be, algorithm, now, Some(every), || {
        Ok::<_, Infallible>(placeholder.clone())
    });
    print(&keyring, &revoked, now, output)?;
    let format = algorithm.format();
    refuse_not_yet(keyring.plan(), format, &revoked, now)?;
    if schedule::signer(keyring.plan(), format, now, |kid| revoked.contains(kid)).is_none() {
        return Err(Failure::refused(format!(
            "no {} key signs now; run: waxseal keys rotate",
            format.name()
        )));
    }
    let unrepaired = keyring
        .plan()
        .iter()
        .any(|key| revoked.contains(&key.kid) && key.times.revoked_at.is_none());
    match rotation {
        Rotation::TakesOver(..) | Rotation::First(_) => Err(Failure::Due(
            "a rotation is due; run: waxseal keys rotate".to_owned(),
        )),
        _ if would_be.len() > keyring.plan().len() || unrepaired => Err(Failure::Due(
            "no successor is published; run: waxseal keys rotate".to_owned(),
        )),
        Rotation::Pending(..) | Rotation::NotDue(_) => Ok(()),
    }
}

async fn rotate(
    config: &Config,
    every: Option<Duration>,
    dry_run: bool,
    output: Output,
) -> Result<(), Failure> {
    let (folder, algorithm) = (
        &config.settings.keys_dir,
        config.settings.signing_algorithm(),
    );
    if dry_run {
        let (revoked, now) = (revoked_keys(config).await?, SystemClock.now());
        // Check the schedule only afterwards: the rotation may repair it.
        let files = key_folder::load(folder).map_err(Failure::refused)?;
        let planned = |file: &KeyFile| Planned {
            kid: file.key.public().kid().clone(),
            algorithm: file.key.public().algorithm(),
            times: file.times,
        };
        let mut plan: Vec<_> = files.iter().map(planned).collect();
        let mut made = 0;
        let mut new_key = |_| {
            made += 1;
            format!("to-be-made-{made}")
                .parse::<KeyId>()
                .map_err(Failure::refused)
        };
        refuse_not_yet(&plan, algorithm.format(), &revoked, now)?;
        take_out(&mut plan, &revoked, now, &mut new_key)?;
        let new_key = || new_key(algorithm);
        let rotation = schedule::rotate(&mut plan, algorithm, now, every, new_key)?;
        schedule::check(&plan).map_err(Failure::refused)?;
        let rows = rows(&plan, &revoked, now);
        let done = format!("would be: {}", describe(&rotation));
        return output.print(&json!({ "done": done, "timeline": rows }), || {
            format!("{done}\n{}", text(&rows))
        });
    }
    let mut change = KeyFolderChange::begin(folder).map_err(Failure::refused)?;
    let (revoked, now) = (revoked_keys(config).await?, SystemClock.now());
    let mut plan = std::mem::take(&mut change.plan);
    refuse_not_yet(&plan, algorithm.format(), &revoked, now)?;
    let random = OsRandom::new();
    let mut new_key = |algorithm| {
        change
            .new_key(algorithm, now, &random)
            .map_err(Failure::refused)
    };
    take_out(&mut plan, &revoked, now, &mut new_key)?;
    let rotation = schedule::rotate(&mut plan, algorithm, now, every, || new_key(algorithm))?;
    change.plan = plan;
    change.commit().map_err(Failure::refused)?;
    let keyring = key_folder::keyring(folder).map_err(Failure::refused)?;
    let rows = rows(keyring.plan(), &revoked, now);
    let done = describe(&rotation);
    let value = json!({ "done": done, "timeline": rows });
    let done = format!("{done}\n{}", text(&rows));
    output.receipt().finish(&value, &done, SEE)
}

/// Refuses a schedule in which every key begins in the future: a rotation does not help there.
fn refuse_not_yet(
    plan: &[Planned],
    format: Format,
    revoked: &HashSet<KeyId>,
    now: Timestamp,
) -> Result<(), Failure> {
    match schedule::not_yet(plan, format, now, |kid| revoked.contains(kid)) {
        Some(why) => Err(Failure::refused(why)),
        None => Ok(()),
    }
}

/// Revokes these keys in the schedule, and publishes a successor again.
fn take_out(
    plan: &mut Vec<Planned>,
    revoked: &HashSet<KeyId>,
    now: Timestamp,
    mut new_key: impl FnMut(Algorithm) -> Result<KeyId, Failure>,
) -> Result<(), Failure> {
    let good = |key: &&Planned| key.times.revoked_at.is_none() && revoked.contains(&key.kid);
    let new: Vec<_> = plan.iter().filter(good).cloned().collect();
    for key in &new {
        schedule::revoke(plan, &key.kid, now);
    }
    for Planned { algorithm, .. } in new {
        let new_key = || new_key(algorithm);
        schedule::rotate(plan, algorithm, now, Some(Duration::MAX), new_key)?;
    }
    Ok(())
}

fn describe(rotation: &Rotation) -> String {
    match rotation {
        Rotation::TakesOver(kid, at) => format!("{kid} signs from {at}"),
        Rotation::Pending(kid, at) => format!("nothing to do: {kid} signs from {at} already"),
        Rotation::NotDue(at) => format!("nothing to do: not due before {at}"),
        Rotation::First(kid) => format!("{kid} is the first key and signs"),
    }
}

async fn revoke(config: &Config, kid: &str, output: Output) -> Result<(), Failure> {
    let folder = &config.settings.keys_dir;
    let wanted: KeyId = kid
        .parse()
        .map_err(|why| Failure::Usage(format!("{kid:?} is {why}")))?;
    let known = match key_folder::load(folder) {
        Ok(files) => files
            .into_iter()
            .map(|file| file.key)
            .find(|key| *key.public().kid() == wanted),
        // A broken folder, perhaps broken by this very key, must not prevent the revocation.
        Err(why) => {
            streams::note(&why.to_string());
            None
        }
    };
    if known.is_none() && key_folder::load(folder).is_ok() {
        return Err(Failure::refused(format!(
            "there is no such key in {}; see: waxseal keys list",
            folder.display()
        )));
    }
    let store = open_store(&config.settings)
        .await
        .map_err(Failure::refused)?;
    let now = SystemClock.now();
    // Write the log first: from then on every node refuses the key, even if the change of the folder fails. Revoke also
    // the name that the key would have in the other format.
    let mut names = vec![wanted.clone()];
    names.extend(known.and_then(|key| key.public().other_name()));
    let mut seq = 0;
    for name in names {
        seq = store
            .revoke(Revoke::Key(name), Reason::Operator, now)
            .await
            .map_err(Failure::refused)?;
    }
    let mut value = json!({ "kid": wanted, "seq": seq, "scope": "key", "key": wanted });
    let done = format!("revoked key {wanted} (seq {seq})");
    let mut ended = EndedReport::by(seq, Value::Null, done, SEE);
    if let Err(why) = take_out_of_folder(config, &wanted) {
        let why = why.message();
        streams::note(&format!(
            "the key is revoked, but stays in the key folder: {why}"
        ));
    }
    // A broken folder has no row for the key.
    if let Ok(keyring) = key_folder::keyring(folder) {
        let rows = rows(keyring.plan(), &HashSet::from([wanted.clone()]), now);
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

fn take_out_of_folder(config: &Config, kid: &KeyId) -> Result<(), Failure> {
    let mut change = KeyFolderChange::begin(&config.settings.keys_dir).map_err(Failure::refused)?;
    let now = SystemClock.now();
    let mut plan = std::mem::take(&mut change.plan);
    let random = OsRandom::new();
    let new_key = |algorithm| {
        change
            .new_key(algorithm, now, &random)
            .map_err(Failure::refused)
    };
    take_out(&mut plan, &HashSet::from([kid.clone()]), now, new_key)?;
    change.plan = plan;
    change.commit().map_err(Failure::refused)
}

fn prune(folder: &Path, output: Output) -> Result<(), Failure> {
    let mut change = KeyFolderChange::begin(folder).map_err(Failure::refused)?;
    let gone = schedule::prune(&mut change.plan, SystemClock.now());
    if !gone.is_empty() {
        change.commit().map_err(Failure::refused)?;
    }
    let done = format!("removed {} keys", gone.len());
    let value = json!({ "removed": gone });
    output.receipt().finish(&value, &done, SEE)
}

async fn import(config: &Config, output: Output) -> Result<(), Failure> {
    let (folder, format) = (&config.settings.keys_dir, config.settings.format);
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
    let public = waxseal::key::SigningKey::from_pem(pem.as_bytes(), format)
        .map_err(refused)?
        .public()
        .clone();
    if revoked_keys(config).await?.contains(public.kid()) {
        return Err(Failure::refused(format!(
            "the key {} is revoked, for good; make another",
            public.kid()
        )));
    }
    let mut change = KeyFolderChange::begin(folder).map_err(Failure::refused)?;
    let now = SystemClock.now();
    if change.plan.iter().any(|key| key.kid == *public.kid()) {
        return Err(Failure::refused(format!(
            "the key {} is in {} already",
            public.kid(),
            folder.display()
        )));
    }
    let (kid, algorithm) = change
        .add_pem(&pem, format, now)
        .map_err(Failure::refused)?;
    let first = !schedule::of(&change.plan, format).any(|key| key.times.signs_from.is_some());
    let times = if first {
        Times::first(now)
    } else {
        Times::successor(now)
    };
    change.plan.push(Planned {
        kid: kid.clone(),
        algorithm,
        times,
    });
    let rows = rows(&change.plan, &HashSet::new(), now);
    change.commit().map_err(Failure::refused)?;
    let role = if first {
        "the first key, and signs"
    } else {
        "a successor"
    };
    let value = row_of(&rows, &kid).unwrap_or_default();
    let done = format!("{kid} is {role}");
    output.receipt().finish(&value, &done, SEE)
}
