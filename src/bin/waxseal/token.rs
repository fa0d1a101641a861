//! `waxseal token`.

use std::io::Read;

use serde_json::{Value, json};
use waxseal::Waxseal;
use waxseal::embedded::open_store;
use waxseal::store::key_folder;
use waxseal::token::jwt::Payload;
use waxseal::token::{MAX_TOKEN_BYTES, base64url};

use crate::cli::{Output, TokenAction};
use crate::config::Config;
use crate::failure::Failure;

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
            "standard input has no token; try: echo \"$TOKEN\" | waxseal token verify".to_owned(),
        ));
    }
    Ok(token)
}

fn inspect(token: &str, output: Output) -> Result<(), Failure> {
    let not_jwt =
        || Failure::refused("it is not a JWT: three base64url parts with JSON in the first two");
    let mut parts = token.split('.');
    let (Some(header), Some(claims), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(not_jwt());
    };
    let part = |text: &str| -> Option<Value> {
        serde_json::from_slice(&base64url::decode(text.as_bytes()).ok()?).ok()
    };
    let (header, claims) = (
        part(header).ok_or_else(not_jwt)?,
        part(claims).ok_or_else(not_jwt)?,
    );
    eprintln!("waxseal: nothing of this is verified; to verify it: waxseal token verify");
    let value = json!({ "verified": false, "header": header, "claims": claims });
    output.print(&value, || format!("{value:#}"));
    Ok(())
}

async fn verify(token: &str, config: &Config, output: Output) -> Result<(), Failure> {
    let settings = &config.settings;
    if key_folder::load(&settings.keys_dir)
        .map_err(Failure::refused)?
        .is_empty()
    {
        let folder = settings.keys_dir.display();
        return Err(Failure::refused(format!(
            "there is no key in {folder} to verify with; set --keys-dir"
        )));
    }
    // A log that is not there knows of no revocation: that would be no verification.
    drop(open_store(settings).await.map_err(Failure::refused)?);
    let waxseal = Waxseal::open(settings).await.map_err(Failure::refused)?;
    let verified = waxseal
        .verifier()
        .verify(token)
        .map_err(|why| Failure::refused(format!("the token is refused: {why}")))?;
    let value =
        json!({ "verified": true, "kid": verified.kid(), "claims": Payload(verified.claims()) });
    output.print(&value, || format!("{value:#}"));
    Ok(())
}
