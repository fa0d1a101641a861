//! Tokens: bytes in, bytes out. A strict layer refuses what the libraries would wrongly accept, before they see it.

mod error;
pub mod jws;
pub mod jwt;
mod known;
pub mod paseto;
pub mod payload;
pub mod statement;
pub mod types;

use crate::claims::{AnyClaims, Claims, ClientClaims};
use crate::id::KeyId;
use crate::key::{Format, SigningKey, VerifyingKey};
pub use error::{MAX_TOKEN_BYTES, Malformed, SigningFailed};
pub(crate) use known::KnownHeader;
use payload::Payload;

/// A token of either format whose signature is not checked yet. Its claims cannot be read.
#[derive(Debug)]
pub enum UntrustedToken<'a> {
    /// A JWT.
    Jwt(jwt::UntrustedJwt<'a>),
    /// A PASETO.
    Paseto(paseto::UntrustedPaseto),
}

impl<'a> UntrustedToken<'a> {
    /// Parses the text as a token of the format that its prefix shows.
    ///
    /// # Errors
    /// [`Malformed`] says what is wrong with the text.
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        Self::parse_with(text, None)
    }

    /// Does the same with the same verdict. A header that is `known` is not parsed again.
    pub(crate) fn parse_with(
        text: &'a str,
        known: Option<KnownHeader<'_>>,
    ) -> Result<Self, Malformed> {
        if text.starts_with(paseto::HEADER) {
            paseto::UntrustedPaseto::parse_with(text, known).map(Self::Paseto)
        } else {
            jwt::UntrustedJwt::parse_with(text, known).map(Self::Jwt)
        }
    }

    /// The format that the text's prefix showed.
    #[must_use]
    pub const fn format(&self) -> Format {
        match self {
            Self::Jwt(_) => Format::Jwt,
            Self::Paseto(_) => Format::Paseto,
        }
    }

    /// The ID of the key that the token claims to be signed with.
    #[must_use]
    pub const fn kid(&self) -> &KeyId {
        match self {
            Self::Jwt(token) => token.kid(),
            Self::Paseto(token) => token.kid(),
        }
    }

    /// Returns the claims, if `key` signed them.
    pub(crate) fn verify(self, key: &VerifyingKey) -> Result<AnyClaims, Malformed> {
        match self {
            Self::Jwt(token) => token.verify(key),
            Self::Paseto(token) => token.verify(key),
        }
    }
}

/// The encoded part of a text that would name its key if the text is a token: the header of a JWT, the footer of a
/// PASETO.
pub(crate) fn encoded_header(text: &str) -> Option<&str> {
    if text.starts_with(paseto::HEADER) {
        text.rsplit_once('.').map(|(_, footer)| footer)
    } else {
        text.split_once('.').map(|(header, _)| header)
    }
}

/// The encoded text by which `key` names itself in each token that it signs. None if the parser would not read such a
/// token as one of this key.
pub(crate) fn encoded_header_of(key: &VerifyingKey) -> Option<String> {
    match key.algorithm().format() {
        Format::Jwt => jwt::header(key),
        Format::Paseto => paseto::encoded_footer(key),
    }
}

/// Signs a session's `claims` in the format that `key` serves.
///
/// # Errors
/// [`SigningFailed`].
pub fn sign(claims: &Claims, key: &SigningKey) -> Result<String, SigningFailed> {
    let format = key.public().algorithm().format();
    sign_payload(&Payload::new(claims, format), key)
}

/// Signs a client's `claims` in the format that `key` serves.
///
/// # Errors
/// [`SigningFailed`].
pub fn sign_client(claims: &ClientClaims, key: &SigningKey) -> Result<String, SigningFailed> {
    let format = key.public().algorithm().format();
    sign_payload(&Payload::of_client(claims, format), key)
}

fn sign_payload(payload: &Payload<'_>, key: &SigningKey) -> Result<String, SigningFailed> {
    match key.public().algorithm().format() {
        Format::Jwt => jws::sign(types::ACCESS_TOKEN, payload, key),
        Format::Paseto => paseto::sign(payload, key),
    }
}
