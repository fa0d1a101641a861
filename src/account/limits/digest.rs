//! Digests of accounts and networks.

use crate::crypto::sha256;

/// A digest that stands for an account, an address or both. The store sees neither in plain text: a password may have
/// been typed into the username field.
pub type Digest = [u8; 32];

pub(crate) fn account_digest(account: &str) -> Digest {
    digest("owner", &[account.as_bytes()])
}

/// Returns the digest of a user's sessions. No text typed as a username has the same digest.
pub(super) fn sessions_digest(user: &str) -> Digest {
    digest("sessions", &[user.as_bytes()])
}

/// Hashes the parts, each prefixed with its length, so that different parts never give the same input.
pub(super) fn digest(what: &str, parts: &[&[u8]]) -> Digest {
    let mut bytes = Vec::new();
    for part in [b"waxseal-login".as_slice(), what.as_bytes()]
        .iter()
        .chain(parts)
    {
        bytes.extend((part.len() as u64).to_be_bytes());
        bytes.extend(*part);
    }
    sha256(&bytes)
}
