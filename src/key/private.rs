//! Private keys as text: PKCS#8 PEM and JWK.

use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use zeroize::Zeroizing;

use super::algorithm::Curve;
use super::{Algorithm, Format, KeyError, SigningKey, jwk_algorithm};
use crate::encoding::base64url;
use crate::encoding::strict_json::Object;
use crate::random::{OsRandom, Random};

/// Generates a private key as PKCS#8 PEM that OpenSSL can read.
#[doc(hidden)]
#[must_use]
pub fn generate_pem(algorithm: Algorithm, random: &OsRandom) -> Zeroizing<String> {
    let der = match algorithm.curve() {
        Curve::Ed25519 => {
            let mut seed = Zeroizing::new([0; 32]);
            random.fill(&mut *seed);
            Zeroizing::new([&ED25519_PKCS8[..], &*seed].concat())
        }
        Curve::P256 => {
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
    encode_pem(&der)
}

/// Converts a private JWK to PKCS#8 PEM (RFC 7517; RFC 8037 for Ed25519, RFC 7518 section 6.2 for P-256).
///
/// # Errors
/// [`KeyError`], also if the public half does not belong to the private half.
pub fn pem_from_jwk(json: &[u8]) -> Result<Zeroizing<String>, KeyError> {
    let jwk = Object::parse(json).map_err(|_| KeyError::Jwk("it is not strict JSON"))?;
    let text = |name| jwk.get(name).and_then(|value| value.as_str());
    let bytes = |name| {
        let bytes = text(name)
            .and_then(|text| base64url::decode(text.as_bytes()).ok())
            .map(Zeroizing::new);
        bytes.filter(|bytes| bytes.len() == 32).ok_or(KeyError::Jwk(
            "a private half or a coordinate is missing or malformed",
        ))
    };
    let algorithm = jwk_algorithm(&jwk, "sign", "its key_ops do not have sign")?;
    let (der, public) = match algorithm.curve() {
        Curve::P256 => {
            let public = [&[4][..], &bytes("x")?, &bytes("y")?].concat();
            let der = [
                &P256_PKCS8[..],
                &bytes("d")?,
                &[0xa1, 0x44, 3, 0x42, 0][..],
                &public,
            ]
            .concat();
            (der, public)
        }
        Curve::Ed25519 => {
            let der = [&ED25519_PKCS8[..], &bytes("d")?].concat();
            (der, bytes("x")?.to_vec())
        }
    };
    let der = Zeroizing::new(der);
    let key = SigningKey::from_pkcs8(&der, Format::Jwt)?;
    if key.public().public_bytes() != public {
        return Err(KeyError::PublicHalfDiffers);
    }
    Ok(encode_pem(&der))
}

fn encode_pem(der: &[u8]) -> Zeroizing<String> {
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    Zeroizing::new(pem::encode_config(
        &pem::Pem::new("PRIVATE KEY", der.to_vec()),
        config,
    ))
}

/// RFC 8410, section 7: version 1, without the public half. ring writes version 2, which OpenSSL does not read.
const ED25519_PKCS8: [u8; 16] = [
    0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20,
];

/// RFC 5915 within RFC 5208, up to the private half. The public half follows it.
const P256_PKCS8: [u8; 36] = [
    0x30, 0x81, 0x87, 2, 1, 0, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 3, 1, 7, 4, 0x6d, 0x30, 0x6b, 2, 1, 1, 4, 0x20,
];
