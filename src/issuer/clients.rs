//! Clients: authentication, and issuing and ending their tokens.

use std::time::Duration;

use secrecy::SecretString;

use super::assertion::{BadAssertion, UntrustedAssertion};
use super::{Issuer, LogoutError, SignError};
use crate::account::client::{BeginToken, Client, ClientStart, SecretDigest};
use crate::claims::ClientClaims;
use crate::id::{ClientId, KeyId, TokenId};
use crate::meters::{ClientAuthentication, ClientTokens};
use crate::policy::MAX_LEEWAY;
use crate::revocation::Reason;
use crate::revocation::log::{Revoke, StoreError};
use crate::scope::{READ_REVOCATIONS, Scopes};
use crate::time::Timestamp;
use crate::token;
use crate::verifier::{Superseded, Verified};

/// The credentials that a client presents.
pub enum ClientCredentials {
    /// The client's ID and secret (`client_secret_basic`).
    Secret(ClientId, SecretString),
    /// A signed assertion (`private_key_jwt`), and the `client_id` sent along with it, if any.
    Assertion(String, Option<ClientId>),
}

impl ClientCredentials {
    /// Returns the client that the credentials claim to be from. This proves nothing.
    #[must_use]
    pub fn claimed(&self) -> Option<ClientId> {
        match self {
            Self::Secret(id, _) => Some(*id),
            Self::Assertion(text, _) => {
                let assertion = UntrustedAssertion::parse(text).ok()?;
                Some(assertion.client())
            }
        }
    }
}

/// A client that has authenticated.
#[derive(Debug)]
pub struct AuthenticatedClient {
    client: Client,
    start: ClientStart,
    asked: Timestamp,
}

impl AuthenticatedClient {
    /// Returns the client as it was when it authenticated.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }
}

