//! `waxseal migrate`.

use serde_json::json;
use waxseal::embedded::{self, Database, database_file, moved_file};
use waxseal::store::sql::{Moved, PostgresUrl};

use crate::config::{Config, database};
use crate::failure::Failure;
use crate::output::Output;
use crate::serve;

pub async fn run(to: Option<&str>, config: &Config, output: Output) -> Result<(), Failure> {
    let to = target(to, config)?;
    let (file, aside) = (
        database_file(&config.settings),
        moved_file(&config.settings),
    );
    if !file.exists() && !aside.exists() {
        return Err(Failure::refused(format!(
            "there is no database {}; set --data-dir",
            file.display()
        )));
    }
    let _lock = serve::lock(config)?;
    let moved = embedded::migrate(&config.settings, &to).await;
    let Moved { seq, counts } = moved.map_err(Failure::refused)?;
    let (aside, keys) = (aside.display(), config.settings.keys_dir.display());
    let value = json!({
        "database": to.to_string(), "seq": seq, "users": counts.users, "clients": counts.clients,
        "sessions": counts.sessions, "revocations": counts.revocations,
        "assertions": counts.assertions, "aside": aside.to_string(),
    });
    let done = format!(
        "moved to {to}: users {}, clients {}, sessions {}, revocations {}, the log at seq {seq}\nwhat was here is now {aside}; nothing reads it any more\nnext:\n  set WAXSEAL_DATABASE to the address, here and at each node\n  copy the keys in {keys} to each other node; its mark is its own\n  start: waxseal serve",
        counts.users, counts.clients, counts.sessions, counts.revocations,
    );
    let see = "waxseal user list, with WAXSEAL_DATABASE set to that address";
    output.receipt().finish(&value, &done, see)
}

/// Returns the address to move to. The flag may show a password to everybody on this machine; the variable does not.
fn target(to: Option<&str>, config: &Config) -> Result<PostgresUrl, Failure> {
    match (to, &config.settings.database) {
        (Some(text), _) => database::address(text, config.takes)
            .map_err(|why| Failure::Usage(format!("what --to says is {}", database::said(why)))),
        (None, Database::Postgres(url)) => Ok(url.clone()),
        (None, Database::Sqlite) => Err(Failure::Usage(
            "where to? Set WAXSEAL_DATABASE, or give --to postgres://…".to_owned(),
        )),
    }
}
