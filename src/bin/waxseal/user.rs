//! `waxseal user`.

use serde_json::{Value, json};
use waxseal::account::{Accounts, AddUserError, User, UserChange, Username};
use waxseal::embedded::{look_into_store, open_or_make_store, open_store};
use waxseal::id::UserId;
use waxseal::random::OsRandom;
use waxseal::time::{Clock, SystemClock};

use crate::cli::{Output, UserAction, WithPassword};
use crate::config::Config;
use crate::ended::Ended;
use crate::failure::Failure;
use crate::passwords;

pub async fn run(action: UserAction, config: &Config, output: Output) -> Result<(), Failure> {
    let opened = match action {
        // The first user may be added before the first start.
        UserAction::Add(_) => open_or_make_store(&config.settings).await,
        UserAction::List => look_into_store(&config.settings).await,
        _ => open_store(&config.settings).await,
    };
    let store = opened.map_err(Failure::refused)?;
    match action {
        UserAction::Add(wanted) => add(&store, &wanted, output).await,
        UserAction::List => list(&store, output).await,
        UserAction::Disable { name } => {
            let ended = change(&store, &name, UserChange::Disable, "disabled").await?;
            ended.say(store, config, output).await
        }
        UserAction::Delete { name } => {
            let ended = change(&store, &name, UserChange::Delete, "deleted").await?;
            ended.say(store, config, output).await
        }
        UserAction::Enable { name } => {
            let user = find(&store, &name).await?;
            store.enable_user(user.id).await.map_err(Failure::refused)?;
            output.print(
                &json!({ "id": user.id, "username": user.username.as_str() }),
                || format!("{} enabled", user.username),
            );
            Ok(())
        }
        UserAction::Passwd(wanted) => {
            let ended = passwd(&store, &wanted).await?;
            ended.say(store, config, output).await
        }
    }
}

/// Adds a user with that password.
pub async fn create(
    accounts: &dyn Accounts,
    name: &str,
    password: String,
) -> Result<User, Failure> {
    let username: Username = name
        .parse()
        .map_err(|why| Failure::Usage(format!("{name:?} is {why}")))?;
    let hash = passwords::hash(password, username.as_str()).await?;
    let now = SystemClock.now();
    let user = User {
        id: UserId::new(now, &OsRandom::new()),
        username,
        enabled: true,
        created_at: now,
    };
    match accounts.add_user(&user, &hash).await {
        Ok(()) => Ok(user),
        Err(AddUserError::Taken) => Err(Failure::refused(format!(
            "there is a user {} already; set a new password with: waxseal user passwd {}",
            user.username, user.username
        ))),
        Err(why) => Err(Failure::refused(why)),
    }
}

/// The user of that name, or a refusal that says what to do.
pub async fn find(accounts: &dyn Accounts, name: &str) -> Result<User, Failure> {
    let missing = || Failure::refused(format!("there is no user {name:?}; see: waxseal user list"));
    let username: Username = name.parse().map_err(|_| missing())?;
    accounts
        .user(&username)
        .await
        .map_err(Failure::refused)?
        .ok_or_else(missing)
}

/// The password that is wanted, and what to show of it.
fn wanted_password(wanted: &WithPassword) -> Result<(String, Option<String>), Failure> {
    if wanted.password_stdin {
        return Ok((passwords::from_stdin()?, None));
    }
    let made = passwords::random(&OsRandom::new());
    Ok((made.clone(), Some(made)))
}

fn with_password(user: &User, done: &str, made: Option<&str>) -> (Value, String) {
    let mut value = json!({ "id": user.id, "username": user.username.as_str() });
    if let Some(made) = made {
        value["password"] = made.into();
    }
    let text = match made {
        Some(made) => format!("{} {done}, password: {made}", user.username),
        None => format!("{} {done}", user.username),
    };
    (value, text)
}

async fn add(
    accounts: &dyn Accounts,
    wanted: &WithPassword,
    output: Output,
) -> Result<(), Failure> {
    let (password, made) = wanted_password(wanted)?;
    let user = create(accounts, &wanted.name, password).await?;
    let (value, text) = with_password(&user, "added", made.as_deref());
    output.print(&value, || text);
    Ok(())
}

async fn passwd(accounts: &dyn Accounts, wanted: &WithPassword) -> Result<Ended, Failure> {
    let user = find(accounts, &wanted.name).await?;
    let (password, made) = wanted_password(wanted)?;
    let hash = passwords::hash(password, user.username.as_str()).await?;
    let seq = apply(accounts, &user, UserChange::Password(hash)).await?;
    let done = "has a new password and no sessions";
    let (value, text) = with_password(&user, done, made.as_deref());
    Ok(Ended::by(seq, value, text).with_secret(made.is_some()))
}

async fn list(accounts: &dyn Accounts, output: Output) -> Result<(), Failure> {
    let users = accounts.users().await.map_err(Failure::refused)?;
    let rows: Vec<_> = users
        .iter()
        .map(|user| json!({ "id": user.id, "username": user.username.as_str(), "enabled": user.enabled, "created_at": user.created_at }))
        .collect();
    output.print(&rows, || {
        let line = |user: &User| {
            let state = if user.enabled { "enabled" } else { "disabled" };
            format!(
                "{}  {:8}  {}  {}",
                user.id, state, user.created_at, user.username
            )
        };
        users.iter().map(line).collect::<Vec<_>>().join("\n")
    });
    Ok(())
}

async fn change(
    accounts: &dyn Accounts,
    name: &str,
    change: UserChange,
    done: &str,
) -> Result<Ended, Failure> {
    let user = find(accounts, name).await?;
    let seq = apply(accounts, &user, change).await?;
    let value = json!({ "id": user.id, "username": user.username.as_str(), "seq": seq });
    let text = format!("{} {done}, all sessions ended", user.username);
    Ok(Ended::by(seq, value, text))
}

/// Changes the user; gives the `seq` of the revocation that ended the sessions.
pub async fn apply(
    accounts: &dyn Accounts,
    user: &User,
    change: UserChange,
) -> Result<i64, Failure> {
    let seq = accounts
        .change_user(user.id, change, SystemClock.now())
        .await
        .map_err(Failure::refused)?;
    seq.ok_or_else(|| Failure::refused(format!("the user {} was deleted meanwhile", user.username)))
}
