//! `waxseal user`.

use serde_json::{Map, Value, json};
use waxseal::account::password::PasswordHash;
use waxseal::account::{
    Accounts, AddUserError, INITIAL_PASSWORD_LIFETIME, User, UserChange, Username,
};
use waxseal::embedded::{look_into_store, open_or_make_store, open_store};
use waxseal::id::UserId;
use waxseal::random::OsRandom;
use waxseal::time::{Clock, SystemClock, Timestamp};

use crate::cli::{UserAction, WithPassword};
use crate::config::Config;
use crate::ended::EndedReport;
use crate::failure::Failure;
use crate::output::{Output, Receipt};
use crate::passwords::{self, Chosen};
use crate::table::table;

/// The command that shows the result of a change.
const SEE: &str = "waxseal user list";

pub async fn run(action: UserAction, config: &Config, output: Output) -> Result<(), Failure> {
    let opened = match action {
        // The first user may be added before the first start.
        UserAction::Add(_) => open_or_make_store(&config.settings).await,
        UserAction::List => look_into_store(&config.settings).await,
        _ => open_store(&config.settings).await,
    };
    let store = opened.map_err(Failure::refused)?;
    match action {
        UserAction::Add(wanted) => add(&store, &wanted, config, output).await,
        UserAction::List => list(&store, output).await,
        UserAction::Disable { name } => {
            let ended = change(&store, &name, UserChange::Disable, "disabled").await?;
            ended.say(store, config, output.receipt()).await
        }
        UserAction::Delete { name } => {
            let ended = change(&store, &name, UserChange::Delete, "deleted").await?;
            ended.say(store, config, output.receipt()).await
        }
        UserAction::Enable { name } => {
            let mut user = find(&store, &name).await?;
            store.enable_user(user.id).await.map_err(Failure::refused)?;
            user.enabled = true;
            let done = format!("{} enabled", user.username);
            output.receipt().finish(&shown(&user).into(), &done, SEE)
        }
        UserAction::Passwd(wanted) => {
            let (ended, receipt) = passwd(&store, &wanted, config, output).await?;
            ended.say(store, config, receipt).await
        }
    }
}

/// Returns a new user, who is not added yet.
pub fn new_user(name: &str) -> Result<User, Failure> {
    let username: Username = name
        .parse()
        .map_err(|why| Failure::Usage(format!("{name:?} is {why}")))?;
    let now = SystemClock.now();
    let id = UserId::new(now, &OsRandom::new());
    Ok(User::new(id, username, now))
}

/// Returns when an initial password that is set at `now` stops working.
pub fn change_required_by(now: Timestamp) -> Timestamp {
    now.plus(INITIAL_PASSWORD_LIFETIME).whole_second()
}

/// Returns what the result adds about an initial password.
fn until(user: &User) -> String {
    match user.password_change_required_by {
        None => String::new(),
        Some(by) => format!("; the password works until {by} and must be changed"),
    }
}

/// Finds a user by name. The refusal says what to do.
pub async fn find(accounts: &dyn Accounts, name: &str) -> Result<User, Failure> {
    let missing = || Failure::refused(format!("there is no user {name:?}; see: waxseal user list"));
    let username: Username = name.parse().map_err(|_| missing())?;
    accounts
        .user(&username)
        .await
        .map_err(Failure::refused)?
        .ok_or_else(missing)
}

/// Returns a user as JSON, with the same members in every command.
fn shown(user: &User) -> Map<String, Value> {
    let value = json!({
        "id": user.id,
        "username": user.username.as_str(),
        "enabled": user.enabled,
        "created_at": user.created_at,
        "password_change_required_by": user.password_change_required_by,
    });
    value.as_object().cloned().unwrap_or_default()
}

/// Shows a generated password, which nobody knows yet, before it becomes valid.
fn receipt(user: &User, chosen: &Chosen, output: Output) -> Result<Receipt, Failure> {
    if !chosen.made {
        return Ok(output.receipt());
    }
    let mut value = shown(user);
    value.insert("password".to_owned(), chosen.text.as_str().into());
    let text = format!("{} gets the password: {}", user.username, chosen.text);
    output.show_secret("password", value, &text)
}

