//! Caddy, with the directives that `forward_auth` stands for.

use std::path::Path;
use std::process::Command;

use super::fixture::{Kind, installed};

pub const CADDY: Kind = Kind {
    configuration: "Caddyfile",
    scheme: "http",
    written: |ip, port| format!("{ip}:{port}"),
    strips_unknown: true,
    says_when: true,
    change: |text, _, ip| {
        // Without `bind`, Caddy listens on all addresses of the machine, whatever the site's address.
        *text = text.replacen("\n\thandle ", &format!("\n\tbind {ip}\n\thandle "), 1);
    },
    command,
};

fn command(configuration: &Path, folder: &Path) -> Command {
    let mut command = Command::new(installed("caddy"));
    command
        .args(["run", "--adapter", "caddyfile", "--config"])
        .arg(configuration)
        .env("HOME", folder)
        .env("XDG_CONFIG_HOME", folder)
        .env("XDG_DATA_HOME", folder)
        .env(
            "CADDY_ADMIN",
            format!("unix/{}", folder.join("admin").display()),
        );
    command
}

crate::table::holds_for!(CADDY);
