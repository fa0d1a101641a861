//! PASERK: the IDs and the texts of PASETO keys.

use blake2::digest::consts::U33;
use blake2::{Blake2b, Digest};

use super::base64url;

const PUBLIC: &str = "k4.public.";
const PUBLIC_ID: &str = "k4.pid.";

/// Encodes a public key as `k4.public`.
#[must_use]
pub fn public(key: &[u8; 32]) -> String {
    format!("{PUBLIC}{}", base64url::encode(key))
}

/// Decodes the public key of a `k4.public` text.
#[must_use]
pub fn parse_public(text: &str) -> Option<[u8; 32]> {
    base64url::decode(text.strip_prefix(PUBLIC)?.as_bytes())
        .ok()?
        .try_into()
        .ok()
}

/// The ID of a public key, `k4.pid` (PASERK, ID operation).
#[must_use]
pub fn public_id(key: &[u8; 32]) -> String {
    let mut hash = Blake2b::<U33>::new();
    hash.update(PUBLIC_ID);
    hash.update(public(key));
    format!("{PUBLIC_ID}{}", base64url::encode(&hash.finalize()))
}
