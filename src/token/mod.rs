//! Tokens: bytes in, bytes out. What the libraries wrongly accept is refused here, before them.

pub mod base64url;
pub mod jws;
pub mod jwt;
pub mod paseto;
pub mod payload;
pub mod statement;
pub mod strict_json;

use crate::claims::{AnyClaims, Claims, ClientClaims};
use crate::id::KeyId;
use crate::key::{Format, SigningKey, VerifyingKey};
use payload::Payload;

/// The longest token that is looked at, in bytes. A longer one is refused before anything is decoded.
pub const MAX_TOKEN_BYTES: usize = 8192;

/// Why a text is no token. The caller is told none of this; the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// Longer than [`MAX_TOKEN_BYTES`].
    #[error("longer than {MAX_TOKEN_BYTES} bytes")]
    TooLong,
    /// Not the parts that a token has, in canonical base64url.
    #[error("not the canonical base64url parts of a token")]
    Shape,
    /// A format that is not accepted here.
    #[error("a format that is not accepted here")]
    Format,
    /// The header is not one JSON object of `alg`, `typ` and `kid`, or the footer not one of `kid`.
    #[error("header or footer: {0}")]
    Header(&'static str),
    /// The algorithm in the header is not the key's.
    #[error("the header's algorithm is not the key's")]
    Algorithm,
    /// The signature does not fit.
    #[error("the signature does not fit")]
    Signature,
    /// A claim is missing or malformed.
    #[error("claims: {0}")]
    Claims(&'static str),
}

/// A token that could not be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token could not be signed")]
pub struct SigningFailed;

/// A token of either format whose signature nobody has checked: it has no claims to read.
#[derive(Debug)]
pub enum UntrustedToken<'a> {
    /// A JWT.
    Jwt(jwt::UntrustedJwt<'a>),
    /// A PASETO.
    Paseto(paseto::UntrustedPaseto),
}

impl<'a> UntrustedToken<'a> {
    /// Takes the text apart, as the format that it shows.
    ///
    /// # Errors
    /// [`Malformed`] says what is wrong with it.
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        Self::parse_known(text, |_| None)
    }

    /// The same, and no other verdict. `known` may know the [`naming`] of a key, which is then not read.
    pub(crate) fn parse_known<'k>(
        text: &'a str,
        known: impl FnOnce(&str) -> Option<&'k VerifyingKey>,
    ) -> Result<Self, Malformed> {
        if text.starts_with(paseto::HEADER) {
            paseto::UntrustedPaseto::parse_known(text, known).map(Self::Paseto)
        } else {
            jwt::UntrustedJwt::parse_known(text, known).map(Self::Jwt)
        }
    }

    /// Its format.
    #[must_use]
    pub const fn format(&self) -> Format {
        match self {
            Self::Jwt(_) => Format::Jwt,
            Self::Paseto(_) => Format::Paseto,
        }
    }

    /// The name of the key that it says signed it.
    #[must_use]
    pub const fn kid(&self) -> &KeyId {
        match self {
            Self::Jwt(token) => token.kid(),
            Self::Paseto(token) => token.kid(),
        }
    }

    /// The claims, if `key` signed them.
    pub(crate) fn verify(self, key: &VerifyingKey) -> Result<AnyClaims, Malformed> {
        match self {
            Self::Jwt(token) => token.verify(key),
            Self::Paseto(token) => token.verify(key),
        }
    }
}

/// What `key` writes into each token that it signs to name itself, as it stands there: the header of a JWT, the
/// footer of a PASETO. None if such a token would not be taken as one of that key.
pub(crate) fn naming(key: &VerifyingKey) -> Option<String> {
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
        Format::Jwt => jws::sign(jwt::TYPE, payload, key),
        Format::Paseto => paseto::sign(payload, key),
    }
}
