//! The access token as a PASETO `v4.public`, with the footer `{"kid":"k4.pid…"}` and no implicit assertion.
//!
//! The pre-authentication encoding is implemented here, over ring. It is a dozen lines, the official test vectors check
//! it, and a library's parser would need the strict layer in front of it anyway.

use std::ops::Range;

use super::error::{MAX_TOKEN_BYTES, Malformed, SigningFailed};
use super::known::KnownHeader;
use super::payload;
use crate::claims::AnyClaims;
use crate::encoding::base64url;
use crate::encoding::strict_json::Object;
use crate::id::KeyId;
use crate::key::{Algorithm, Format, SigningKey, VerifyingKey};

/// The prefix of every PASETO of this version and purpose.
pub const HEADER: &str = "v4.public.";

/// The longest encoded footer, in bytes. It is parsed before the signature is checked.
const MAX_FOOTER_BYTES: usize = 128;

const SIGNATURE_BYTES: usize = Format::Paseto.signature_bytes();

/// The initial capacity for a token, in bytes.
const USUAL_BYTES: usize = 1024;

/// A PASETO message with any content and any footer, whose signature is not checked yet.
#[derive(Debug)]
pub struct UntrustedMessage {
    /// The signed bytes, up to the implicit assertion. The parts are decoded in place, where they are verified.
    signed: Vec<u8>,
    message: Range<usize>,
    footer: Range<usize>,
    signature: [u8; SIGNATURE_BYTES],
}

impl UntrustedMessage {
    /// Parses the text: size, shape.
    ///
    /// # Errors
    /// [`Malformed::TooLong`], [`Malformed::Shape`].
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        if text.len() > MAX_TOKEN_BYTES {
            return Err(Malformed::TooLong);
        }
        let parts = text.strip_prefix(HEADER).ok_or(Malformed::Shape)?;
        // A further dot in the body is not base64url.
        let (body, footer) = match parts.rsplit_once('.') {
            // A present footer is not empty: a trailing dot would give the token a second encoding.
            Some((_, "")) => return Err(Malformed::Shape),
            Some((body, footer)) => (body, footer),
            None => (parts, ""),
        };
        let decode = |bytes: &mut Vec<u8>, part: &str| {
            base64url::decode_onto(bytes, part.as_bytes()).map_err(|_| Malformed::Shape)
        };
        let mut signature = [0; SIGNATURE_BYTES];
        let mut signed = pre_authentication_encoding(text.len());
        let message = piece(&mut signed, |bytes| {
            let start = bytes.len();
            decode(bytes, body)?;
            let body = bytes.get(start..).unwrap_or_default();
            let (_, last) = body.split_last_chunk().ok_or(Malformed::Shape)?;
            signature = *last;
            bytes.truncate(bytes.len() - SIGNATURE_BYTES);
            Ok(())
        })?;
        let footer = piece(&mut signed, |bytes| decode(bytes, footer))?;
        Ok(Self {
            signed,
            message,
            footer,
            signature,
        })
    }

    /// The footer, unverified.
    #[must_use]
    pub fn footer(&self) -> &[u8] {
        &self.signed[self.footer.clone()]
    }

    /// Returns the message, if `key` signed it with this footer and `assertion`.
    ///
    /// # Errors
    /// [`Malformed::Algorithm`], [`Malformed::Signature`].
    pub fn verify(mut self, key: &VerifyingKey, assertion: &[u8]) -> Result<Vec<u8>, Malformed> {
        self.verified(key, assertion).map(<[u8]>::to_vec)
    }

    fn verified(&mut self, key: &VerifyingKey, assertion: &[u8]) -> Result<&[u8], Malformed> {
        if key.algorithm() != Algorithm::V4Public {
            return Err(Malformed::Algorithm);
        }
        piece::<Malformed>(&mut self.signed, |bytes| copy(bytes, assertion))?;
        if key.verifies(&self.signed, &self.signature) {
            Ok(&self.signed[self.message.clone()])
        } else {
            Err(Malformed::Signature)
        }
    }
}

/// A PASETO token whose signature is not checked yet. Its claims cannot be read.
#[derive(Debug)]
pub struct UntrustedPaseto {
    message: UntrustedMessage,
    kid: KeyId,
}

impl UntrustedPaseto {
    /// Parses the text: size, shape, footer, in this order.
    ///
    /// # Errors
    /// [`Malformed`] says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        Self::parse_with(text, None)
    }

    /// Does the same. A footer that is `known` as the [`encoded_footer`] of a key is not parsed again.
    pub(super) fn parse_with(
        text: &str,
        known: Option<KnownHeader<'_>>,
    ) -> Result<Self, Malformed> {
        let parts = text
            .strip_prefix(HEADER)
            .and_then(|parts| parts.rsplit_once('.'));
        let footer = parts.map(|(_, footer)| footer);
        let long_footer = text.len() <= MAX_TOKEN_BYTES
            && footer.is_some_and(|footer| footer.len() > MAX_FOOTER_BYTES)
            && text.matches('.').count() == 3;
        if long_footer {
            return Err(Malformed::Header("too long"));
        }
        let message = UntrustedMessage::parse(text)?;
        let known = footer.zip(known);
        let kid = match known.and_then(|(footer, known)| known.key_of(footer)) {
            Some(key) if key.algorithm() == Algorithm::V4Public => key.kid().clone(),
            _ => named(message.footer())?,
        };
        Ok(Self { message, kid })
    }

    /// The ID of the key that the token claims to be signed with.
    #[must_use]
    pub const fn kid(&self) -> &KeyId {
        &self.kid
    }

    /// Returns the claims, if `key` signed them. They are authentic, but may be expired, revoked or meant for another
    /// audience.
    pub(crate) fn verify(mut self, key: &VerifyingKey) -> Result<AnyClaims, Malformed> {
        payload::parse(self.message.verified(key, b"")?, Format::Paseto)
    }
}

