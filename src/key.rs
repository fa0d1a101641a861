//! Keys. A key has one fixed algorithm, and a token's header cannot change it.

mod algorithm;
mod private;

use std::fmt;
use std::sync::Arc;

use curve25519_dalek::edwards::CompressedEdwardsY;
use jsonwebtoken::jwk::{
    AlgorithmParameters, CommonParameters, EllipticCurve, EllipticCurveKeyParameters,
    EllipticCurveKeyType, Jwk, OctetKeyPairParameters, OctetKeyPairType, PublicKeyUse,
    ThumbprintHash,
};

use crate::crypto::{self, Parsed, Unparsed};
use crate::encoding::base64url;
use crate::encoding::paserk;
use crate::encoding::strict_json::Object;
use crate::id::KeyId;
use crate::random::OsRandom;

pub use algorithm::{Algorithm, Format};
pub use private::{generate_pem, pem_from_jwk};

use algorithm::Curve;

/// The reason why a key is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The text is not one PEM block of the type `PRIVATE KEY`.
    #[error(
        "it is not one PEM block of the type PRIVATE KEY; write the key as unencrypted PKCS#8 (openssl pkcs8 -topk8 -nocrypt)"
    )]
    NotPem,
    /// The DER in the block is not PKCS#8.
    #[error(
        "it is not a PKCS#8 key that can be read; make a new one with: openssl genpkey -algorithm ed25519"
    )]
    Malformed,
    /// The algorithm is neither Ed25519 nor ECDSA on P-256.
    #[error("its algorithm is neither Ed25519 nor ECDSA on P-256; use one of the two")]
    UnknownAlgorithm,
    /// The public half in the file does not belong to the private half.
    #[error(
        "its public half does not belong to its private half; the file is damaged or was tampered with, restore it from a copy"
    )]
    PublicHalfDiffers,
    /// The Ed25519 point is not canonical (RFC 8032, section 5.1.3), not on the curve, or of low order.
    #[error(
        "its Ed25519 point is not canonical, not on the curve, or of low order; no honest tool makes such a key, do not use it"
    )]
    WeakPoint,
    /// The JWK (RFC 7517) has a part that is missing, duplicated, contradictory or unsupported.
    #[error("it is not a JWK that can be used here: {0}")]
    Jwk(&'static str),
    /// The text is not a PASERK `k4.public`.
    #[error("it is not a PASERK k4.public of 32 bytes")]
    Paserk,
    /// A P-256 key cannot sign a PASETO.
    #[error("a PASETO v4.public key is Ed25519, and this is another")]
    NotForPaseto,
}

/// A public key, which verifies signatures.
#[derive(Clone)]
pub struct VerifyingKey {
    kid: KeyId,
    algorithm: Algorithm,
    public: Arc<[u8]>,
    jwk: Option<Jwk>,
}

impl VerifyingKey {
    fn new(algorithm: Algorithm, public: &[u8]) -> Result<Self, KeyError> {
        crypto::install();
        if algorithm.curve() == Curve::Ed25519 {
            check_ed25519(public)?;
        }
        let (kid, jwk) = match algorithm.format() {
            Format::Paseto => {
                let public = public.try_into().map_err(|_| KeyError::Malformed)?;
                (paserk::public_id(public), None)
            }
            Format::Jwt => {
                let jwk = new_jwk(algorithm, public)?;
                let kid = jwk.common.key_id.clone();
                (kid.unwrap_or_default(), Some(jwk))
            }
        };
        let kid = kid.parse().map_err(|_| KeyError::Malformed)?;
        Ok(Self {
            kid,
            algorithm,
            public: public.into(),
            jwk,
        })
    }

    /// Takes the 32 bytes of an Ed25519 public key (RFC 8032, section 5.1.5), for JWTs.
    ///
    /// # Errors
    /// [`KeyError::WeakPoint`] for a point that is not canonical, not on the curve or of low order.
    pub fn from_ed25519(public: &[u8]) -> Result<Self, KeyError> {
        Self::new(Algorithm::EdDsa, public)
    }

    /// Parses a PASERK `k4.public`, for PASETO.
    ///
    /// # Errors
    /// [`KeyError::Paserk`], or [`KeyError::WeakPoint`].
    pub fn from_paserk(text: &str) -> Result<Self, KeyError> {
        Self::new(
            Algorithm::V4Public,
            &paserk::parse_public(text).ok_or(KeyError::Paserk)?,
        )
    }

