//! Keys: which ones load, which ones are refused, and the text of the refusals.

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "each test program uses its part")]
mod common;

mod folder;
mod jwk;
mod points;
mod private_jwk;
mod refused;
mod retired;
mod schedule_file;
mod secrets;

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pem::Pem;
use tempfile::TempDir;
use waxseal::key::{Format, SigningKey};
use waxseal::keyring::Keyring;
use waxseal::time::Timestamp;

/// The time at which the tests run.
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// Runs OpenSSL, asserts success, and returns its output.
fn openssl(arguments: &str, input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("openssl")
        .args(arguments.split(' '))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|cause| panic!("openssl: {cause}; run scripts/test-setup first"));
    // Some commands do not read their input.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "openssl {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

fn new_ed25519() -> Vec<u8> {
    openssl("genpkey -algorithm ed25519", b"")
}

fn new_ec(curve: &str) -> Vec<u8> {
    openssl(
        &format!("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:{curve}"),
        b"",
    )
}

/// Returns the DER in a PEM file.
fn der(pem: &[u8]) -> Vec<u8> {
    pem::parse(pem).unwrap().contents().to_vec()
}

fn private_pem(der: &[u8]) -> Vec<u8> {
    pem::encode(&Pem::new("PRIVATE KEY", der)).into_bytes()
}

/// Returns the key that signs JWTs now.
fn signer(ring: &Keyring) -> Option<&SigningKey> {
    ring.signing(Format::Jwt, NOW, |_| false)
}

/// A folder of key files.
struct Keys(TempDir);

impl Keys {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file with mode 0600.
    fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, content).unwrap();
        set_mode(&path, 0o600);
        path
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}
