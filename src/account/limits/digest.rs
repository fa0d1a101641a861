//! Digests of accounts and networks.

use crate::crypto::sha256;

/// What stands for an account, an address or both: the store is told neither, and what was typed into the field
/// of a username may be a password.
pub type Digest = [u8; 32];

pub(crate) fn account_digest(account: &str) -> Digest {
    digest("owner", &[account.as_bytes()])
}

/// Of a user's sessions. No text that is typed as a username has it.
pub(super) fn sessions_digest(user: &str) -> Digest {
    digest("sessions", &[user.as_bytes()])
}

/// Of parts that cannot be mistaken for others: each has its length before it.
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
