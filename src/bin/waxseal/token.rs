//! `waxseal token`.

use std::io::Read;
use std::sync::Arc;

use serde_json::{Value, json};
use waxseal::Verifier;
use waxseal::embedded::{MAX_STALENESS, look_into_store};
use waxseal::encoding::base64url;
use waxseal::key::Format;
use waxseal::keyring::SharedKeyring;
use waxseal::policy::Policy;
use waxseal::report::report;
use waxseal::revocation::follower::Follower;
use waxseal::store::key_folder;
use waxseal::time::{Clock, SystemClock};
use waxseal::token::MAX_TOKEN_BYTES;
use waxseal::token::payload::Payload;
use waxseal::verifier::Verified;

use crate::cli::TokenAction;
use crate::config::Config;
use crate::failure::Failure;
use crate::output::Output;
use crate::streams;

pub async fn run(action: TokenAction, config: &Config, output: Output) -> Result<(), Failure> {
    let token = from_stdin()?;
    match action {
        TokenAction::Inspect => inspect(&token, output),
        TokenAction::Verify => verify(&token, config, output).await,
    }
}

fn from_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    let limit = MAX_TOKEN_BYTES as u64 + 3;
    let read = std::io::stdin()
        .lock()
        .take(limit)
        .read_to_string(&mut text);
    read.map_err(|cause| {
        Failure::refused(format!(
            "no token could be read from standard input: {cause}"
        ))
    })?;
    let token = text.trim_end_matches(['\r', '\n']).to_owned();
    if token.is_empty() {
        return Err(Failure::Usage(
            "standard input has no token; give it one: echo \"$TOKEN\" | waxseal token …"
                .to_owned(),
        ));
    }
    Ok(token)
}

fn inspect(token: &str, output: Output) -> Result<(), Failure> {
    let parts: Vec<_> = token.split('.').collect();
    let json = |bytes: Option<&[u8]>| -> Option<Value> { serde_json::from_slice(bytes?).ok() };
    let decoded: Vec<_> = parts
        .iter()
        .map(|part| base64url::decode(part.as_bytes()).ok())
        .collect();
    let part = |index: usize| decoded[index].as_deref();
    let shown = match parts.as_slice() {
        // The 64 bytes of the signature follow the message.
        ["v4", "public", _] => json(part(2).and_then(|body| body.split_last_chunk::<64>()).map(|(message, _)| message))
            .map(|claims| json!({ "verified": false, "format": "paseto", "claims": claims })),
        ["v4", "public", _, _] => json(part(2).and_then(|body| body.split_last_chunk::<64>()).map(|(message, _)| message))
            .map(|claims| json!({ "verified": false, "format": "paseto", "footer": json(part(3)), "claims": claims })),
        [_, _, _] => json(part(0)).zip(json(part(1)))
            .map(|(header, claims)| json!({ "verified": false, "format": "jwt", "header": header, "claims": claims })),
        _ => None,
    };
    let value = shown.ok_or_else(|| {
        Failure::refused(
            "it is not a JWT, and not a PASETO v4.public, whose parts are base64url and JSON",
        )
    })?;
    streams::note("nothing of this is verified; to verify it: waxseal token verify");
    output.print(&value, || format!("{value:#}"))
}

/// Verifies the token. It creates nothing: neither keys nor a log.
async fn verify(token: &str, config: &Config, output: Output) -> Result<(), Failure> {
    let settings = &config.settings;
    let keyring = key_folder::keyring(&settings.keys_dir).map_err(Failure::refused)?;
    if keyring.plan().is_empty() {
        let folder = settings.keys_dir.display();
        return Err(Failure::refused(format!(
            "there is no key in {folder} to verify with; set --keys-dir"
        )));
    }
    let store = look_into_store(settings).await.map_err(Failure::refused)?;
    config.check_issuer()?;
    let policy = Policy::new(&settings.issuer, &settings.audience, settings.timeouts)
        .map_err(Failure::refused)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let follower = Follower::new(Arc::new(store), MAX_STALENESS, clock);
    follower.catch_up().await.map_err(Failure::refused)?;
    let keyring = Arc::new(SharedKeyring::new(keyring));
    let verifier = Verifier::following(keyring, settings.accepts.clone(), policy, &follower);
    let verified = verifier
        .verify_any(token)
        .map_err(|why| Failure::refused(format!("the token is refused: {}", report(&why))))?;
    let claims = match &verified {
        Verified::Session(session) => Payload::new(session.claims(), Format::Jwt),
        Verified::Client(client) => Payload::of_client(client.claims(), Format::Jwt),
    };
    let value = json!({ "verified": true, "kid": verified.kid(), "claims": claims });
    output.print(&value, || format!("{value:#}"))
}
