//! The settings `tls_cert` and `tls_key`.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use super::refusal::bad;
use crate::failure::Failure;

/// A certificate and its private key, as PEM files.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// A file, with the setting that names it.
pub struct SetFile<'a> {
    pub path: &'a Path,
    setting: &'static str,
}

impl TlsFiles {
    pub fn cert(&self) -> SetFile<'_> {
        SetFile {
            path: &self.certificate,
            setting: "tls_cert",
        }
    }

    pub fn key(&self) -> SetFile<'_> {
        SetFile {
            path: &self.key,
            setting: "tls_key",
        }
    }
}

impl SetFile<'_> {
    /// Returns a message that names the setting, the file and what is wrong with it.
    pub fn bad(&self, why: impl Display) -> String {
        format!("{}: {}: {why}", self.setting, self.path.display())
    }
}

/// Returns both files, or `None` for plain HTTP. One without the other is an error.
pub fn read(certificate: Option<String>, key: Option<String>) -> Result<Option<TlsFiles>, Failure> {
    let wanted = "the path of a PEM file";
    for (name, path) in [("tls_cert", &certificate), ("tls_key", &key)] {
        if path.as_deref() == Some("") {
            return Err(bad(name, "", wanted));
        }
    }
    match (certificate, key) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => Ok(Some(TlsFiles {
            certificate: certificate.into(),
            key: key.into(),
        })),
        (Some(_), None) => Err(alone("tls_cert", "tls_key")),
        (None, Some(_)) => Err(alone("tls_key", "tls_cert")),
    }
}

fn alone(set: &str, missing: &str) -> Failure {
    Failure::Usage(format!(
        "the setting {set} is set and {missing} is not: set both, or neither for plain HTTP; {missing} is set by --{flag}, WAXSEAL_{variable} or waxseal.toml",
        flag = missing.replace('_', "-"),
        variable = missing.to_uppercase(),
    ))
}
