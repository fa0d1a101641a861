//! The first user. A start without users adds this user, with an initial password.

use std::path::Path;

use waxseal::account::User;
use waxseal::random::OsRandom;
use waxseal::{Settings, Waxseal};

use crate::config::Config;
use crate::failure::Failure;
use crate::{passwords, streams, user};

/// Adds the first user if there is no user. Otherwise prints a reminder of each initial password that was not changed.
pub async fn make(waxseal: &Waxseal, config: &Config) -> Result<(), Failure> {
    let accounts = waxseal.accounts();
    let users = accounts.users().await.map_err(Failure::refused)?;
    if !users.is_empty() {
        let enabled = users.iter().filter(|user| user.enabled);
        enabled.for_each(|user| remind(waxseal, user, config));
        return Ok(());
    }
    let Some(username) = &config.first_user else {
        let add = command(config, "add", "NAME");
        streams::note(&format!(
            "there is no user, and first_user is none. Add one with: {add}"
        ));
        return Ok(());
    };
    let mut user = user::new_user(username.as_str())?;
    let by = user::change_required_by(user.created_at);
    user.password_change_required_by = Some(by);
    let password = passwords::random(&OsRandom::new());
    let hash = passwords::hash(password.clone(), username.as_str(), &config.settings).await?;
    // Show the password before adding the user. If nobody saw the password, the user would exist all the same, and the
    // next start would add no other.
    let passwd = command(config, "passwd", username.as_str());
    let shown = streams::err(&format!(
        "waxseal: there was no user, so one is made. This is shown once:\n  username: {username}\n  password: {password}\nwaxseal: this password works for one hour, until {by}. Sign in and change it, or run: {passwd}\n"
    ));
    shown.map_err(|cause| {
        let add = command(config, "add", "NAME");
        Failure::refused(format!(
            "there is no user, and none was made: the password of the first one could not be shown on standard error: {cause}. Start with a standard error that can be written, or add a user with: {add}"
        ))
    })?;
    let Err(failure) = user::insert(&*accounts, &user, &hash).await else {
        return Ok(());
    };
    // The user may be there all the same, or another node that started at the same moment has added one.
    let users = accounts.users().await.unwrap_or_default();
    if users.iter().any(|known| known.id == user.id) {
        return Ok(());
    }
    if !users.is_empty() {
        streams::note(
            "the password shown here is not valid: another node made the first user at the same moment, and shows its password",
        );
        return Ok(());
    }
    Err(failure.with("; the password that was shown may be valid or not: keep it secret"))
}

/// Returns a command line for a user, with the folders of this process.
fn command(config: &Config, action: &str, name: &str) -> String {
    let Settings {
        data_dir, mark_dir, ..
    } = &config.settings;
    let mut command = format!("waxseal user {action} {name}");
    for (flag, folder, default) in [
        ("--data-dir", data_dir, "data"),
        ("--mark-dir", mark_dir, "mark"),
    ] {
        if folder != Path::new(default) {
            let folder = folder.display().to_string().replace('\'', "'\\''");
            command += &format!(" {flag} '{folder}'");
        }
    }
    command
}

fn remind(waxseal: &Waxseal, user: &User, config: &Config) {
    let Some(by) = user.password_change_required_by else {
        return;
    };
    let name = &user.username;
    let passwd = command(config, "passwd", name.as_str());
    streams::note(&if waxseal.issuer().initial_password_is_over(by) {
        format!(
            "the initial password of {name} was not changed by {by} and does not work any more. Set a new one with: {passwd}"
        )
    } else {
        format!(
            "{name} still has the initial password, which works until {by}. Sign in and change it, or run: {passwd}"
        )
    });
}
