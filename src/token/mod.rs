//! Tokens: bytes in, bytes out. What the libraries wrongly accept is refused here, before them.

pub mod base64url;
pub mod jws;
pub mod jwt;
pub mod strict_json;

/// The longest token that is looked at, in bytes. A longer one is refused before anything is decoded.
pub const MAX_TOKEN_BYTES: usize = 8192;

/// Why a text is no token. The caller is told none of this; the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// Longer than [`MAX_TOKEN_BYTES`].
    #[error("longer than {MAX_TOKEN_BYTES} bytes")]
    TooLong,
    /// Not three base64url parts and two dots.
    #[error("not three canonical base64url parts")]
    Shape,
    /// The header is not one JSON object of `alg`, `typ` and `kid`.
    #[error("header: {0}")]
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
