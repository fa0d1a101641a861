//! The access token as a JWT, `at+jwt` (RFC 9068).

use super::error::Malformed;
use super::jws::{self, UntrustedJws};
use super::known::KnownHeader;
use super::{payload, types};
use crate::claims::AnyClaims;
use crate::id::KeyId;
use crate::key::{Format, VerifyingKey};

/// The encoded header of the tokens that `key` signs, by which the key can be recognized. None if the parser would not
/// read such a token as one of this key.
pub(crate) fn header(key: &VerifyingKey) -> Option<String> {
    let header = jws::header(types::ACCESS_TOKEN, key).ok()?;
    let token = format!("{header}..AA");
    let read = UntrustedJwt::parse(&token).ok()?;
    let is_its = read.kid == *key.kid() && read.jws.names(key.algorithm());
    is_its.then_some(header)
}

/// A JWT whose signature is not checked yet. Its claims cannot be read.
#[derive(Debug)]
pub struct UntrustedJwt<'a> {
    jws: UntrustedJws<'a>,
    kid: KeyId,
}

impl<'a> UntrustedJwt<'a> {
    /// Parses the text: size, shape, header, in this order.
    ///
    /// # Errors
    /// [`Malformed`] says what is wrong with the text.
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        Self::parse_with(text, None)
    }

    /// Does the same. A header that is `known` as the [`header`] of a key is not parsed again.
    pub(super) fn parse_with(
        text: &'a str,
        known: Option<KnownHeader<'_>>,
    ) -> Result<Self, Malformed> {
        let jws = UntrustedJws::parse_with(text, known)?;
        if jws.typ() != Some(types::ACCESS_TOKEN) {
            return Err(Malformed::Header("typ is not at+jwt"));
        }
        match (jws.kid(), jws.key_id()) {
            (_, Some(kid)) => Ok(Self {
                kid: kid.clone(),
                jws,
            }),
            (Some(_), None) => Err(Malformed::Header("kid is not a key ID")),
            (None, None) => Err(Malformed::Header("no kid")),
        }
    }

    /// The ID of the key that the token claims to be signed with.
    #[must_use]
    pub const fn kid(&self) -> &KeyId {
        &self.kid
    }

    /// Returns the claims, if `key` signed them. They are authentic, but may be expired, revoked or meant for another
    /// audience.
    pub(crate) fn verify(self, key: &VerifyingKey) -> Result<AnyClaims, Malformed> {
        payload::parse(&self.jws.verify(key)?, Format::Jwt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Algorithm, SigningKey, generate_pem};
    use crate::random::OsRandom;

    #[test]
    fn a_header_that_is_known_says_what_it_says_when_it_is_read() {
        let pem = generate_pem(Algorithm::V4Public, &OsRandom::new());
        let paseto = SigningKey::from_pem(pem.as_bytes(), Format::Paseto).unwrap();
        let pem = generate_pem(Algorithm::EdDsa, &OsRandom::new());
        let other = SigningKey::from_pem(pem.as_bytes(), Format::Jwt).unwrap();
        for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
            let pem = generate_pem(algorithm, &OsRandom::new());
            let key = SigningKey::from_pem(pem.as_bytes(), Format::Jwt).unwrap();
            let its = header(key.public()).unwrap();
            let token = jws::sign(types::ACCESS_TOKEN, &"payload", &key).unwrap();
            let with = |text: &str, key| {
                let known = Some(KnownHeader { text, key });
                format!("{:?}", UntrustedJwt::parse_with(&token, known))
            };
            let read = UntrustedJwt::parse(&token);
            assert!(read.is_ok());
            let read = format!("{read:?}");
            assert_eq!(with(&its, key.public()), read);
            // A key for PASETOs never names itself in a JWT, and another header is parsed.
            assert_eq!(with(&its, paseto.public()), read);
            assert_eq!(with("another", other.public()), read);
        }
        assert_eq!(header(paseto.public()), None);
    }
}
