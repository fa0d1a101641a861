//! Self-signed certificates for tests.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Creates a certificate for `localhost` and `127.0.0.1` that is valid for `days`: `cert.pem` and `key.pem`.
pub fn make(folder: &Path, days: u32) -> [PathBuf; 2] {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
        .args(["ec_paramgen_curve:P-256", "-nodes"])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .args(["-days", &days.to_string(), "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .current_dir(folder)
        .output()
        .expect("openssl; run scripts/test-setup first");
    assert!(made.status.success(), "{made:?}");
    let [certificate, key] = ["cert.pem", "key.pem"].map(|name| folder.join(name));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    [certificate, key]
}
