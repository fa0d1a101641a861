//! `waxseal revoke`.

use serde_json::json;
use waxseal::account::client::ClientChange;
use waxseal::account::{Accounts, UserChange};
use waxseal::embedded::open_store;
use waxseal::id::{Lineage, SessionId, UserId};
use waxseal::revocation::log::{RevocationLog, Revoke};
use waxseal::revocation::{Reason, cut_off_expiry};
use waxseal::time::{Clock, SystemClock};

use crate::cli::RevokeTarget;
use crate::config::Config;
use crate::ended::EndedReport;
use crate::failure::Failure;
use crate::output::Output;
use crate::{client, user};

/// The command that shows the result. No command lists revocations, so verify a token that should be refused.
const SEE: &str = "waxseal token verify";

pub async fn run(
    target: RevokeTarget,
    explain: bool,
    config: &Config,
    output: Output,
) -> Result<(), Failure> {
    let lineage = match &target {
        RevokeTarget::Session { id } => Some(lineage(id)?),
        _ => None,
    };
    let store = open_store(&config.settings)
        .await
        .map_err(Failure::refused)?;
    let at = SystemClock.now();
    let revoke = async |what| {
        store
            .revoke(what, Reason::Operator, at)
            .await
            .map_err(Failure::refused)
    };
    let (scope, key, seq) = match (target, lineage) {
        (RevokeTarget::User { name }, _) => {
            let change = UserChange::EndSessions {
                spared: None,
                reason: Reason::Operator,
            };
            let (id, seq) = match name.parse::<UserId>() {
                Ok(id) => (
                    id,
                    store
                        .change_user(id, change, at)
                        .await
                        .map_err(Failure::refused)?,
                ),
                Err(_) => {
                    let user = user::find(&store, &name).await?;
                    (user.id, Some(user::apply(&store, &user, change).await?))
                }
            };
            let seq = seq.ok_or_else(|| {
                Failure::refused(format!("there is no user {name}; see: waxseal user list"))
            })?;
            ("user", id.to_string(), seq)
        }
        (RevokeTarget::Client { name }, _) => {
            let client = client::find(&store, &name).await?;
            let seq = client::change(&store, &client, ClientChange::EndTokens).await?;
            ("client", client.id.to_string(), seq.unwrap_or_default())
        }
        (_, Some(lineage)) => {
            // Only the token says when the session ends, so assume the longest time that a session can live.
            let expires_at = cut_off_expiry(at, lineage.created_at().millis());
            (
                "session",
                lineage.to_string(),
                revoke(Revoke::Session(lineage, expires_at)).await?,
            )
        }
        (_, None) => (
            "everything",
            String::new(),
            revoke(Revoke::Everything).await?,
        ),
    };
    let value = json!({ "seq": seq, "scope": scope, "key": key });
    let text = format!("revoked {scope} {key} (seq {seq})").replace("  ", " ");
    let ended = EndedReport::by(seq, value, text, SEE);
    if explain {
        ended.explain(store, config, output).await
    } else {
        ended.say(store, config, output.receipt()).await
    }
}

fn lineage(text: &str) -> Result<Lineage, Failure> {
    let session = text.parse::<SessionId>().map(|id| id.lineage);
    session.or_else(|_| text.parse()).map_err(|_| {
        Failure::Usage(format!("{text:?} is not a session ID, which is the sid claim of the token; see: waxseal token inspect"))
    })
}
