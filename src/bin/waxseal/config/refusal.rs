//! A setting that is refused.

use crate::failure::Failure;

/// The file of settings.
pub const FILE: &str = "waxseal.toml";

/// Names the setting, its value, what it must be, and where it is set.
pub fn bad(key: &str, value: &str, wanted: &str) -> Failure {
    // An address in the wrong place may have a password in it.
    let value = match value.contains('@') {
        true => "not shown here".to_owned(),
        false => format!("{value:?}"),
    };
    Failure::Usage(format!(
        "the setting {key} is {value}, but must be {wanted}; it is set by --{flag}, {variable} or {FILE}",
        flag = key.replace('_', "-"),
        variable = format_args!("WAXSEAL_{}", key.to_uppercase()),
    ))
}
