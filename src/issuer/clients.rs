//! Clients: who they are, the tokens that they get, and the end of those.

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

/// What a client shows to say who it is.
pub enum ClientCredentials {
    /// Its ID and its secret (`client_secret_basic`).
    Secret(ClientId, SecretString),
    /// Something that it signed (`private_key_jwt`), and the ID that it gave beside it, if it did.
    Assertion(String, Option<ClientId>),
}

impl ClientCredentials {
    /// Whose they say they are. It proves nothing.
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

/// A client that has shown who it is.
#[derive(Debug)]
pub struct AuthenticatedClient {
    client: Client,
    start: ClientStart,
    asked: Timestamp,
}

impl AuthenticatedClient {
    /// The client, as it was when it was asked.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }
}

/// Why a client is not who it says, or nobody can tell.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No such client, disabled, or a wrong secret: one answer for all.
    #[error("no such client, or disabled, or not its secret")]
    Refused,
    /// The assertion proves nothing.
    #[error(transparent)]
    Assertion(#[from] BadAssertion),
    /// The assertion was presented before.
    #[error("the client's assertion was presented before")]
    Replayed,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a client gets no token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientTokenError {
    /// It asks for more than it has.
    #[error("a scope that the client does not have")]
    Scope,
    /// It asks for an audience that is not among its own.
    #[error("an audience that the client does not have")]
    Audience,
    /// The client, or everything, was changed meanwhile.
    #[error("the client was changed meanwhile")]
    Lost,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no token.
    #[error(transparent)]
    Signing(#[from] SignError),
}

/// What became of a token that a client wants ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenRevocation {
    /// It is over, on disk and here.
    Revoked,
    /// It is another client's.
    WrongClient,
}

/// A client's new token.
#[derive(Clone)]
pub struct ClientToken {
    /// The signed text. A secret.
    pub token: String,
    /// What it says.
    pub claims: ClientClaims,
}

impl Issuer {
    /// Finds out who a client is. An unknown one takes the same work as a wrong secret.
    ///
    /// # Errors
    /// [`ClientError`].
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
            Ok(_) => begun.ended(ClientAuthentication::Good),
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
        // The time comes before what is read: a cut-off in between is then never before the token.
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

    /// Gives a client a token: for all of its scopes, or those that it asks for; for its first audience, or
    /// the one that it asks for. A token that is only to read revocations is meant for the feed, whatever the
    /// client's audiences are.
    ///
    /// # Errors
    /// [`ClientTokenError`].
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
        let issued_at = asked.whole_second();
        let claims = ClientClaims {
            issuer: parts.policy.issuer().to_owned(),
            client: client.id,
            audience: audience.to_owned(),
            issued_at,
            not_before: None,
            expires_at: issued_at.plus(parts.client_token_lifetime).whole_second(),
            token_id: TokenId::new(time, &*parts.random),
            scopes,
        };
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

    /// Ends a token for a client (RFC 7009): its own, by its `jti`; or that of a session, whose holder may
    /// end it, with its whole lineage.
    ///
    /// # Errors
    /// [`LogoutError`]: nothing is certain, try again.
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
                // Its time may be ahead of the clock, and the horizon that takes the entry's place must be
                // past it.
                let end = claims.expires_at.max(claims.token_id.created_at());
                let what = Revoke::Token(claims.token_id, end.plus(MAX_LEEWAY));
                let at = self.now();
                let seq = parts.log.revoke(what, Reason::Client, at).await?;
                self.settle(seq).await?;
            }
        }
        Ok(TokenRevocation::Revoked)
    }

    /// Ends the session of a token whose generation was superseded, because its holder wants it ended.
    ///
    /// # Errors
    /// [`LogoutError`]: nothing is certain, try again.
    pub async fn end_superseded(&self, superseded: &Superseded) -> Result<(), LogoutError> {
        let lineage = superseded.session_id().lineage;
        self.end(lineage, superseded.session_expiry(), Reason::Client)
            .await
            .map(drop)
    }
}
