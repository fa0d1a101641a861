//! `waxseal keys`.

use serde_json::json;
use waxseal::store::key_folder;

use crate::cli::{KeysAction, Output};
use crate::config::Config;
use crate::failure::Failure;

pub fn run(action: KeysAction, config: &Config, output: Output) -> Result<(), Failure> {
    let KeysAction::List = action;
    let files = key_folder::load(&config.settings.keys_dir).map_err(Failure::refused)?;
    let newest = files.len().saturating_sub(1);
    let rows: Vec<_> = files
        .iter()
        .enumerate()
        .map(|(index, file)| {
            let (public, file) = (file.key.public(), file.path.display().to_string());
            json!({ "kid": public.kid(), "algorithm": public.algorithm().name(), "signs": index == newest, "file": file })
        })
        .collect();
    output.print(&rows, || {
        let line = |row: &serde_json::Value| {
            let use_ = if row["signs"] == true {
                "signs"
            } else {
                "verifies"
            };
            let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
            format!(
                "{}  {:5}  {:8}  {}",
                text("kid"),
                text("algorithm"),
                use_,
                text("file")
            )
        };
        rows.iter().map(line).collect::<Vec<_>>().join("\n")
    });
    Ok(())
}
