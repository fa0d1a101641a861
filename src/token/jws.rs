//! Compact JWS (RFC 7515, section 7.1) with a header of `alg`, `typ` and `kid`, and nothing else.

use std::borrow::Cow;

use jsonwebtoken::Header;
use serde::Serialize;

use super::error::{MAX_TOKEN_BYTES, Malformed, SigningFailed};
use super::known::KnownHeader;
use super::types;
use crate::encoding::base64url;
use crate::encoding::strict_json::Object;
use crate::id::KeyId;
use crate::key::{Algorithm, Format, SigningKey, VerifyingKey};

/// The longest encoded header, in bytes. It is parsed before the signature is checked, so the limit is low.
const MAX_HEADER_BYTES: usize = 512;

const SIGNATURE_BYTES: usize = Format::Jwt.signature_bytes();

/// The initial capacity for a JWS, in bytes.
const USUAL_BYTES: usize = 1024;

/// A JWS whose signature is not checked yet. It exposes its key ID and type, but not its payload.
#[derive(Debug)]
pub struct UntrustedJws<'a> {
    signed: &'a [u8],
    payload: Vec<u8>,
    /// None if the length is not that of a supported algorithm.
    signature: Option<[u8; SIGNATURE_BYTES]>,
    alg: Cow<'static, str>,
    typ: Option<Cow<'static, str>>,
    kid: Option<Kid>,
}

/// A key ID. That of a foreign key need not have the form of a Waxseal key ID.
#[derive(Debug)]
enum Kid {
    Ours(KeyId),
    Foreign(String),
}

/// The types of nearly every JWS. They are not copied, and neither are the names of the algorithms.
const USUAL_TYPES: [&str; 3] = [types::ACCESS_TOKEN, "JWT", types::REVOCATIONS];

fn kept(text: &str, usual: impl IntoIterator<Item = &'static str>) -> Cow<'static, str> {
    let usual = usual.into_iter().find(|usual| *usual == text);
    usual.map_or_else(|| Cow::Owned(text.to_owned()), Cow::Borrowed)
}

impl<'a> UntrustedJws<'a> {
    /// Parses the text: size, shape, header, in this order.
    ///
    /// # Errors
    /// [`Malformed`] says what is wrong with the text.
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        Self::parse_with(text, None)
    }

    /// Does the same. A header that is `known` as the one that a key writes when it signs a [`types::ACCESS_TOKEN`] is
    /// not parsed again.
    pub(super) fn parse_with(
        text: &'a str,
        known: Option<KnownHeader<'_>>,
    ) -> Result<Self, Malformed> {
        if text.len() > MAX_TOKEN_BYTES {
            return Err(Malformed::TooLong);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Malformed::Shape)?;
        let (header, payload) = signed.split_once('.').ok_or(Malformed::Shape)?;
        if header.is_empty() || signature.is_empty() {
            return Err(Malformed::Shape);
        }
        let payload = base64url::decode(payload.as_bytes()).map_err(|_| Malformed::Shape)?;
        let signature = parse_signature(signature)?;
        let signed = signed.as_bytes();
        let known = known.and_then(|known| known.key_of(header));
        let known = known.filter(|key| key.algorithm().format() == Format::Jwt);
        if let Some(key) = known {
            return Ok(Self {
                signed,
                payload,
                signature,
                alg: Cow::Borrowed(key.algorithm().name()),
                typ: Some(Cow::Borrowed(types::ACCESS_TOKEN)),
                kid: Some(Kid::Ours(key.kid().clone())),
            });
        }
        if header.len() > MAX_HEADER_BYTES {
            return Err(Malformed::Header("too long"));
        }
        let mut json = [0; MAX_HEADER_BYTES];
        let json = base64url::decode_in(&mut json, header.as_bytes());
        let object = Object::parse(json.map_err(|_| Malformed::Shape)?)
            .map_err(|_| Malformed::Header("not one strict JSON object"))?;
        if object
            .names()
            .any(|name| !matches!(name, "alg" | "typ" | "kid"))
        {
            return Err(Malformed::Header("a parameter other than alg, typ and kid"));
        }
        let text = |name| match object.get(name) {
            None => Ok(None),
            Some(value) => value
                .as_str()
                .map(Some)
                .ok_or(Malformed::Header("a parameter that is not text")),
        };
        Ok(Self {
            signed,
            payload,
            signature,
            alg: text("alg")?
                .map(|alg| kept(alg, Algorithm::ALL.map(Algorithm::name)))
                .ok_or(Malformed::Header("no alg"))?,
            typ: text("typ")?.map(|typ| kept(typ, USUAL_TYPES)),
            kid: text("kid")?.map(|kid| match kid.parse() {
                Ok(ours) => Kid::Ours(ours),
                Err(_) => Kid::Foreign(kid.to_owned()),
            }),
        })
    }

    /// The ID of the key that the JWS claims to be signed with.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_ref().map(|kid| match kid {
            Kid::Ours(kid) => kid.as_str(),
            Kid::Foreign(kid) => kid,
        })
    }

    /// The key ID, if it has the form of a Waxseal key ID.
    pub(super) const fn key_id(&self) -> Option<&KeyId> {
        match &self.kid {
            Some(Kid::Ours(kid)) => Some(kid),
            _ => None,
        }
    }

    /// Whether the header names this algorithm.
    pub(super) fn names(&self, algorithm: Algorithm) -> bool {
        self.alg == algorithm.name()
    }

    /// The type that the header claims.
    #[must_use]
    pub fn typ(&self) -> Option<&str> {
        self.typ.as_deref()
    }

    /// The subject that the payload claims. Use it only to find the keys that can have signed the JWS.
    #[cfg(feature = "server")]
    pub(crate) fn claimed_subject(&self) -> Option<String> {
        let claims = Object::parse(&self.payload).ok()?;
        claims.get("sub")?.as_str().map(str::to_owned)
    }

    /// Returns the payload, if `key` signed it with the key's one algorithm.
    ///
    /// # Errors
    /// [`Malformed::Algorithm`], [`Malformed::Signature`].
    pub fn verify(self, key: &VerifyingKey) -> Result<Vec<u8>, Malformed> {
        let name = key.algorithm().name();
        self.verify_named(key, &[name])
    }

    /// Does the same for a foreign signer, which may also use the algorithm's second name.
    #[cfg(feature = "server")]
    pub(crate) fn verify_foreign(self, key: &VerifyingKey) -> Result<Vec<u8>, Malformed> {
        let names: Vec<_> = key.algorithm().names().collect();
        self.verify_named(key, &names)
    }

    fn verify_named(self, key: &VerifyingKey, names: &[&str]) -> Result<Vec<u8>, Malformed> {
        if key.algorithm().format() != Format::Jwt || !names.contains(&&*self.alg) {
            return Err(Malformed::Algorithm);
        }
        // jsonwebtoken's `verify` would decode the signature again and box the key again.
        let signature = self.signature.ok_or(Malformed::Signature)?;
        match key.verifies(self.signed, &signature) {
            true => Ok(self.payload),
            false => Err(Malformed::Signature),
        }
    }
}