/// The reason why a client is not authenticated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Unknown client, disabled client, or wrong secret. All get the same answer.
    #[error("no such client, or disabled, or not its secret")]
    Refused,
    /// The assertion is not valid.
    #[error(transparent)]
    Assertion(#[from] BadAssertion),
    /// The assertion was presented before.
    #[error("the client's assertion was presented before")]
    Replayed,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The reason why a client gets no token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientTokenError {
    /// The client requests a scope that it does not have.
    #[error("a scope that the client does not have")]
    Scope,
    /// The client requests an audience that it does not have.
    #[error("an audience that the client does not have")]
    Audience,
    /// The client or everything changed since the client was read.
    #[error("the client was changed meanwhile")]
    Lost,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The token could not be signed.
    #[error(transparent)]
    Signing(#[from] SignError),
}

/// The outcome of a client's request to revoke a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenRevocation {
    /// The token is revoked, on disk and on this node.
    Revoked,
    /// The token belongs to another client.
    WrongClient,
}

/// A new client token.
#[derive(Clone)]
pub struct ClientToken {
    /// The signed text, which is a secret.
    pub token: String,
    /// The token's claims.
    pub claims: ClientClaims,
}

impl Issuer {
    /// Authenticates a client. An unknown client costs the same work as a wrong secret.
    ///
    /// # Errors
    /// [`ClientError`] if the client is refused or the store fails.
    pub async fn authenticate_client(
        &self,
        credentials: &ClientCredentials,
    ) -> Result<AuthenticatedClient, ClientError> {
        let begun = self
            .meters
            .client_authentications
            .begun(ClientAuthentication::Failed);
        let client = self.find_client(credentials).await;
        match &client {
            Ok(_) => begun.ended(ClientAuthentication::Success),
            Err(ClientError::Store(_)) => {}
            Err(_) => begun.ended(ClientAuthentication::Refused),
        }
        client
    }

    async fn find_client(
        &self,
        credentials: &ClientCredentials,
    ) -> Result<AuthenticatedClient, ClientError> {
        let parts = &self.parts;
        // The time is taken before the store is read, so a cut-off in between never precedes the token.
        let asked = self.now();
        match credentials {
            ClientCredentials::Secret(id, secret) => {
                let presented = SecretDigest::of(secret);
                let mut start = parts.clients.start_client(*id).await?;
                let known = start.client.as_ref().map(|client| client.secrets.clone());
                let known = known.unwrap_or_else(|| vec![SecretDigest::of_nobody()]);
                let fits = known
                    .iter()
                    .fold(false, |fits, secret| fits | secret.is(&presented));
                let client = start.client.take().filter(|client| client.enabled && fits);
                let client = client.ok_or(ClientError::Refused)?;
                Ok(AuthenticatedClient {
                    client,
                    start,
                    asked,
                })
            }
            ClientCredentials::Assertion(text, beside) => {
                let assertion = UntrustedAssertion::parse(text)?;
                if beside.is_some_and(|beside| beside != assertion.client()) {
                    return Err(BadAssertion("client_id is another").into());
                }
                let mut start = parts.clients.start_client(assertion.client()).await?;
                let client = start.client.take().filter(|client| client.enabled);
                let client = client.ok_or(ClientError::Refused)?;
                let leeway = parts.policy.timeouts().leeway;
                let presented = assertion.check(&client, parts.policy.issuer(), asked, leeway)?;
                if !parts.clients.present(presented).await? {
                    return Err(ClientError::Replayed);
                }
                Ok(AuthenticatedClient {
                    client,
                    start,
                    asked,
                })
            }
        }
    }

    /// Issues a token to a client, with all of its scopes or the requested ones, for its first audience or the
    /// requested one. A token that can only read revocations gets the feed's audience, whatever the client's audiences
    /// are.
    ///
    /// # Errors
    /// [`ClientTokenError`] if the request is refused or fails.
    pub async fn client_token(
        &self,
        authenticated: &AuthenticatedClient,
        scopes: Option<Scopes>,
        audience: Option<&str>,
    ) -> Result<ClientToken, ClientTokenError> {
        let begun = self.meters.client_tokens.begun(ClientTokens::Failed);
        let token = self.sign_for(authenticated, scopes, audience).await;
        match &token {
            Ok(_) => begun.ended(ClientTokens::Issued),
            Err(ClientTokenError::Store(_) | ClientTokenError::Signing(_)) => {}
            Err(_) => begun.ended(ClientTokens::Refused),
        }
        token
    }

    async fn sign_for(
        &self,
        authenticated: &AuthenticatedClient,
        scopes: Option<Scopes>,
        audience: Option<&str>,
    ) -> Result<ClientToken, ClientTokenError> {
        let parts = &self.parts;
        let AuthenticatedClient {
            client,
            start,
            asked,
        } = authenticated;
        parts.follower.may_add()?;
        let scopes = scopes.unwrap_or_else(|| client.scopes.clone());
        if !scopes.are_within(&client.scopes) {
            return Err(ClientTokenError::Scope);
        }
        let (own, feed) = (parts.policy.audience(), parts.policy.feed_audience());
        let only_reads = scopes.is_only(READ_REVOCATIONS);
        let has = |wanted: &str| {
            let own = wanted == own && client.audiences.is_empty();
            own || client.audiences.iter().any(|audience| audience == wanted)
        };
        let audience = match audience {
            None if only_reads => &feed,
            Some(wanted) if only_reads && (wanted == own || wanted == feed) => &feed,
            None => client.audiences.first().map_or(own, String::as_str),
            Some(wanted) if has(wanted) => wanted,
            Some(_) => return Err(ClientTokenError::Audience),
        };
        let past_horizon = parts.list.horizon().plus(Duration::from_millis(1));
        let time = (*asked)
            .max(Timestamp::from_millis(start.first_time))
            .max(past_horizon);
        let claims = ClientClaims::new(
            parts.policy.issuer(),
            client.id,
            audience,
            scopes,
            TokenId::new(time, &*parts.random),
            *asked,
            parts.client_token_lifetime,
        );
        let keyring = parts.keyring.load_full();
        let revoked = |kid: &KeyId| parts.list.key_revoked(kid);
        let key = keyring.signing(parts.format, *asked, revoked);
        let key = key.ok_or(SignError::NoSigningKey)?;
        let token = token::sign_client(&claims, key).map_err(SignError::from)?;
        let begin = BeginToken {
            client: client.id,
            version: start.version,
            everything_version: start.everything_version,
            token: claims.token_id,
        };
        if !parts.clients.begin_token(begin).await? {
            return Err(ClientTokenError::Lost);
        }
        parts.list.note_lineage(time);
        Ok(ClientToken { token, claims })
    }

    /// Revokes a token for a client (RFC 7009). A client's own token is revoked by its `jti`. For a session's token,
    /// whose holder may end the session, the whole lineage is revoked.
    ///
    /// # Errors
    /// [`LogoutError`]: the outcome is uncertain, try again.
    pub async fn end_token(
        &self,
        client: &AuthenticatedClient,
        token: &Verified,
    ) -> Result<TokenRevocation, LogoutError> {
        let parts = &self.parts;
        match token {
            Verified::Session(session) => {
                let claims = session.claims();
                let lineage = claims.session_id.lineage;
                self.end(lineage, claims.session_expiry, Reason::Client)
                    .await?;
            }
            Verified::Client(token) if token.client() != client.client.id => {
                return Ok(TokenRevocation::WrongClient);
            }
            Verified::Client(token) => {
                let claims = token.claims();
                // The time in the ID may be ahead of the clock, and the horizon that replaces the entry must be later
                // than it.
                let end = claims.expires_at.max(claims.token_id.created_at());
                let what = Revoke::Token(claims.token_id, end.plus(MAX_LEEWAY));
                let at = self.now();
                let seq = parts.log.revoke(what, Reason::Client, at).await?;
                self.settle(seq).await?;
            }
        }
        Ok(TokenRevocation::Revoked)
    }

    /// Ends the session of a token with a superseded generation, at the request of the token's holder.
    ///
    /// # Errors
    /// [`LogoutError`]: the outcome is uncertain, try again.
    pub async fn end_superseded(&self, superseded: &Superseded) -> Result<(), LogoutError> {
        let lineage = superseded.session_id().lineage;
        self.end(lineage, superseded.session_expiry(), Reason::Client)
            .await
            .map(drop)
    }
}
