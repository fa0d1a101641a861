//! The access token as a JWT, `at+jwt` (RFC 9068).

use jsonwebtoken::Header;

use super::jws::UntrustedJws;
use super::payload::Payload;
use super::{Malformed, SigningFailed, payload};
use crate::claims::Claims;
use crate::id::KeyId;
use crate::key::{Algorithm, Format, SigningKey, VerifyingKey};

/// The type in the header (RFC 9068, section 2.1), compared to the letter.
pub const TYPE: &str = "at+jwt";

/// A token whose signature nobody has checked: it has no claims to read.
#[derive(Debug)]
pub struct UntrustedJwt<'a> {
    jws: UntrustedJws<'a>,
    kid: KeyId,
}

impl<'a> UntrustedJwt<'a> {
    /// Takes the text apart: size, shape, header, in this order.
    ///
    /// # Errors
    /// [`Malformed`] says what is wrong with it.
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        let jws = UntrustedJws::parse(text)?;
        if jws.typ() != Some(TYPE) {
            return Err(Malformed::Header("typ is not at+jwt"));
        }
        let kid = jws.kid().ok_or(Malformed::Header("no kid"))?;
        let kid = kid
            .parse()
            .map_err(|_| Malformed::Header("kid is not a key ID"))?;
        Ok(Self { jws, kid })
    }

    /// The name of the key that it says signed it.
    #[must_use]
    pub const fn kid(&self) -> &KeyId {
        &self.kid
    }

    /// The claims, if `key` signed them. They are authentic, and may be expired, revoked or meant
    /// for somebody else.
    pub(crate) fn verify(self, key: &VerifyingKey) -> Result<Claims, Malformed> {
        payload::parse(&self.jws.verify(key)?, Format::Jwt)
    }
}

/// Signs `claims`.
///
/// # Errors
/// [`SigningFailed`] if the key does not sign, or not JWTs.
pub fn sign(claims: &Claims, key: &SigningKey) -> Result<String, SigningFailed> {
    let mut header = Header::new(match key.public().algorithm() {
        Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::V4Public => return Err(SigningFailed),
    });
    header.typ = Some(TYPE.to_owned());
    header.kid = Some(key.public().kid().to_string());
    let payload = Payload::new(claims, Format::Jwt);
    jsonwebtoken::encode(&header, &payload, key.encoding()).map_err(|_| SigningFailed)
}
