//! The schedule file `keyring.json`: maps each key to its file and its times in RFC 3339. `null` means "never", and for
//! `signs_from` "not fixed yet".

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::KeyFolderError;
use super::private_file::read_private;
use crate::id::KeyId;
use crate::key::Algorithm;
use crate::schedule::{Planned, Times};
use crate::time::Timestamp;

pub(super) const MANIFEST: &str = "keyring.json";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    keys: Vec<ManifestRow>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ManifestRow {
    kid: String,
    algorithm: String,
    file: String,
    published: String,
    signs_from: Option<String>,
    signs_until: Option<String>,
    verifies_until: Option<String>,
    revoked_at: Option<String>,
}

pub(super) struct ScheduledKey {
    pub kid: KeyId,
    pub algorithm: Algorithm,
    pub file: String,
    pub times: Times,
}

/// Reads the schedule, or returns `None` if the file does not exist.
pub(super) fn read(folder: &Path) -> Result<Option<Vec<ScheduledKey>>, KeyFolderError> {
    let path = folder.join(MANIFEST);
    let text = match read_private(&path) {
        Ok(text) => text,
        Err(KeyFolderError::Io { cause, .. }) if cause.kind() == std::io::ErrorKind::NotFound => {
            return Ok(None);
        }
        Err(why) => return Err(why),
    };
    let manifest: Manifest =
        serde_json::from_slice(&text).map_err(|why| KeyFolderError::manifest(path.clone(), why))?;
    let entries = manifest
        .keys
        .into_iter()
        .map(|row| entry(row).map_err(|why| KeyFolderError::manifest(path.clone(), why)))
        .collect::<Result<_, _>>();
    entries.map(Some)
}

fn entry(row: ManifestRow) -> Result<ScheduledKey, String> {
    let time = |text: &str| {
        Timestamp::parse_rfc3339(text)
            .ok_or_else(|| format!("{text:?} of {} is not an RFC 3339 time", row.kid))
    };
    let time_or_never = |text: &Option<String>| text.as_deref().map_or(Ok(Timestamp::NEVER), time);
    let algorithm = Algorithm::ALL
        .into_iter()
        .find(|algorithm| algorithm.name() == row.algorithm);
    if row.file.contains('/') || !row.file.ends_with(".pem") {
        return Err(format!(
            "{:?} is not the name of a .pem file in the folder",
            row.file
        ));
    }
    Ok(ScheduledKey {
        kid: row
            .kid
            .parse()
            .map_err(|_| format!("{:?} is no key ID", row.kid))?,
        algorithm: algorithm
            .ok_or_else(|| format!("the algorithm {:?} is unknown", row.algorithm))?,
        times: Times {
            published: time(&row.published)?,
            signs_from: row.signs_from.as_deref().map(time).transpose()?,
            signs_until: time_or_never(&row.signs_until)?,
            verifies_until: time_or_never(&row.verifies_until)?,
            revoked_at: row.revoked_at.as_deref().map(time).transpose()?,
        },
        file: row.file,
    })
}

pub(super) fn write(plan: &[Planned], files: &[(KeyId, PathBuf)]) -> String {
    let text = |time: Timestamp| time.to_string();
    let unless_never = |time: Timestamp| (time < Timestamp::NEVER).then(|| time.to_string());
    let row = |key: &Planned| {
        let file = files
            .iter()
            .find(|(kid, _)| *kid == key.kid)
            .and_then(|(_, path)| path.file_name());
        ManifestRow {
            kid: key.kid.to_string(),
            algorithm: key.algorithm.name().to_owned(),
            file: file
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default(),
            published: text(key.times.published),
            signs_from: key.times.signs_from.map(text),
            signs_until: unless_never(key.times.signs_until),
            verifies_until: unless_never(key.times.verifies_until),
            revoked_at: key.times.revoked_at.map(text),
        }
    };
    let manifest = Manifest {
        keys: plan.iter().map(row).collect(),
    };
    // The manifest holds only text and optional text, which always serialize.
    let mut json = serde_json::to_string_pretty(&manifest).unwrap_or_default();
    json.push('\n');
    json
}
