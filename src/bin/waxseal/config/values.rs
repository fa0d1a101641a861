//! Settings with a single value.

use std::time::Duration;

use waxseal::account::Username;

use super::old_names::Written;
use super::refusal::bad;
use crate::cli::duration;
use crate::failure::Failure;

/// The largest cache of verified tokens, in mebibytes.
const MAX_TOKEN_CACHE: u64 = 65_536;

/// Parses the size of the cache of verified tokens, such as `64MiB` or `0`, into bytes.
pub fn token_cache(written: Written, default: u64) -> Result<u64, Failure> {
    let Some(text) = written.text else {
        return Ok(default);
    };
    let number = match text.as_str() {
        "0" => Some("0"),
        text => text.strip_suffix("MiB"),
    };
    let mebibytes = number.and_then(|number| number.parse::<u64>().ok());
    let mebibytes = mebibytes.filter(|mebibytes| *mebibytes <= MAX_TOKEN_CACHE);
    let bytes = mebibytes.map(|mebibytes| mebibytes * 1024 * 1024);
    bytes.ok_or_else(|| {
        let wanted = "a size such as 64MiB, at most 65536MiB, or 0";
        bad(written.key, &text, wanted)
    })
}

/// Parses the time for which the service announces its stop. The default is zero.
pub fn shutdown_delay(written: Written) -> Result<Duration, Failure> {
    let Some(text) = written.text else {
        return Ok(Duration::ZERO);
    };
    let time = duration(&text).ok().filter(|time| time.as_secs() <= 3600);
    time.ok_or_else(|| bad(written.key, &text, "a duration from 0s to 1h"))
}

/// Parses the user whom a start without users adds. `none` adds nobody.
pub fn first_user(text: Option<String>) -> Result<Option<Username>, Failure> {
    let text = text.as_deref().unwrap_or("admin");
    if text.eq_ignore_ascii_case("none") {
        return Ok(None);
    }
    let wanted = "a username of 1 to 64 characters of a-z 0-9 . _ - @ +, or none";
    let username = text.parse().map_err(|_| bad("first_user", text, wanted))?;
    Ok(Some(username))
}
