//! The claims of session tokens and client tokens.

use std::time::Duration;

use crate::id::{ClientId, SessionId, TokenId, UserId};
use crate::scope::Scopes;
use crate::time::Timestamp;

/// The claims of a session token (RFC 9068, section 2.2, and Waxseal's own), parsed into types. Times are whole
/// seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claims {
    /// `iss`: the token's issuer.
    pub issuer: String,
    /// `sub`: the user whose session it is.
    pub subject: UserId,
    /// `aud`: the token's only audience.
    pub audience: String,
    /// `client_id`: the client that the token was issued to (RFC 8693, section 4.3).
    pub client_id: String,
    /// `iat`: when the token was signed.
    pub issued_at: Timestamp,
    /// `nbf`: when the token becomes valid (RFC 7519, section 4.1.5), if present. The issuer never sets it.
    pub not_before: Option<Timestamp>,
    /// `exp`: when the token expires.
    pub expires_at: Timestamp,
    /// `jti`: the token's ID.
    pub token_id: TokenId,
    /// `sid`: the session ID.
    pub session_id: SessionId,
    /// `auth_time`: when the user logged in.
    pub auth_time: Timestamp,
    /// `renew_at`: when the session is due for a new session ID.
    pub renew_at: Timestamp,
    /// `session_expiry`: the absolute end of the session, which never changes.
    pub session_expiry: Timestamp,
    /// `amr`: the methods by which the user authenticated (RFC 8176).
    pub methods: Vec<String>,
    /// `scope`: a space-separated list (RFC 8693, section 4.2).
    pub scope: String,
}

/// The claims of a client's own token (RFC 9068, section 2.2), parsed into types. Times are whole seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientClaims {
    /// `iss`: the token's issuer.
    pub issuer: String,
    /// `sub` and `client_id`: the client. Such a token has no user.
    pub client: ClientId,
    /// `aud`: the token's only audience.
    pub audience: String,
    /// `iat`: when the token was signed.
    pub issued_at: Timestamp,
    /// `nbf`: when the token becomes valid (RFC 7519, section 4.1.5), if present. The issuer never sets it.
    pub not_before: Option<Timestamp>,
    /// `exp`: when the token expires.
    pub expires_at: Timestamp,
    /// `jti`: the token's ID. Cut-offs compare the time in it, to the millisecond.
    pub token_id: TokenId,
    /// `scope`: the token's scopes.
    pub scopes: Scopes,
}

impl Claims {
    /// Returns the heap bytes of the claims' texts.
    pub(crate) fn heap_bytes(&self) -> usize {
        let texts = [&self.issuer, &self.audience, &self.client_id, &self.scope];
        let texts = texts.into_iter().chain(&self.methods);
        let places = self.methods.capacity() * size_of::<String>();
        texts.map(String::capacity).sum::<usize>() + places
    }
}

impl ClientClaims {
    /// The claims of a token that an issuer signs at `issued_at`, which ends after `lifetime`.
    #[doc(hidden)]
    #[must_use]
    pub fn new(
        issuer: &str,
        client: ClientId,
        audience: &str,
        scopes: Scopes,
        token_id: TokenId,
        issued_at: Timestamp,
        lifetime: Duration,
    ) -> Self {
        let issued_at = issued_at.whole_second();
        Self {
            issuer: issuer.to_owned(),
            client,
            audience: audience.to_owned(),
            issued_at,
            not_before: None,
            expires_at: issued_at.plus(lifetime).whole_second(),
            token_id,
            scopes,
        }
    }

    /// Returns the heap bytes of the claims' texts.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.issuer.capacity() + self.audience.capacity() + self.scopes.heap_bytes()
    }
}

/// The claims of a session token or a client token.
#[doc(hidden)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnyClaims {
    /// A session's claims.
    Session(Claims),
    /// A client's own claims.
    Client(ClientClaims),
}
