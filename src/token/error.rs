//! The reasons why a text is not a token, and why a token cannot be signed.

/// The longest token that is parsed, in bytes. A longer one is refused before anything is decoded.
pub const MAX_TOKEN_BYTES: usize = 8192;

/// The reason why a text is not a token. It goes to the log, not to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// Longer than [`MAX_TOKEN_BYTES`].
    #[error("longer than {MAX_TOKEN_BYTES} bytes")]
    TooLong,
    /// The text does not have the parts of a token, in canonical base64url.
    #[error("not the canonical base64url parts of a token")]
    Shape,
    /// The format is not accepted here.
    #[error("a format that is not accepted here")]
    Format,
    /// The header is not one JSON object of `alg`, `typ` and `kid`, or the footer not one of `kid`.
    #[error("header or footer: {0}")]
    Header(&'static str),
    /// The algorithm in the header is not the key's.
    #[error("the header's algorithm is not the key's")]
    Algorithm,
    /// The signature does not match.
    #[error("the signature does not fit")]
    Signature,
    /// A claim is missing or malformed.
    #[error("claims: {0}")]
    Claims(&'static str),
}

/// The failure to sign a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token could not be signed")]
pub struct SigningFailed;
