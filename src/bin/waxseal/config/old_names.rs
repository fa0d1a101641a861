//! Settings that have a new name. The old flag, variable and key work for one more release.

use super::refusal::FILE;
use crate::failure::Failure;

/// A setting as the user wrote it: the key that names it, and its value.
pub struct Written {
    pub key: &'static str,
    pub text: Option<String>,
}

/// The settings that were set under their old names, each with its new one.
#[derive(Debug, Default)]
pub struct OldNames {
    used: Vec<(&'static str, &'static str)>,
}

impl OldNames {
    /// Returns the setting under the name that the user wrote. Refuses a setting that has a value under both names.
    pub fn pick(&mut self, new: Written, old: Written) -> Result<Written, Failure> {
        match (&new.text, &old.text) {
            (_, None) => Ok(new),
            (None, Some(_)) => {
                self.used.push((old.key, new.key));
                Ok(old)
            }
            (Some(_), Some(_)) => Err(Failure::Usage(format!(
                "the setting {} is also set under its old name {}; remove the old one, which is set by --{flag}, {variable} or {FILE}",
                new.key,
                old.key,
                flag = old.key.replace('_', "-"),
                variable = format_args!("WAXSEAL_{}", old.key.to_uppercase()),
            ))),
        }
    }

    /// Logs each old name that was used, with the new one.
    pub fn warn(&self) {
        for (old, new) in &self.used {
            tracing::warn!(
                "the setting {old} is deprecated: set {new} instead; version 0.2 does not accept the old name"
            );
        }
    }
}
