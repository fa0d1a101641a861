//! The access token as a PASETO `v4.public`, with the footer `{"kid":"k4.pid…"}` and no implicit
//! assertion.
//!
//! The pre-authentication encoding is our own, over ring: it is a dozen lines, the official vectors
//! check it, and a library's parser would stand behind a strict layer of ours in any case.

use super::strict_json::Object;
use super::{MAX_TOKEN_BYTES, Malformed, SigningFailed, base64url, payload};
use crate::claims::AnyClaims;
use crate::crypto;
use crate::id::KeyId;
use crate::key::{Algorithm, Format, SigningKey, VerifyingKey};

/// The header of every token of this kind.
pub const HEADER: &str = "v4.public.";

/// The longest encoded footer, in bytes. It is parsed before the signature is checked.
const MAX_FOOTER_BYTES: usize = 128;

const SIGNATURE_BYTES: usize = 64;

/// A message with a signature that nobody has checked, as PASETO has it: any message, any footer.
#[derive(Debug)]
pub struct UntrustedMessage {
    body: Vec<u8>,
    footer: Vec<u8>,
}

impl UntrustedMessage {
    /// Takes the text apart: size, shape.
    ///
    /// # Errors
    /// [`Malformed::TooLong`], [`Malformed::Shape`].
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        if text.len() > MAX_TOKEN_BYTES {
            return Err(Malformed::TooLong);
        }
        let parts = text.strip_prefix(HEADER).ok_or(Malformed::Shape)?;
        let (body, footer) = match parts.split_once('.') {
            // A footer that is there is not empty: a trailing dot would be a second name.
            Some((_, "")) => return Err(Malformed::Shape),
            Some((body, footer)) => (body, footer),
            None => (parts, ""),
        };
        let decode = |part: &str| base64url::decode(part.as_bytes()).map_err(|_| Malformed::Shape);
        let (body, footer) = (decode(body)?, decode(footer)?);
        if body.len() < SIGNATURE_BYTES {
            return Err(Malformed::Shape);
        }
        Ok(Self { body, footer })
    }

    /// The footer. Nobody has checked it.
    #[must_use]
    pub fn footer(&self) -> &[u8] {
        &self.footer
    }

    /// The message, if `key` signed it with this footer and `assertion`.
    ///
    /// # Errors
    /// [`Malformed::Algorithm`], [`Malformed::Signature`].
    pub fn verify(self, key: &VerifyingKey, assertion: &[u8]) -> Result<Vec<u8>, Malformed> {
        let Self { mut body, footer } = self;
        if key.algorithm() != Algorithm::V4Public {
            return Err(Malformed::Algorithm);
        }
        let signature = body.split_off(body.len() - SIGNATURE_BYTES);
        let signed = pre_authentication_encoding([HEADER.as_bytes(), &body, &footer, assertion]);
        let good = crypto::verify_ed25519(key.public_bytes(), &signed, &signature);
        if good {
            Ok(body)
        } else {
            Err(Malformed::Signature)
        }
    }
}

/// A token whose signature nobody has checked: it has no claims to read.
#[derive(Debug)]
pub struct UntrustedPaseto {
    message: UntrustedMessage,
    kid: KeyId,
}

impl UntrustedPaseto {
    /// Takes the text apart: size, shape, footer, in this order.
    ///
    /// # Errors
    /// [`Malformed`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let long_footer = text.len() <= MAX_TOKEN_BYTES
            && text
                .rsplit_once('.')
                .is_some_and(|(_, footer)| footer.len() > MAX_FOOTER_BYTES)
            && text.matches('.').count() == 3;
        if long_footer {
            return Err(Malformed::Header("too long"));
        }
        let message = UntrustedMessage::parse(text)?;
        let footer = Object::parse(message.footer());
        let footer = footer.map_err(|_| Malformed::Header("not one strict JSON object"))?;
        if footer.names().any(|name| name != "kid") {
            return Err(Malformed::Header("a member other than kid"));
        }
        let kid = footer
            .get("kid")
            .and_then(|kid| kid.as_str())
            .and_then(|kid| kid.parse().ok());
        let kid = kid.ok_or(Malformed::Header("no kid"))?;
        Ok(Self { message, kid })
    }

    /// The name of the key that it says signed it.
    #[must_use]
    pub const fn kid(&self) -> &KeyId {
        &self.kid
    }

    /// The claims, if `key` signed them. They are authentic, and may be expired, revoked or meant
    /// for somebody else.
    pub(crate) fn verify(self, key: &VerifyingKey) -> Result<AnyClaims, Malformed> {
        payload::parse(&self.message.verify(key, b"")?, Format::Paseto)
    }
}

/// Signs a token's payload.
pub(super) fn sign(
    payload: &payload::Payload<'_>,
    key: &SigningKey,
) -> Result<String, SigningFailed> {
    let message = serde_json::to_vec(payload).map_err(|_| SigningFailed)?;
    let footer = footer(key.public());
    sign_message(&message, footer.as_bytes(), b"", key)
}

/// The footer that names the key.
pub(super) fn footer(key: &VerifyingKey) -> String {
    format!(r#"{{"kid":"{}"}}"#, key.kid())
}

/// Signs any message, with any footer and implicit assertion.
///
/// # Errors
/// [`SigningFailed`] if the key does not sign, or not PASETOs.
pub fn sign_message(
    message: &[u8],
    footer: &[u8],
    assertion: &[u8],
    key: &SigningKey,
) -> Result<String, SigningFailed> {
    if key.public().algorithm() != Algorithm::V4Public {
        return Err(SigningFailed);
    }
    let signed = pre_authentication_encoding([HEADER.as_bytes(), message, footer, assertion]);
    let signature = key.parsed().sign(&signed).ok_or(SigningFailed)?;
    let body = base64url::encode(&[message, &signature].concat());
    Ok(match footer {
        [] => format!("{HEADER}{body}"),
        _ => format!("{HEADER}{body}.{}", base64url::encode(footer)),
    })
}

/// PAE: the number of pieces, and each piece after its length, so that no two lists of pieces are
/// one text (PASETO, Common Implementation Details).
fn pre_authentication_encoding(pieces: [&[u8]; 4]) -> Vec<u8> {
    let length: usize = pieces.iter().map(|piece| 8 + piece.len()).sum();
    let mut encoded = Vec::with_capacity(8 + length);
    encoded.extend_from_slice(&(pieces.len() as u64).to_le_bytes());
    for piece in pieces {
        encoded.extend_from_slice(&(piece.len() as u64).to_le_bytes());
        encoded.extend_from_slice(piece);
    }
    encoded
}
