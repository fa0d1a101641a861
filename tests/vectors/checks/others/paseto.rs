//! PASETO `v4.public` by pasetors.

use pasetors::Public;
use pasetors::keys::AsymmetricPublicKey;
use pasetors::token::UntrustedToken;
use pasetors::version4::{PublicToken, V4};
use waxseal::key::VerifyingKey;

/// Verifies `token`. Returns the message and the footer.
pub fn verified(token: &str, key: &VerifyingKey, assertion: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let public = AsymmetricPublicKey::<V4>::from(key.public_bytes()).unwrap();
    let untrusted = UntrustedToken::<Public, V4>::try_from(token).ok()?;
    let token = PublicToken::verify(&public, &untrusted, None, Some(assertion)).ok()?;
    Some((token.payload().into(), token.footer().to_vec()))
}