/// The ID of the key that a footer names.
fn named(footer: &[u8]) -> Result<KeyId, Malformed> {
    let footer = Object::parse(footer);
    let footer = footer.map_err(|_| Malformed::Header("not one strict JSON object"))?;
    if footer.names().any(|name| name != "kid") {
        return Err(Malformed::Header("a member other than kid"));
    }
    let kid = footer
        .get("kid")
        .and_then(|kid| kid.as_str())
        .and_then(|kid| kid.parse().ok());
    kid.ok_or(Malformed::Header("no kid"))
}

/// The encoded footer of the tokens that `key` signs, by which the key can be recognized. None if the parser would not
/// read such a token as one of this key.
pub(crate) fn encoded_footer(key: &VerifyingKey) -> Option<String> {
    let footer = footer(key);
    let is_its = key.algorithm() == Algorithm::V4Public
        && named(footer.as_bytes()).is_ok_and(|kid| kid == *key.kid());
    is_its.then(|| base64url::encode(footer.as_bytes()))
}

/// Signs a token's payload.
pub(super) fn sign(
    payload: &payload::Payload<'_>,
    key: &SigningKey,
) -> Result<String, SigningFailed> {
    let footer = footer(key.public());
    let write = |bytes: &mut Vec<u8>| serde_json::to_writer(bytes, payload);
    sign_written(write, footer.as_bytes(), b"", key)
}

/// The footer that names the key.
pub(super) fn footer(key: &VerifyingKey) -> String {
    format!(r#"{{"kid":"{}"}}"#, key.kid())
}

/// Signs any message, with any footer and implicit assertion.
///
/// # Errors
/// [`SigningFailed`] if signing fails, or if the key is not for PASETOs.
pub fn sign_message(
    message: &[u8],
    footer: &[u8],
    assertion: &[u8],
    key: &SigningKey,
) -> Result<String, SigningFailed> {
    let write = |bytes: &mut Vec<u8>| copy(bytes, message);
    sign_written::<SigningFailed>(write, footer, assertion, key)
}

fn sign_written<E>(
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    footer: &[u8],
    assertion: &[u8],
    key: &SigningKey,
) -> Result<String, SigningFailed> {
    if key.public().algorithm() != Algorithm::V4Public {
        return Err(SigningFailed);
    }
    let mut signed = pre_authentication_encoding(USUAL_BYTES);
    let message = piece(&mut signed, write).map_err(|_| SigningFailed)?;
    for other in [footer, assertion] {
        piece::<SigningFailed>(&mut signed, |bytes| copy(bytes, other))?;
    }
    let signature = key.parsed().sign(&signed).ok_or(SigningFailed)?;
    // In the encoded token, the signature directly follows the message.
    signed.truncate(message.end);
    signed.extend_from_slice(&signature);
    let mut token = String::with_capacity(USUAL_BYTES);
    token.push_str(HEADER);
    base64url::encode_onto(&mut token, &signed[message.start..]);
    if !footer.is_empty() {
        token.push('.');
        base64url::encode_onto(&mut token, footer);
    }
    Ok(token)
}

/// Begins the PAE: the number of pieces, then each piece after its length, so that no two lists of pieces encode alike
/// (PASETO, Common Implementation Details). Writes the count, four, and the first piece. `room` is the approximate size
/// of the others.
fn pre_authentication_encoding(room: usize) -> Vec<u8> {
    const PIECES: u64 = 4;
    let mut encoded = Vec::with_capacity(64 + room);
    encoded.extend_from_slice(&PIECES.to_le_bytes());
    encoded.extend_from_slice(&(HEADER.len() as u64).to_le_bytes());
    encoded.extend_from_slice(HEADER.as_bytes());
    encoded
}

/// Appends the next piece, as `write` writes it, and returns its position.
fn piece<E>(
    encoded: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<Range<usize>, E> {
    let length_at = encoded.len();
    encoded.extend_from_slice(&[0; 8]);
    let start = encoded.len();
    write(encoded)?;
    let piece = start..encoded.len();
    encoded[length_at..start].copy_from_slice(&(piece.len() as u64).to_le_bytes());
    Ok(piece)
}

fn copy<E>(bytes: &mut Vec<u8>, piece: &[u8]) -> Result<(), E> {
    bytes.extend_from_slice(piece);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::generate_pem;
    use crate::random::OsRandom;

    #[test]
    fn a_footer_that_is_known_says_what_it_says_when_it_is_read() {
        let key = |algorithm: Algorithm| {
            let pem = generate_pem(algorithm, &OsRandom::new());
            SigningKey::from_pem(pem.as_bytes(), algorithm.format()).unwrap()
        };
        let other = key(Algorithm::V4Public);
        let (key, jwt) = (key(Algorithm::V4Public), key(Algorithm::EdDsa));
        let its = encoded_footer(key.public()).unwrap();
        let token = sign_message(b"{}", footer(key.public()).as_bytes(), b"", &key).unwrap();
        let with = |text: &str, key| {
            let known = Some(KnownHeader { text, key });
            format!("{:?}", UntrustedPaseto::parse_with(&token, known))
        };
        let read = UntrustedPaseto::parse(&token);
        assert!(read.is_ok());
        let read = format!("{read:?}");
        assert_eq!(with(&its, key.public()), read);
        // A key for JWTs never names itself in a PASETO, and another footer is parsed.
        assert_eq!(with(&its, jwt.public()), read);
        assert_eq!(with("another", other.public()), read);
        assert_eq!(encoded_footer(jwt.public()), None);
    }
}
