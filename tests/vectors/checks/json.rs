//! Strict JSON against serde_json.

use super::others::json::{ours, theirs};

pub fn check(data: &[u8]) -> bool {
    let said = ours(data);
    assert_eq!(said, theirs(data));
    said.is_some()
}
