//! `waxseal restored`.

use serde_json::json;
use waxseal::embedded::{self, Database, Restored, database_file};

use crate::config::Config;
use crate::failure::Failure;
use crate::output::Output;
use crate::serve;

/// The data that the revocation log does not have. After a restore it is as in the copy.
const AS_IN_THE_COPY: [&str; 6] = [
    "users added, deleted, disabled or enabled",
    "passwords",
    "clients added, deleted, disabled or enabled",
    "clients' secrets and keys",
    "client assertions that were used",
    "keys revoked",
];

const CHECK: [&str; 3] = [
    "waxseal user list",
    "waxseal client list",
    "waxseal keys list",
];

pub async fn run(config: &Config, output: Output) -> Result<(), Failure> {
    let database = database_file(&config.settings);
    let _lock = match config.settings.database {
        Database::Postgres(_) => None,
        Database::Sqlite if database.exists() => Some(serve::lock(config)?),
        Database::Sqlite => {
            return Err(Failure::refused(format!(
                "there is no database {}; put the copy there first",
                database.display()
            )));
        }
    };
    let restored = embedded::recover_from_restore(&config.settings).await;
    let Some(restored) = restored.map_err(Failure::refused)? else {
        return Err(Failure::refused(
            "the revocation log continues from the mark: no older copy was put back, and nothing was changed. To end every session anyway: waxseal revoke all",
        ));
    };
    let Restored {
        seq,
        known_until,
        mark,
        at,
    } = restored;
    let until = mark.map_or(at, |mark| mark.written_at);
    let marked = mark.map(|mark| mark.cursor.seq);
    let value = json!({
        "seq": seq, "marked_seq": marked, "unknown_from": known_until, "unknown_until": until,
        "as_in_the_copy": AS_IN_THE_COPY, "check": CHECK,
    });
    let from = known_until.map_or("its beginning".to_owned(), |from| from.to_string());
    let lost = match marked {
        Some(marked) => format!("the copy has seq {seq}, the mark had {marked}"),
        None => format!("the copy has seq {seq}, there was no mark that could be read"),
    };
    let done = format!(
        "every session and every client's token from before is ended ({lost})\nwhat happened between {from} and {until} cannot be known; these are as in the copy:\n  {}\ncheck them:\n  {}",
        AS_IN_THE_COPY.join("\n  "),
        CHECK.join("\n  "),
    );
    output.receipt().finish(&value, &done, CHECK[0])
}
