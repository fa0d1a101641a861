//! Errors about settings.

use crate::failure::Failure;

/// The path of the settings file, unless `--config` names another.
pub const FILE: &str = "waxseal.toml";

/// Returns an error that names the setting, its value, the values that it may have, and where to set it.
pub fn bad(key: &str, value: &str, wanted: &str) -> Failure {
    // An address in the wrong setting may have a password in it.
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