    /// Parses a public JWK (RFC 7517). `kty` and `crv` must agree, and `alg`, if present, with them. If present, `use`
    /// must be `sig` and `key_ops` must contain `verify`. A private half is refused. A `kid` is kept; without one, the
    /// RFC 7638 thumbprint is the key ID.
    ///
    /// # Errors
    /// [`KeyError`] says what is wrong with the JWK.
    pub fn from_jwk(json: &[u8]) -> Result<Self, KeyError> {
        let jwk = Object::parse(json).map_err(|_| KeyError::Jwk("it is not strict JSON"))?;
        Self::from_jwk_object(&jwk)
    }

    pub(crate) fn from_jwk_object(jwk: &Object<'_>) -> Result<Self, KeyError> {
        let text = |name| jwk.get(name).and_then(|value| value.as_str());
        if ["d", "p", "q", "dp", "dq", "qi", "oth", "k"]
            .iter()
            .any(|name| jwk.get(name).is_some())
        {
            return Err(KeyError::Jwk("it carries a secret"));
        }
        let algorithm = jwk_algorithm(jwk, "verify", "its key_ops do not have verify")?;
        let coordinate = |name| {
            let bytes = text(name).and_then(|text| base64url::decode(text.as_bytes()).ok());
            bytes
                .filter(|bytes| bytes.len() == 32)
                .ok_or(KeyError::Jwk("a coordinate is missing or malformed"))
        };
        let public = match algorithm.curve() {
            Curve::P256 => [vec![4], coordinate("x")?, coordinate("y")?].concat(),
            Curve::Ed25519 => coordinate("x")?,
        };
        let mut key = Self::new(algorithm, &public)?;
        if jwk.get("kid").is_some() {
            let kid = text("kid").and_then(|kid| kid.parse().ok());
            key.kid = kid.ok_or(KeyError::Jwk("its kid is not a short text"))?;
            if let Some(jwk) = &mut key.jwk {
                jwk.common.key_id = Some(key.kid.to_string());
            }
        }
        Ok(key)
    }

    /// The key ID, which tokens carry as `kid`.
    #[must_use]
    pub const fn kid(&self) -> &KeyId {
        &self.kid
    }

    /// The only algorithm that this key verifies.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The public JWK (RFC 7517). None for a PASETO key.
    #[doc(hidden)]
    #[must_use]
    pub const fn jwk(&self) -> Option<&Jwk> {
        self.jwk.as_ref()
    }

    /// The PASERK `k4.public`. None for a JWT key.
    #[must_use]
    pub fn paserk(&self) -> Option<String> {
        let key = (*self.public).try_into().ok()?;
        (self.algorithm.format() == Format::Paseto).then(|| paserk::public(key))
    }

    /// The key ID that the same Ed25519 key would have in the other format. None for P-256.
    #[cfg(feature = "server")]
    pub(crate) fn other_name(&self) -> Option<KeyId> {
        let own = self.algorithm;
        let others = Format::ALL
            .into_iter()
            .filter(|format| *format != own.format());
        let mut twins = others.filter_map(|format| Algorithm::of(own.curve(), format));
        let twin = Self::new(twins.next()?, &self.public);
        twin.ok().map(|twin| twin.kid)
    }

    /// The bare public key: 32 bytes for Ed25519, an uncompressed point for P-256.
    #[doc(hidden)]
    #[must_use]
    pub fn public_bytes(&self) -> &[u8] {
        &self.public
    }

    pub(crate) fn shared_bytes(&self) -> Arc<[u8]> {
        Arc::clone(&self.public)
    }

    /// Whether `signature` over `message` is by this key, with its one algorithm.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self.algorithm.curve() {
            Curve::Ed25519 => crypto::verify_ed25519(&self.public, message, signature),
            Curve::P256 => crypto::verify_p256(&self.public, message, signature),
        }
    }
}

/// The algorithm of a JWK, which must be usable for `operation`.
fn jwk_algorithm(
    jwk: &Object<'_>,
    operation: &str,
    not_for_it: &'static str,
) -> Result<Algorithm, KeyError> {
    let text = |name| jwk.get(name).and_then(|value| value.as_str());
    if jwk.get("use").is_some() && text("use") != Some("sig") {
        return Err(KeyError::Jwk("its use is not sig"));
    }
    if let Some(ops) = jwk.get("key_ops") {
        let ops: Option<Vec<_>> = ops
            .as_array()
            .and_then(|ops| ops.iter().map(|op| op.as_str()).collect());
        let ops = ops.ok_or(KeyError::Jwk("its key_ops are not a list of texts"))?;
        if !ops.contains(&operation) {
            return Err(KeyError::Jwk(not_for_it));
        }
    }
    let alg = jwk.get("alg").map(|alg| alg.as_str().unwrap_or_default());
    let fits = |algorithm: &Algorithm| {
        let of_curve = algorithm.facts().jose.as_ref().is_some_and(|jose| {
            text("kty") == Some(jose.key_type) && text("crv") == Some(jose.curve)
        });
        of_curve && alg.is_none_or(|alg| algorithm.names().any(|name| name == alg))
    };
    let algorithm = Algorithm::ALL.into_iter().find(fits);
    algorithm.ok_or(KeyError::Jwk(
        "kty, crv and alg name no algorithm that is supported",
    ))
}

