//! The formats of tokens and the signature algorithms, each with its facts in one row of a table.

use jsonwebtoken::jwk::KeyAlgorithm;

/// The signature algorithm of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Algorithm {
    /// Ed25519, named `EdDSA` in a header (RFC 8037, section 3.1).
    EdDsa,
    /// ECDSA on P-256 with SHA-256, named `ES256` (RFC 7518, section 3.4).
    Es256,
    /// Ed25519 in PASETO `v4.public`.
    V4Public,
}

/// The format of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// A JWT (RFC 7519), `at+jwt`.
    Jwt,
    /// A PASETO, `v4.public`.
    Paseto,
}

/// A curve, with its one signature scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Curve {
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// ECDSA on P-256 with SHA-256 (FIPS 186-5).
    P256,
}

/// What JOSE and jsonwebtoken call an algorithm.
#[derive(Debug)]
pub(crate) struct Jose {
    /// The `alg` of a header (RFC 7515, section 4.1.1).
    pub(crate) header: jsonwebtoken::Algorithm,
    /// The `alg` of a JWK (RFC 7517, section 4.4).
    pub(crate) key: KeyAlgorithm,
    /// The `kty` of a JWK (RFC 7517, section 4.1).
    pub(crate) key_type: &'static str,
    /// The `crv` of a JWK (RFC 7518, section 6.2.1.1; RFC 8037, section 2).
    pub(crate) curve: &'static str,
}

/// The row of an algorithm.
#[derive(Debug)]
pub(crate) struct AlgorithmFacts {
    /// The name in a JWS header, or PASETO's name.
    pub(crate) name: &'static str,
    /// A second name, under which a foreign signature or a foreign key is accepted. Waxseal never writes it.
    pub(crate) foreign_name: Option<&'static str>,
    /// The one format that a key of this algorithm serves. It decides how the key is published: as JWK or as PASERK.
    pub(crate) format: Format,
    pub(crate) curve: Curve,
    /// None for an algorithm that JOSE does not have.
    pub(crate) jose: Option<Jose>,
    /// The length of a signature, in bytes.
    pub(crate) signature_bytes: usize,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 2] = [Self::Jwt, Self::Paseto];

    /// The word for the format in settings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jwt => "jwt",
            Self::Paseto => "paseto",
        }
    }

    /// The length of every signature in this format, in bytes, for constants. A token is parsed before its key is
    /// known, so an algorithm whose signatures have another length does not compile until the parser has room for it.
    pub(crate) const fn signature_bytes(self) -> usize {
        let (mut bytes, mut next) = (0, 0);
        while next < Algorithm::ALL.len() {
            let facts = Algorithm::ALL[next].facts();
            if facts.format as u8 == self as u8 {
                let same = bytes == 0 || bytes == facts.signature_bytes;
                assert!(same, "two lengths of signatures in one format");
                bytes = facts.signature_bytes;
            }
            next += 1;
        }
        bytes
    }
}

impl Algorithm {
    /// Every algorithm.
    #[doc(hidden)]
    pub const ALL: [Self; 3] = [Self::EdDsa, Self::Es256, Self::V4Public];

    /// The table.
    pub(crate) const fn facts(self) -> &'static AlgorithmFacts {
        match self {
            Self::EdDsa => &AlgorithmFacts {
                name: "EdDSA",
                // RFC 9864, section 2.2.
                foreign_name: Some("Ed25519"),
                format: Format::Jwt,
                curve: Curve::Ed25519,
                jose: Some(Jose {
                    header: jsonwebtoken::Algorithm::EdDSA,
                    key: KeyAlgorithm::EdDSA,
                    key_type: "OKP",
                    curve: "Ed25519",
                }),
                // RFC 8032, section 5.1.6.
                signature_bytes: 64,
            },
            Self::Es256 => &AlgorithmFacts {
                name: "ES256",
                foreign_name: None,
                format: Format::Jwt,
                curve: Curve::P256,
                jose: Some(Jose {
                    header: jsonwebtoken::Algorithm::ES256,
                    key: KeyAlgorithm::ES256,
                    key_type: "EC",
                    curve: "P-256",
                }),
                // RFC 7518, section 3.4.
                signature_bytes: 64,
            },
            Self::V4Public => &AlgorithmFacts {
                name: "v4.public",
                foreign_name: None,
                format: Format::Paseto,
                curve: Curve::Ed25519,
                jose: None,
                // PASETO Version 4, section "Sign".
                signature_bytes: 64,
            },
        }
    }

    /// The name in a JWS header, or PASETO's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.facts().name
    }

    /// The names under which a foreign signature or a foreign key is accepted.
    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> {
        let facts = self.facts();
        [Some(facts.name), facts.foreign_name].into_iter().flatten()
    }

    /// The one format that a key of this algorithm serves.
    #[must_use]
    pub const fn format(self) -> Format {
        self.facts().format
    }

    /// The curve of the keys.
    pub(crate) const fn curve(self) -> Curve {
        self.facts().curve
    }

    /// The algorithm of keys on `curve` for tokens of `format`.
    pub(crate) fn of(curve: Curve, format: Format) -> Option<Self> {
        let fits = |algorithm: &Self| algorithm.curve() == curve && algorithm.format() == format;
        Self::ALL.into_iter().find(fits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_and_a_format_name_one_algorithm() {
        for algorithm in Algorithm::ALL {
            let AlgorithmFacts {
                format,
                curve,
                jose,
                ..
            } = algorithm.facts();
            assert_eq!(Algorithm::of(*curve, *format), Some(algorithm));
            // The format decides whether the key is published as JWK.
            assert_eq!(jose.is_some(), *format == Format::Jwt, "{algorithm:?}");
        }
        assert_eq!(Algorithm::of(Curve::P256, Format::Paseto), None);
    }
}
