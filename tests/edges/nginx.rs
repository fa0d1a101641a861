//! nginx with `auth_request`.

use std::path::Path;
use std::process::Command;

use super::fixture::Kind;

pub const NGINX: Kind = Kind {
    configuration: "nginx.conf",
    scheme: "http",
    written: |ip, port| format!("{ip}:{port}"),
    strips_unknown: false,
    says_when: true,
    change: |text, folder, _| within_folder(text, folder),
    command,
};

/// nginx with Waxseal below a path.
pub const BELOW_A_PATH: Kind = Kind {
    configuration: "nginx-below-a-path.conf",
    ..NGINX
};

/// The user and the password of [`BEHIND_BASIC`].
pub const GATE: [&str; 2] = ["tester", "staging only"];

/// nginx with HTTP Basic authentication for everything, as on staging sites.
pub const BEHIND_BASIC: Kind = Kind {
    change: |text, folder, _| {
        within_folder(text, folder);
        let [user, password] = GATE;
        let users = folder.join("users");
        std::fs::write(&users, format!("{user}:{{PLAIN}}{password}\n")).unwrap();
        let users = users.display();
        let gate = format!("server {{\nauth_basic staging;\nauth_basic_user_file {users};\n");
        *text = text.replacen("server {\n", &gate, 1);
    },
    ..NGINX
};

/// Moves nginx's temporary folders into `folder`: Debian's defaults are system folders.
pub fn within_folder(text: &mut String, folder: &Path) {
    let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|name| {
        let path = folder.join(name);
        format!("{name}_temp_path {};\n", path.display())
    });
    let within = format!("http {{\naccess_log off;\n{}", folders.concat());
    *text = text.replacen("http {\n", &within, 1);
}

fn command(configuration: &Path, folder: &Path) -> Command {
    let mut command = Command::new("/usr/sbin/nginx");
    let pid = folder.join("pid");
    // Under root, nginx's workers run as another user, who may not enter the test's folder.
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
