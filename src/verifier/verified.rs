//! What verification gives: holding it is the proof.

use std::sync::Arc;

#[cfg(feature = "server")]
use super::said::{HeaderValues, Said};
use crate::claims::{Claims, ClientClaims};
use crate::id::{ClientId, KeyId, SessionId, UserId};
use crate::key::{Algorithm, VerifyingKey};
use crate::scope::Scopes;
use crate::time::Timestamp;

/// Claims that were verified. Only [`Verifier::verify`](super::Verifier::verify) makes them: holding them is the proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedClaims(pub(super) Arc<SignedClaims<Claims>>);

/// What the key of that name, which was this one then, has signed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SignedClaims<C> {
    pub(super) claims: C,
    pub(super) kid: KeyId,
    algorithm: Algorithm,
    public: Arc<[u8]>,
    #[cfg(feature = "server")]
    said: Said,
}

impl<C> SignedClaims<C> {
    pub(super) fn by(key: &VerifyingKey, claims: C) -> Arc<Self> {
        Arc::new(Self {
            claims,
            kid: key.kid().clone(),
            algorithm: key.algorithm(),
            public: key.shared_bytes(),
            #[cfg(feature = "server")]
            said: Said::default(),
        })
    }

    fn is_by(&self, key: &VerifyingKey) -> bool {
        self.algorithm == key.algorithm() && *self.public == *key.public_bytes()
    }
}

impl VerifiedClaims {
    /// All the claims.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.0.claims
    }

    /// The key that signed them.
    #[must_use]
    pub fn kid(&self) -> &KeyId {
        &self.0.kid
    }

    /// Whose session it is.
    #[must_use]
    pub fn subject(&self) -> UserId {
        self.0.claims.subject
    }

    /// The session.
    #[must_use]
    pub fn session_id(&self) -> SessionId {
        self.0.claims.session_id
    }

    /// The absolute end of this token.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.0.claims.expires_at
    }

    /// What `say` says of the claims, the first time.
    #[cfg(feature = "server")]
    pub(crate) fn said(&self, say: impl FnOnce(&Claims) -> HeaderValues) -> &HeaderValues {
        self.0.said.or_say(|| say(&self.0.claims))
    }
}

/// A client's claims that were verified. Only [`Verifier::verify_any`](super::Verifier::verify_any) makes them: holding them is the proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedClient(pub(super) Arc<SignedClaims<ClientClaims>>);

impl VerifiedClient {
    /// All the claims.
    #[must_use]
    pub fn claims(&self) -> &ClientClaims {
        &self.0.claims
    }

    /// Whose token it is.
    #[must_use]
    pub fn client(&self) -> ClientId {
        self.0.claims.client
    }

    /// What it permits.
    #[must_use]
    pub fn scopes(&self) -> &Scopes {
        &self.0.claims.scopes
    }

    /// What `say` says of the claims, the first time.
    #[cfg(feature = "server")]
    pub(crate) fn said(&self, say: impl FnOnce(&ClientClaims) -> HeaderValues) -> &HeaderValues {
        self.0.said.or_say(|| say(&self.0.claims))
    }
}

/// What a good token of either kind is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verified {
    /// A session's.
    Session(VerifiedClaims),
    /// A client's own.
    Client(VerifiedClient),
}

impl Verified {
    /// The key that signed it.
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

    /// What it takes in memory, about.
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
        let texts = texts + Said::bytes(texts);
        itself + texts
    }
}

/// What is known of an authentic token whose session ID was renewed: enough to end its session, and not
/// enough to be let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Superseded {
    pub(super) session_id: SessionId,
    pub(super) expires_at: Timestamp,
    pub(super) session_expiry: Timestamp,
}

impl Superseded {
    /// The session, in a generation that is dead.
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
