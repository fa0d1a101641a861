//! The types of signed texts, as in the header `typ`.

/// An access token (RFC 9068, section 2.1). The comparison is exact.
pub const ACCESS_TOKEN: &str = "at+jwt";

/// A page of the revocation feed: the `typ` of a JWS, the implicit assertion of a PASETO.
pub const REVOCATIONS: &str = "waxseal-revocations+jwt";