fn parse_signature(text: &str) -> Result<Option<[u8; SIGNATURE_BYTES]>, Malformed> {
    const CHARACTERS: usize = base64url::length(SIGNATURE_BYTES);
    if text.len() != CHARACTERS {
        let other = base64url::decode(text.as_bytes());
        return other.map(|_| None).map_err(|_| Malformed::Shape);
    }
    let mut place = [0; CHARACTERS];
    let signature = base64url::decode_in(&mut place, text.as_bytes());
    let signature = signature.map_err(|_| Malformed::Shape)?;
    Ok(signature.try_into().ok())
}

/// The encoded header of a JWS of the type `typ` that `key` signs.
pub(super) fn header(typ: &str, key: &VerifyingKey) -> Result<String, SigningFailed> {
    let jose = key.algorithm().facts().jose.as_ref();
    let mut header = Header::new(jose.ok_or(SigningFailed)?.header);
    header.typ = Some(typ.to_owned());
    header.kid = Some(key.kid().to_string());
    let json = serde_json::to_vec(&header).map_err(|_| SigningFailed)?;
    let mut text = String::with_capacity(USUAL_BYTES);
    base64url::encode_onto(&mut text, &json);
    Ok(text)
}

/// Signs `payload` as a JWS of the type `typ`.
///
/// # Errors
/// [`SigningFailed`] if signing fails, or if the key is not for JWSs.
pub fn sign(
    typ: &str,
    payload: &impl Serialize,
    key: &SigningKey,
) -> Result<String, SigningFailed> {
    let json = serde_json::to_vec(payload).map_err(|_| SigningFailed)?;
    let mut text = header(typ, key.public())?;
    text.push('.');
    base64url::encode_onto(&mut text, &json);
    // jsonwebtoken's `encode` would have its provider parse the key on every call.
    let signature = key.parsed().sign(text.as_bytes()).ok_or(SigningFailed)?;
    text.push('.');
    base64url::encode_onto(&mut text, &signature);
    Ok(text)
}