fn new_jwk(algorithm: Algorithm, public: &[u8]) -> Result<Jwk, KeyError> {
    let jose = algorithm.facts().jose.as_ref();
    let parameters = match algorithm.curve() {
        Curve::P256 => {
            let [4, point @ ..] = public else {
                return Err(KeyError::Malformed);
            };
            let (x, y) = point.split_at_checked(32).ok_or(KeyError::Malformed)?;
            if y.len() != 32 {
                return Err(KeyError::Malformed);
            }
            AlgorithmParameters::EllipticCurve(EllipticCurveKeyParameters {
                key_type: EllipticCurveKeyType::EC,
                curve: EllipticCurve::P256,
                x: base64url::encode(x),
                y: base64url::encode(y),
            })
        }
        Curve::Ed25519 => AlgorithmParameters::OctetKeyPair(OctetKeyPairParameters {
            key_type: OctetKeyPairType::OctetKeyPair,
            curve: EllipticCurve::Ed25519,
            x: base64url::encode(public),
        }),
    };
    let mut jwk = Jwk {
        common: CommonParameters::default(),
        algorithm: parameters,
    };
    let thumbprint = jwk
        .thumbprint(ThumbprintHash::SHA256)
        .map_err(|_| KeyError::Malformed)?;
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    jwk.common.key_algorithm = jose.map(|jose| jose.key);
    jwk.common.key_id = Some(thumbprint);
    Ok(jwk)
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .finish()
    }
}

/// A private key, which signs. It is never printed.
#[doc(hidden)]
pub struct SigningKey {
    public: VerifyingKey,
    parsed: Parsed,
}

impl SigningKey {
    /// Parses one PEM block `PRIVATE KEY`, unencrypted PKCS#8, for tokens of this format.
    ///
    /// # Errors
    /// [`KeyError`] says what is wrong with the key and what to do.
    pub fn from_pem(pem: &[u8], format: Format) -> Result<Self, KeyError> {
        let blocks = pem::parse_many(pem).map_err(|_| KeyError::NotPem)?;
        let [block] = blocks.as_slice() else {
            return Err(KeyError::NotPem);
        };
        if block.tag() != "PRIVATE KEY" {
            return Err(KeyError::NotPem);
        }
        Self::from_pkcs8(block.contents(), format)
    }

    pub(crate) fn from_pkcs8(der: &[u8], format: Format) -> Result<Self, KeyError> {
        let parsed = Parsed::from_pkcs8(der, &OsRandom::new()).map_err(|why| match why {
            Unparsed::UnknownAlgorithm => KeyError::UnknownAlgorithm,
            Unparsed::PublicHalfDiffers => KeyError::PublicHalfDiffers,
            Unparsed::Malformed => KeyError::Malformed,
        })?;
        let curve = match &parsed {
            Parsed::Ed25519(_) => Curve::Ed25519,
            Parsed::P256(_) => Curve::P256,
        };
        let algorithm = Algorithm::of(curve, format).ok_or(KeyError::NotForPaseto)?;
        let public = VerifyingKey::new(algorithm, parsed.public())?;
        Ok(Self { public, parsed })
    }

    /// The public key that verifies this key's signatures.
    #[must_use]
    pub const fn public(&self) -> &VerifyingKey {
        &self.public
    }

    pub(crate) const fn parsed(&self) -> &Parsed {
        &self.parsed
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.public.fmt(f)
    }
}

/// Checks an Ed25519 point. ring checks a point only when it verifies, and accepts encodings that are not canonical,
/// and points of low order, for which one signature fits many messages.
fn check_ed25519(public: &[u8]) -> Result<(), KeyError> {
    let encoded = CompressedEdwardsY::from_slice(public).map_err(|_| KeyError::Malformed)?;
    let point = encoded.decompress().ok_or(KeyError::WeakPoint)?;
    if point.compress() != encoded || point.is_small_order() {
        return Err(KeyError::WeakPoint);
    }
    Ok(())
}
