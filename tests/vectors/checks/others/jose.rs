//! JWS and JWK by jsonwebtoken. Its claims are what serde_json reads, and its clock is not asked.

use jsonwebtoken::{Algorithm as Name, DecodingKey, TokenData, Validation, decode};
use serde_json::{Map, Value};
use waxseal::key::{Algorithm, VerifyingKey};

/// The claims that a JWT must have, with these values.
pub struct Expected<'a> {
    pub issuer: &'a str,
    pub audience: &'a str,
    /// The names of the claims that must be there.
    pub required: &'a [&'a str],
}

/// Verifies `token`. `key` must be for JWTs.
pub fn verified(
    token: &str,
    key: &VerifyingKey,
    expected: &Expected<'_>,
) -> Option<TokenData<Map<String, Value>>> {
    let (name, decoding) = decoding_key(key);
    let mut validation = Validation::new(name);
    validation.validate_exp = false;
    validation.set_issuer(&[expected.issuer]);
    validation.set_audience(&[expected.audience]);
    validation.set_required_spec_claims(expected.required);
    decode(token, &decoding, &validation).ok()
}

/// Whether `key` signed `token`, which may name any algorithm.
pub fn is_signed(token: &str, key: &VerifyingKey) -> bool {
    let (name, decoding) = decoding_key(key);
    let (message, signature) = token.rsplit_once('.').unwrap();
    jsonwebtoken::crypto::verify(signature, message.as_bytes(), &decoding, name).unwrap_or(false)
}

fn decoding_key(key: &VerifyingKey) -> (Name, DecodingKey) {
    match key.algorithm() {
        Algorithm::EdDsa => (Name::EdDSA, DecodingKey::from_ed_der(key.public_bytes())),
        Algorithm::Es256 => (Name::ES256, DecodingKey::from_ec_der(key.public_bytes())),
        _ => panic!("no key for JWTs: {key:?}"),
    }
}
