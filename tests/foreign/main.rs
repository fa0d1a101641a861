//! What others wrote about the same standards: test vectors, and libraries in other languages.

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "each test program uses its part")]
mod common;

mod cookbook;
mod interop;
mod wycheproof;

use std::path::Path;

use serde_json::Value;

fn read_json(path: &Path) -> Value {
    let text = std::fs::read(path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()))
}
