//! Test vectors and libraries of others for the same standards. All but the replay of the fuzz targets need no server,
//! so they also run with the library alone, over AWS-LC.

mod checks;
mod cookbook;
mod json;
mod paseto;
mod pasetors;
#[cfg(feature = "server")]
mod replay;
#[cfg(feature = "server")]
mod seeds;
mod wycheproof;

use std::path::{Path, PathBuf};

use serde_json::Value;

/// The folder of foreign vectors. If it is missing, prints `LEFT OUT` and returns `None`.
fn vectors(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/vectors")
        .join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("LEFT OUT: the foreign vectors {name} are not here");
    None
}

fn read_json(path: &Path) -> Value {
    let text = std::fs::read(path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()))
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}
