//! Why a text is not a token, and why a token is not signed.

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
