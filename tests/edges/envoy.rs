//! Envoy with `ext_authz` over HTTP.

use std::path::Path;
use std::process::Command;

use super::fixture::{Kind, installed};

pub const ENVOY: Kind = Kind {
    configuration: "envoy.yaml",
    scheme: "http",
    written: |ip, port| format!("address: {ip}, port_value: {port}"),
    strips_unknown: true,
    says_when: false,
    change: |_, _, _| {},
    command,
};

fn command(configuration: &Path, _: &Path) -> Command {
    let mut command = Command::new(installed("envoy"));
    // Hot restart uses shared memory common to all Envoys on the machine.
    command
        .args(["--disable-hot-restart", "--concurrency", "1"])
        .args(["--log-level", "warning", "-c"])
        .arg(configuration);
    command
}

crate::table::holds_for!(ENVOY);
