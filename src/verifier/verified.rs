//! The results of verification: holding one is the proof.

use std::sync::Arc;

#[cfg(feature = "server")]
use super::identity_headers::{HeaderValues, IdentityHeaders};
use crate::claims::{Claims, ClientClaims};
use crate::id::{ClientId, KeyId, SessionId, UserId};
use crate::key::{Algorithm, VerifyingKey};
use crate::scope::Scopes;
use crate::time::Timestamp;

/// Verified claims of a session. Only a [`Verifier`](super::Verifier) makes them: holding them is the proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedClaims(pub(super) Arc<SignedClaims<Claims>>);

/// Claims, with the `kid` and the public key that verified them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SignedClaims<C> {
    pub(super) claims: C,
    pub(super) kid: KeyId,
    algorithm: Algorithm,
    public: Arc<[u8]>,
    #[cfg(feature = "server")]
    identity_headers: IdentityHeaders,
}

impl<C> SignedClaims<C> {
    pub(super) fn by(key: &VerifyingKey, claims: C) -> Arc<Self> {
        Arc::new(Self {
            claims,
            kid: key.kid().clone(),
            algorithm: key.algorithm(),
            public: key.shared_bytes(),
            #[cfg(feature = "server")]
            identity_headers: IdentityHeaders::default(),
        })
    }

    fn is_by(&self, key: &VerifyingKey) -> bool {
        self.algorithm == key.algorithm() && *self.public == *key.public_bytes()
    }
}

impl VerifiedClaims {
    /// All claims.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.0.claims
    }

    /// The ID of the key that signed the claims.
    #[must_use]
    pub fn kid(&self) -> &KeyId {
        &self.0.kid
    }

    /// The user whose session it is.
    #[must_use]
    pub fn subject(&self) -> UserId {
        self.0.claims.subject
    }

    /// The session ID.
    #[must_use]
    pub fn session_id(&self) -> SessionId {
        self.0.claims.session_id
    }

    /// The absolute end of this token.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.0.claims.expires_at
    }

    /// The header values that `build` makes from the claims, at the first call only.
    #[cfg(feature = "server")]
    pub(crate) fn identity_headers(
        &self,
        build: impl FnOnce(&Claims) -> HeaderValues,
    ) -> &HeaderValues {
        let Self(signed) = self;
        signed
            .identity_headers
            .get_or_init(|| build(&signed.claims))
    }
}

/// Verified claims of a client. Only a [`Verifier`](super::Verifier) makes them: holding them is the proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedClient(pub(super) Arc<SignedClaims<ClientClaims>>);

impl VerifiedClient {
    /// All claims.
    #[must_use]
    pub fn claims(&self) -> &ClientClaims {
        &self.0.claims
    }

    /// The client whose token it is.
    #[must_use]
    pub fn client(&self) -> ClientId {
        self.0.claims.client
    }

    /// The scopes that the token grants.
    #[must_use]
    pub fn scopes(&self) -> &Scopes {
        &self.0.claims.scopes
    }

    /// The header values that `build` makes from the claims, at the first call only.
    #[cfg(feature = "server")]
    pub(crate) fn identity_headers(
        &self,
        build: impl FnOnce(&ClientClaims) -> HeaderValues,
    ) -> &HeaderValues {
        let Self(signed) = self;
        signed
            .identity_headers
            .get_or_init(|| build(&signed.claims))
    }
}

/// The result of verifying a token of either kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verified {
    /// A session's token.
    Session(VerifiedClaims),
    /// A client's own token.
    Client(VerifiedClient),
}

impl Verified {
    /// The ID of the key that signed the token.
    #[must_use]
    pub fn kid(&self) -> &KeyId {
        match self {
            Self::Session(session) => &session.0.kid,
            Self::Client(client) => &client.0.kid,
        }
    }

    /// The absolute end of the token.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        match self {
            Self::Session(session) => session.0.claims.expires_at,
            Self::Client(client) => client.0.claims.expires_at,
        }
    }

    pub(super) fn is_by(&self, key: &VerifyingKey) -> bool {
        match self {
            Self::Session(session) => session.0.is_by(key),
            Self::Client(client) => client.0.is_by(key),
        }
    }

    /// The approximate size in memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let (itself, texts) = match self {
            Self::Session(VerifiedClaims(signed)) => {
                (size_of_val(&**signed), signed.claims.heap_bytes())
            }
            Self::Client(VerifiedClient(signed)) => {
                (size_of_val(&**signed), signed.claims.heap_bytes())
            }
        };
        #[cfg(feature = "server")]
        let texts = texts + IdentityHeaders::bytes(texts);
        itself + texts
    }
}

/// What is known of an authentic token whose session ID was renewed: enough to end its session, but not to grant
/// access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Superseded {
    pub(super) session_id: SessionId,
    pub(super) expires_at: Timestamp,
    pub(super) session_expiry: Timestamp,
}

impl Superseded {
    /// The session ID, whose generation is dead.
    #[must_use]
    pub const fn session_id(&self) -> SessionId {
        self.session_id
    }

    /// The absolute end of the token.
    #[must_use]
    pub const fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// The absolute end of the session.
    #[must_use]
    pub const fn session_expiry(&self) -> Timestamp {
        self.session_expiry
    }
}
