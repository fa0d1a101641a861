//! A key folder whose times are moved back, so that the next rotation has work to do.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use waxseal::store::key_folder;
use waxseal::time::Timestamp;

/// Reads, changes and writes `keyring.json`.
pub fn edit(keys: &Path, change: impl FnOnce(&mut Vec<Value>)) {
    let path = keys.join("keyring.json");
    let mut json: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(json["keys"].as_array_mut().unwrap());
    // This overwrites the old file, so its mode stays.
    fs::write(&path, json.to_string()).unwrap();
}

/// Ages the keys: moves all their times back by `by`, a second or more.
pub fn age(keys: &Path, by: Duration) {
    edit(keys, |rows| {
        for row in rows {
            for name in [
                "published",
                "signs_from",
                "signs_until",
                "verifies_until",
                "revoked_at",
            ] {
                if let Some(text) = row[name].as_str() {
                    let time = Timestamp::parse_rfc3339(text).unwrap().minus(by);
                    row[name] = time.to_string().into();
                }
            }
        }
    });
}

/// The names in the folder that end with `ending`.
pub fn names(keys: &Path, ending: &str) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(keys).unwrap();
    let names = entries.map(|entry| PathBuf::from(entry.unwrap().file_name()));
    names
        .filter(|name| name.to_string_lossy().ends_with(ending))
        .collect()
}

/// The files of the schedule's keys.
pub fn scheduled(keys: &Path) -> BTreeSet<PathBuf> {
    let files = key_folder::load(keys).unwrap();
    let names = files
        .iter()
        .map(|file| PathBuf::from(file.path.file_name().unwrap()));
    names.collect()
}
