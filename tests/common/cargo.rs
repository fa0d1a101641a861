//! Builds within a test.

use std::process::Command;

/// The variables that a nested build keeps. A different profile would rebuild all crates.
const OF_EVERY_BUILD: [&str; 4] = [
    "CARGO_HOME",
    "CARGO_TARGET_DIR",
    "CARGO_INCREMENTAL",
    "CARGO_PROFILE_DEV_DEBUG",
];

/// Removes the variables that cargo sets for a test. Build scripts read some of them, such as `OUT_DIR`, so a nested
/// build that had them would rebuild all crates, and the next build would do so again.
pub fn without_variables_of_a_test(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let is_of_cargo = text.starts_with("CARGO_") && !OF_EVERY_BUILD.contains(&&*text);
        if is_of_cargo || text == "OUT_DIR" {
            command.env_remove(name);
        }
    }
}