async fn add(
    accounts: &dyn Accounts,
    wanted: &WithPassword,
    config: &Config,
    output: Output,
) -> Result<(), Failure> {
    let mut user = new_user(&wanted.name)?;
    user.password_change_required_by = wanted.initial.then(|| change_required_by(user.created_at));
    let there = accounts.user(&user.username).await;
    if there.map_err(Failure::refused)?.is_some() {
        return Err(taken(&user));
    }
    let chosen = passwords::chosen(wanted)?;
    let (text, name) = (chosen.text.clone(), user.username.as_str());
    let hash = passwords::hash(text, name, &config.settings).await?;
    let receipt = receipt(&user, &chosen, output)?;
    match insert(accounts, &user, &hash).await {
        Ok(()) => {
            let done = format!("{} added{}", user.username, until(&user));
            receipt.finish(&shown(&user).into(), &done, SEE)
        }
        Err(failure) => Err(receipt.void(failure)),
    }
}

pub async fn insert(
    accounts: &dyn Accounts,
    user: &User,
    hash: &PasswordHash,
) -> Result<(), Failure> {
    match accounts.add_user(user, hash).await {
        Ok(()) => Ok(()),
        Err(AddUserError::Taken) => Err(taken(user)),
        Err(why) => Err(Failure::unknown(why)),
    }
}

fn taken(user: &User) -> Failure {
    Failure::refused(format!(
        "there is a user {} already; set a new password with: waxseal user passwd {}",
        user.username, user.username
    ))
}

async fn passwd(
    accounts: &dyn Accounts,
    wanted: &WithPassword,
    config: &Config,
    output: Output,
) -> Result<(EndedReport, Receipt), Failure> {
    let mut user = find(accounts, &wanted.name).await?;
    let chosen = passwords::chosen(wanted)?;
    if user.password_change_required_by.take().is_some() {
        let known = accounts.login_user(user.id).await;
        let known = known.map_err(Failure::refused)?;
        if let Some(known) = known {
            passwords::refuse_same(&chosen.text, known.password_hash).await?;
        }
    }
    let (text, name) = (chosen.text.clone(), user.username.as_str());
    let hash = passwords::hash(text, name, &config.settings).await?;
    if wanted.initial {
        user.password_change_required_by = Some(change_required_by(SystemClock.now()));
    }
    let receipt = receipt(&user, &chosen, output)?;
    let change = match user.password_change_required_by {
        None => UserChange::Password(hash),
        Some(change_required_by) => UserChange::InitialPassword {
            hash,
            change_required_by,
        },
    };
    match apply(accounts, &user, change).await {
        Ok(seq) => {
            let done = format!("has a new password and no sessions{}", until(&user));
            Ok((ended(&user, seq, &done), receipt))
        }
        Err(failure) => Err(receipt.void(failure)),
    }
}

async fn list(accounts: &dyn Accounts, output: Output) -> Result<(), Failure> {
    let users = accounts.users().await.map_err(Failure::refused)?;
    let rows: Vec<_> = users.iter().map(shown).collect();
    output.print(&rows, || {
        let row = |user: &User| {
            let state = if user.enabled { "enabled" } else { "disabled" };
            [
                user.id.to_string(),
                state.to_owned(),
                user.created_at.to_string(),
                user.username.to_string(),
            ]
        };
        let rows: Vec<_> = users.iter().map(row).collect();
        table(["ID", "STATE", "CREATED", "USERNAME"], &rows)
    })
}

async fn change(
    accounts: &dyn Accounts,
    name: &str,
    change: UserChange,
    done: &str,
) -> Result<EndedReport, Failure> {
    let mut user = find(accounts, name).await?;
    let disables = matches!(change, UserChange::Disable);
    let seq = apply(accounts, &user, change).await?;
    user.enabled &= !disables;
    Ok(ended(&user, seq, &format!("{done}, all sessions ended")))
}

fn ended(user: &User, seq: i64, done: &str) -> EndedReport {
    let mut value = shown(user);
    value.insert("seq".to_owned(), seq.into());
    EndedReport::by(seq, value.into(), format!("{} {done}", user.username), SEE)
}

/// Changes the user. Returns the `seq` of the revocation that ended the sessions.
pub async fn apply(
    accounts: &dyn Accounts,
    user: &User,
    change: UserChange,
) -> Result<i64, Failure> {
    let seq = accounts
        .change_user(user.id, change, SystemClock.now())
        .await
        .map_err(Failure::unknown)?;
    seq.ok_or_else(|| Failure::refused(format!("the user {} was deleted meanwhile", user.username)))
}
