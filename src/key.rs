//! Keys. A key knows its one algorithm, and a token's header has no say in it.

use std::fmt;
use std::sync::Arc;

use curve25519_dalek::edwards::CompressedEdwardsY;
use jsonwebtoken::jwk::{
    AlgorithmParameters, CommonParameters, EllipticCurve, EllipticCurveKeyParameters,
    EllipticCurveKeyType, Jwk, KeyAlgorithm, OctetKeyPairParameters, OctetKeyPairType,
    PublicKeyUse, ThumbprintHash,
};
use jsonwebtoken::{DecodingKey, EncodingKey};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use zeroize::Zeroizing;

use crate::crypto::{self, Parsed, Unparsed};
use crate::id::KeyId;
use crate::random::{OsRandom, Random};
use crate::token::base64url;
use crate::token::strict_json::Object;

/// What a key signs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Ed25519, named `EdDSA` in a header (RFC 8037, section 3.1).
    EdDsa,
    /// ECDSA on P-256 with SHA-256, named `ES256` (RFC 7518, section 3.4).
    Es256,
}

impl Algorithm {
    /// The name in a JWS header.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
        }
    }

    pub(crate) const fn jose(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
        }
    }
}

/// Why a key was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not one PEM block of the type `PRIVATE KEY`.
    #[error(
        "it is not one PEM block of the type PRIVATE KEY; write the key as unencrypted PKCS#8 (openssl pkcs8 -topk8 -nocrypt)"
    )]
    NotPem,
    /// The DER within is not PKCS#8.
    #[error(
        "it is not a PKCS#8 key that can be read; make a new one with: openssl genpkey -algorithm ed25519"
    )]
    Malformed,
    /// Neither Ed25519 nor P-256.
    #[error("its algorithm is neither Ed25519 nor ECDSA on P-256; use one of the two")]
    UnknownAlgorithm,
    /// The public half in the file belongs to another private half.
    #[error(
        "its public half does not belong to its private half; the file is damaged or was tampered with, restore it from a copy"
    )]
    PublicHalfDiffers,
    /// An Ed25519 point that is not canonical (RFC 8032, section 5.1.3) or has a low order.
    #[error(
        "its Ed25519 point is not canonical, not on the curve, or of low order; no honest tool makes such a key, do not use it"
    )]
    WeakPoint,
    /// A JWK (RFC 7517) with something missing, doubled, contradictory or unsupported.
    #[error("it is not a JWK that can be used here: {0}")]
    Jwk(&'static str),
}

/// The public half: it verifies.
#[derive(Clone)]
pub struct VerifyingKey {
    kid: KeyId,
    algorithm: Algorithm,
    jwk: Jwk,
    decoding: DecodingKey,
}

impl VerifyingKey {
    fn new(algorithm: Algorithm, public: &[u8]) -> Result<Self, KeyError> {
        crypto::install();
        let (parameters, decoding) = match algorithm {
            Algorithm::EdDsa => {
                check_ed25519(public)?;
                let parameters = AlgorithmParameters::OctetKeyPair(OctetKeyPairParameters {
                    key_type: OctetKeyPairType::OctetKeyPair,
                    curve: EllipticCurve::Ed25519,
                    x: base64url::encode(public),
                });
                (parameters, DecodingKey::from_ed_der(public))
            }
            Algorithm::Es256 => {
                let [4, point @ ..] = public else {
                    return Err(KeyError::Malformed);
                };
                let (x, y) = point.split_at_checked(32).ok_or(KeyError::Malformed)?;
                if y.len() != 32 {
                    return Err(KeyError::Malformed);
                }
                let parameters = AlgorithmParameters::EllipticCurve(EllipticCurveKeyParameters {
                    key_type: EllipticCurveKeyType::EC,
                    curve: EllipticCurve::P256,
                    x: base64url::encode(x),
                    y: base64url::encode(y),
                });
                (parameters, DecodingKey::from_ec_der(public))
            }
        };
        let mut jwk = Jwk {
            common: CommonParameters::default(),
            algorithm: parameters,
        };
        let thumbprint = jwk
            .thumbprint(ThumbprintHash::SHA256)
            .map_err(|_| KeyError::Malformed)?;
        let kid: KeyId = thumbprint.parse().map_err(|_| KeyError::Malformed)?;
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        jwk.common.key_algorithm = Some(match algorithm {
            Algorithm::EdDsa => KeyAlgorithm::EdDSA,
            Algorithm::Es256 => KeyAlgorithm::ES256,
        });
        jwk.common.key_id = Some(thumbprint);
        Ok(Self {
            kid,
            algorithm,
            jwk,
            decoding,
        })
    }

    /// From an Ed25519 public key's 32 bytes (RFC 8032, section 5.1.5).
    ///
    /// # Errors
    /// [`KeyError::WeakPoint`] for a point that is not canonical, not on the curve or of low order.
    pub fn from_ed25519(public: &[u8]) -> Result<Self, KeyError> {
        Self::new(Algorithm::EdDsa, public)
    }

