//! What a token says: that of a session, or that of a client.

use crate::id::{ClientId, SessionId, TokenId, UserId};
use crate::scope::Scopes;
use crate::time::Timestamp;

/// The claims of a session token (RFC 9068, section 2.2, and our own), each of its type. Times are
/// whole seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// `iss`: who issued it.
    pub issuer: String,
    /// `sub`: whose session it is.
    pub subject: UserId,
    /// `aud`: the one audience that it is meant for.
    pub audience: String,
    /// `client_id`: the client that it was issued to (RFC 8693, section 4.3).
    pub client_id: String,
    /// `iat`: when this token was signed.
    pub issued_at: Timestamp,
    /// `nbf`: from when this token is good (RFC 7519, section 4.1.5), if it says so. The issuer writes none.
    pub not_before: Option<Timestamp>,
    /// `exp`: the absolute end of this token.
    pub expires_at: Timestamp,
    /// `jti`: this token.
    pub token_id: TokenId,
    /// `sid`: the session.
    pub session_id: SessionId,
    /// `auth_time`: when the user logged in.
    pub auth_time: Timestamp,
    /// `renew_at`: when the session is due for a new session ID.
    pub renew_at: Timestamp,
    /// `session_expiry`: the absolute end of the session. It never moves.
    pub session_expiry: Timestamp,
    /// `amr`: how the user logged in (RFC 8176).
    pub methods: Vec<String>,
    /// `scope`: space-separated (RFC 8693, section 4.2).
    pub scope: String,
}

/// The claims of a client's own token (RFC 9068, section 2.2), each of its type. Times are whole seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientClaims {
    /// `iss`: who issued it.
    pub issuer: String,
    /// `sub` and `client_id`: whose it is. There is no user in it.
    pub client: ClientId,
    /// `aud`: the one audience that it is meant for.
    pub audience: String,
    /// `iat`: when it was signed.
    pub issued_at: Timestamp,
    /// `nbf`: from when it is good (RFC 7519, section 4.1.5), if it says so. The issuer writes none.
    pub not_before: Option<Timestamp>,
    /// `exp`: its end.
    pub expires_at: Timestamp,
    /// `jti`: this token. The time in it says, to the millisecond, which cut-offs it is past.
    pub token_id: TokenId,
    /// `scope`: what it permits.
    pub scopes: Scopes,
}

impl Claims {
    /// The bytes of its texts.
    pub(crate) fn heap_bytes(&self) -> usize {
        let texts = [&self.issuer, &self.audience, &self.client_id, &self.scope];
        let texts = texts.into_iter().chain(&self.methods);
        let places = self.methods.capacity() * size_of::<String>();
        texts.map(String::capacity).sum::<usize>() + places
    }
}

impl ClientClaims {
    /// The bytes of its texts.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.issuer.capacity() + self.audience.capacity() + self.scopes.heap_bytes()
    }
}

/// The claims of a token of either kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnyClaims {
    /// A session's.
    Session(Claims),
    /// A client's own.
    Client(ClientClaims),
}
