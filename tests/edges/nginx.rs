//! nginx, with `auth_request`.

use std::path::Path;
use std::process::Command;

use super::stage::Kind;

const NGINX: Kind = Kind {
    configuration: "nginx.conf",
    written: |ip, port| format!("{ip}:{port}"),
    strips_unknown: false,
    says_when: true,
    change: |text, folder, _| {
        // Debian's defaults are folders of the system's.
        let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|name| {
            let path = folder.join(name);
            format!("{name}_temp_path {};\n", path.display())
        });
        let within = format!("http {{\naccess_log off;\n{}", folders.concat());
        *text = text.replacen("http {\n", &within, 1);
    },
    command,
};

fn command(configuration: &Path, folder: &Path) -> Command {
    let mut command = Command::new("/usr/sbin/nginx");
    let pid = folder.join("pid");
    // As root its workers are somebody else, who may not enter the test's folder.
    let user = if rustix::process::geteuid().is_root() {
        "user root; "
    } else {
        ""
    };
    command
        .arg("-c")
        .arg(configuration)
        .arg("-p")
        .arg(folder)
        .args(["-e", "stderr", "-g"])
        .arg(format!("{user}daemon off; pid {};", pid.display()));
    command
}

crate::table::holds_for!(NGINX);