    /// From a public JWK (RFC 7517): `kty` and `crv` must agree, and where they are present `alg` must
    /// agree with them, `use` must be `sig` and `key_ops` must have `verify`, and a private half must not be there.
    /// A `kid` that is there is kept; without one the RFC 7638 thumbprint names the key.
    ///
    /// # Errors
    /// [`KeyError`] says what is wrong with it.
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
        if jwk.get("use").is_some() && text("use") != Some("sig") {
            return Err(KeyError::Jwk("its use is not sig"));
        }
        if let Some(ops) = jwk.get("key_ops") {
            let verify = ops
                .as_array()
                .is_some_and(|ops| ops.iter().any(|op| op.as_str() == Some("verify")));
            if !verify {
                return Err(KeyError::Jwk("its key_ops do not have verify"));
            }
        }
        let alg = jwk.get("alg").map(|alg| alg.as_str().unwrap_or_default());
        let coordinate = |name| {
            let bytes = text(name).and_then(|text| base64url::decode(text.as_bytes()).ok());
            bytes
                .filter(|bytes| bytes.len() == 32)
                .ok_or(KeyError::Jwk("a coordinate is missing or malformed"))
        };
        let (algorithm, public) = match (text("kty"), text("crv"), alg) {
            (Some("OKP"), Some("Ed25519"), None | Some("EdDSA" | "Ed25519")) => {
                (Algorithm::EdDsa, coordinate("x")?)
            }
            (Some("EC"), Some("P-256"), None | Some("ES256")) => (
                Algorithm::Es256,
                [vec![4], coordinate("x")?, coordinate("y")?].concat(),
            ),
            _ => {
                return Err(KeyError::Jwk(
                    "kty, crv and alg name no algorithm that is supported",
                ));
            }
        };
        let mut key = Self::new(algorithm, &public)?;
        if jwk.get("kid").is_some() {
            let kid = text("kid").and_then(|kid| kid.parse().ok());
            key.kid = kid.ok_or(KeyError::Jwk("its kid is not a short text"))?;
            key.jwk.common.key_id = Some(key.kid.to_string());
        }
        Ok(key)
    }

    /// The key's name.
    #[must_use]
    pub const fn kid(&self) -> &KeyId {
        &self.kid
    }

    /// The key's one algorithm.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The public JWK (RFC 7517).
    #[must_use]
    pub const fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    pub(crate) const fn decoding(&self) -> &DecodingKey {
        &self.decoding
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .finish()
    }
}

/// The private half: it signs. Never printed.
pub struct SigningKey {
    public: VerifyingKey,
    encoding: EncodingKey,
    // Held so that the provider finds it.
    _parsed: Arc<Parsed>,
}

impl SigningKey {
    /// From one PEM block `PRIVATE KEY`, unencrypted PKCS#8.
    ///
    /// # Errors
    /// [`KeyError`] says what is wrong with it and what to do.
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let blocks = pem::parse_many(pem).map_err(|_| KeyError::NotPem)?;
        let [block] = blocks.as_slice() else {
            return Err(KeyError::NotPem);
        };
        if block.tag() != "PRIVATE KEY" {
            return Err(KeyError::NotPem);
        }
        Self::from_pkcs8(block.contents())
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        let parsed = Parsed::from_pkcs8(der, &OsRandom::new()).map_err(|why| match why {
            Unparsed::UnknownAlgorithm => KeyError::UnknownAlgorithm,
            Unparsed::PublicHalfDiffers => KeyError::PublicHalfDiffers,
            Unparsed::Malformed => KeyError::Malformed,
        })?;
        let (algorithm, encoding) = match parsed {
            Parsed::Ed25519(_) => (Algorithm::EdDsa, EncodingKey::from_ed_der(der)),
            Parsed::P256(..) => (Algorithm::Es256, EncodingKey::from_ec_der(der)),
        };
        let parsed = Arc::new(parsed);
        let public = VerifyingKey::new(algorithm, parsed.public())?;
        crypto::register(der, &parsed);
        Ok(Self {
            public,
            encoding,
            _parsed: parsed,
        })
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &VerifyingKey {
        &self.public
    }

    pub(crate) const fn encoding(&self) -> &EncodingKey {
        &self.encoding
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.public.fmt(f)
    }
}

/// A new private key as PKCS#8 PEM that OpenSSL reads.
#[must_use]
pub fn generate_pem(algorithm: Algorithm, random: &OsRandom) -> Zeroizing<String> {
    let der = match algorithm {
        Algorithm::EdDsa => {
            // RFC 8410, section 7: version 1, without the public half. ring's own writer makes a
            // version 2 that OpenSSL does not read.
            const PREFIX: [u8; 16] = [
                0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20,
            ];
            let mut der = Zeroizing::new([0; 48]);
            der[..16].copy_from_slice(&PREFIX);
            random.fill(&mut der[16..]);
            Zeroizing::new(der.to_vec())
        }
        Algorithm::Es256 => {
            let document =
                EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, random.ring());
            Zeroizing::new(
                document
                    .expect("the operating system gives random bytes")
                    .as_ref()
                    .to_vec(),
            )
        }
    };
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    Zeroizing::new(pem::encode_config(
        &pem::Pem::new("PRIVATE KEY", der.to_vec()),
        config,
    ))
}

/// ring checks a point only while verifying, and accepts encodings that are not canonical and
/// points of low order, for which one signature fits many messages.
fn check_ed25519(public: &[u8]) -> Result<(), KeyError> {
    let encoded = CompressedEdwardsY::from_slice(public).map_err(|_| KeyError::Malformed)?;
    let point = encoded.decompress().ok_or(KeyError::WeakPoint)?;
    if point.compress() != encoded || point.is_small_order() {
        return Err(KeyError::WeakPoint);
    }
    Ok(())
}
