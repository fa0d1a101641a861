//! The settings file.

use std::ops::Range;
use std::{fs, io};

use serde::de::DeserializeOwned;

use super::refusal::FILE;
use crate::failure::Failure;

/// Reads the settings file at `path`, which `--config` names, or else [`FILE`], if it is there.
pub fn read<File: Default + DeserializeOwned>(path: Option<&str>) -> Result<File, Failure> {
    let text = match fs::read_to_string(path.unwrap_or(FILE)) {
        Ok(text) => text,
        Err(cause) if path.is_none() && cause.kind() == io::ErrorKind::NotFound => {
            return Ok(File::default());
        }
        Err(cause) => {
            return Err(Failure::Usage(match path {
                None => format!("{FILE}: {cause}"),
                Some(path) => format!(
                    "the setting config is {path:?}, which cannot be read: {cause}; it is set by --config or WAXSEAL_CONFIG"
                ),
            }));
        }
    };
    toml::from_str(&text).map_err(|error| {
        let (path, place) = (path.unwrap_or(FILE), place(&text, error.span()));
        // The list of the keys that are expected has some 40 names.
        match error.message().split_once(", expected one of ") {
            Some((unknown, _)) => Failure::Usage(format!(
                "{path}{place}: {unknown}; see: waxseal help settings"
            )),
            None => Failure::Usage(format!("{path}{place}: {}", error.message())),
        }
    })
}

/// Returns the number of the wrong line, and its key. It does not quote the line, which may have a password in it.
fn place(text: &str, span: Option<Range<usize>>) -> String {
    let Some((before, rest)) = span.and_then(|span| text.split_at_checked(span.start)) else {
        return String::new();
    };
    let number = before.matches('\n').count() + 1;
    let begun = before.rsplit('\n').next().unwrap_or_default();
    let line = format!("{begun}{}", rest.lines().next().unwrap_or_default());
    let key = line.split_once('=').map(|(key, _)| key.trim());
    let is_name = |key: &&str| key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    match key.filter(is_name) {
        Some(key) => format!(", line {number}, {key}"),
        None => format!(", line {number}"),
    }
}
