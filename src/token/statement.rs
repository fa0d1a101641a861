//! Statements that an issuer signs and that are not tokens. Each has a type of its own, so that neither passes for the
//! other.

use serde::Serialize;

use super::error::{Malformed, SigningFailed};
use super::jws::{self, UntrustedJws};
use super::paseto::{self, UntrustedMessage};
use crate::encoding::strict_json::Object;
use crate::id::KeyId;
use crate::key::{Format, SigningKey, VerifyingKey};

/// A statement whose signature is not checked yet.
#[derive(Debug)]
pub struct UntrustedStatement<'a> {
    signed: SignedText<'a>,
    kid: KeyId,
    typ: &'static str,
}

#[derive(Debug)]
enum SignedText<'a> {
    Jws(UntrustedJws<'a>),
    Paseto(UntrustedMessage),
}

impl<'a> UntrustedStatement<'a> {
    /// Parses the text as a statement of the type `typ`.
    ///
    /// # Errors
    /// [`Malformed`] says what is wrong with the text.
    pub fn parse(text: &'a str, typ: &'static str) -> Result<Self, Malformed> {
        let no_kid = Malformed::Header("no kid");
        let (signed, kid) = if text.starts_with(paseto::HEADER) {
            let message = UntrustedMessage::parse(text)?;
            let footer = Object::parse(message.footer()).map_err(|_| no_kid)?;
            let kid = footer.get("kid").and_then(|kid| kid.as_str());
            let kid = kid.and_then(|kid| kid.parse().ok());
            (SignedText::Paseto(message), kid)
        } else {
            let jws = UntrustedJws::parse(text)?;
            if jws.typ() != Some(typ) {
                return Err(Malformed::Header("typ is another"));
            }
            let kid = jws.key_id().cloned();
            (SignedText::Jws(jws), kid)
        };
        let kid = kid.ok_or(no_kid)?;
        Ok(Self { signed, kid, typ })
    }

    /// The ID of the key that the statement claims to be signed with.
    #[must_use]
    pub const fn kid(&self) -> &KeyId {
        &self.kid
    }

    /// Returns the content, if `key` signed it.
    ///
    /// # Errors
    /// [`Malformed::Algorithm`], [`Malformed::Signature`].
    pub fn verify(self, key: &VerifyingKey) -> Result<Vec<u8>, Malformed> {
        match self.signed {
            SignedText::Jws(jws) => jws.verify(key),
            SignedText::Paseto(message) => message.verify(key, self.typ.as_bytes()),
        }
    }
}

/// Signs a statement of the type `typ`.
///
/// # Errors
/// [`SigningFailed`].
pub fn sign(
    typ: &'static str,
    statement: &impl Serialize,
    key: &SigningKey,
) -> Result<String, SigningFailed> {
    match key.public().algorithm().format() {
        Format::Jwt => jws::sign(typ, statement, key),
        Format::Paseto => {
            let message = serde_json::to_vec(statement).map_err(|_| SigningFailed)?;
            let footer = paseto::footer(key.public());
            paseto::sign_message(&message, footer.as_bytes(), typ.as_bytes(), key)
        }
    }
}
