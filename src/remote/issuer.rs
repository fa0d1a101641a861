//! A client of the issuer for a verifier in another process: fetches keys, a token for the feed, and pages of the feed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::requests::{Credentials, Http, HttpError, PAGE_BYTES, SMALL_BYTES};
use crate::id::ClientId;
use crate::key::VerifyingKey;
use crate::keyring::{Keyring, KeyringError};
use crate::revocation::feed::{FeedPage, FeedPosition};
use crate::time::Clock;

/// The largest number of keys that an issuer may have.
const MAX_KEYS: usize = 64;

/// The failure to fetch or parse the issuer's keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// The keys could not be fetched.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The keys cannot be used.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The list of PASERKs is malformed, or a PASERK does not match its key ID.
    #[error("it is not a list of PASERKs")]
    Paserks,
    /// There are more keys than an issuer may have.
    #[error("there are more than {MAX_KEYS} keys")]
    TooMany,
}

/// The failure of a request to the issuer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The request failed, or its answer is a refusal.
    #[error("{0}")]
    Http(Doing, #[source] HttpError),
    /// The answer is not what the issuer sends.
    #[error("{0}: the answer is not what was asked for")]
    Malformed(Doing),
}

impl AskError {
    /// The time after which the issuer wants to be asked again, if it answered that it is overloaded or unavailable.
    pub(super) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Http(
                _,
                HttpError::Status {
                    status: StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE,
                    retry_after,
                    ..
                },
            ) => *retry_after,
            _ => None,
        }
    }

    /// Whether the issuer answered that the client exceeded its quota.
    pub(super) fn is_over_quota(&self) -> bool {
        matches!(self, Self::Http(_, HttpError::Status { status, .. }) if *status == StatusCode::TOO_MANY_REQUESTS)
    }
}

/// A kind of request to the issuer.
#[derive(Clone, Copy, Debug)]
pub enum Doing {
    /// The public keys.
    Keys,
    /// A token for the feed.
    Token,
    /// A page of the feed.
    Page,
    /// The stream of the feed.
    Stream,
}

impl Doing {
    /// The path of the request.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Keys => "/.well-known/jwks.json",
            Self::Token => "/oauth/token",
            Self::Page | Self::Stream => "/revocations",
        }
    }
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keys => "getting the keys",
            Self::Token => "getting a token for the feed",
            Self::Page => "reading the feed",
            Self::Stream => "listening to the feed",
        })
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: SecretString,
    expires_in: u64,
}

#[derive(Deserialize)]
struct Paserks {
    keys: Vec<Paserk>,
}

#[derive(Deserialize)]
struct Paserk {
    kid: String,
    paserk: String,
}

/// A token for the feed, and the monotonic time until which it is used.
struct Held {
    token: SecretString,
    until: Duration,
}

/// A client of the issuer.
pub(super) struct IssuerClient {
    http: Http,
    client: ClientId,
    secret: SecretString,
    held: Mutex<Option<Held>>,
    clock: Arc<dyn Clock>,
}

impl IssuerClient {
    pub(super) fn new(
        http: Http,
        client: ClientId,
        secret: SecretString,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let held = Mutex::new(None);
        Self {
            http,
            client,
            secret,
            held,
            clock,
        }
    }

    pub(super) const fn client(&self) -> ClientId {
        self.client
    }

    /// Fetches the issuer's public keys of both formats. A key verifies for as long as the issuer publishes it.
    pub(super) async fn keys(&self) -> Result<Keyring, KeysError> {
        let get = |path| self.http.get(path, Credentials::None, None, SMALL_BYTES);
        let jwks = get(Doing::Keys.path()).await?;
        let paserks = get("/.well-known/paserks.json").await?;
        let mut keys = Keyring::keys_of_jwks(&jwks)?;
        let paserks: Paserks = serde_json::from_slice(&paserks).map_err(|_| KeysError::Paserks)?;
        for Paserk { kid, paserk } in paserks.keys {
            let key = VerifyingKey::from_paserk(&paserk).map_err(|_| KeysError::Paserks)?;
            if key.kid().as_str() != kid {
                return Err(KeysError::Paserks);
            }
            keys.push(key);
        }
        if keys.len() > MAX_KEYS {
            return Err(KeysError::TooMany);
        }
        Ok(Keyring::from_verifying_keys(keys)?)
    }

    async fn token(&self) -> Result<SecretString, AskError> {
        let mut held = self.held.lock().await;
        let asked = self.clock.uptime();
        if let Some(held) = held.as_ref().filter(|held| asked < held.until) {
            return Ok(held.token.clone());
        }
        let pair = Zeroizing::new(format!("{}:{}", self.client, self.secret.expose_secret()));
        let pair = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
        let form = "grant_type=client_credentials&scope=revocations%3Aread";
        let granted = self
            .http
            .post_form(Doing::Token.path(), Credentials::Basic(&pair), form)
            .await
            .map_err(|cause| AskError::Http(Doing::Token, cause))?;
        let granted: TokenAnswer =
            serde_json::from_slice(&granted).map_err(|_| AskError::Malformed(Doing::Token))?;
        let lifetime = Duration::from_secs(granted.expires_in.min(24 * 3600));
        *held = Some(Held {
            token: granted.access_token.clone(),
            until: asked + lifetime * 3 / 4,
        });
        Ok(granted.access_token)
    }

    /// Drops the token after a refusal: it or its key may have been revoked. The next request gets another.
    async fn refused(&self, error: &HttpError) {
        if matches!(error, HttpError::Status { status, .. } if [401, 403].contains(&status.as_u16()))
        {
            *self.held.lock().await = None;
        }
    }

    /// Fetches the page of the feed after a position. The nonce is also the request ID in the issuer's log.
    pub(super) async fn page(
        &self,
        after: FeedPosition,
        nonce: &str,
    ) -> Result<FeedPage, AskError> {
        let from = match after {
            FeedPosition::Delta(seq) => format!("after={seq}"),
            FeedPosition::Snapshot(seq) => format!("snapshot={seq}"),
        };
        let path = format!("{}?{from}&nonce={nonce}", Doing::Page.path());
        let token = self.token().await?;
        let answer = self
            .http
            .get(
                &path,
                Credentials::Bearer(token.expose_secret()),
                Some(nonce),
                PAGE_BYTES,
            )
            .await;
        match answer {
            Ok(body) => serde_json::from_slice(&body).map_err(|_| AskError::Malformed(Doing::Page)),
            Err(cause) => {
                self.refused(&cause).await;
                Err(AskError::Http(Doing::Page, cause))
            }
        }
    }

    /// Calls `rung` for each message of the feed's stream, until the stream ends or falls silent.
    pub(super) async fn listen(
        &self,
        silence: Duration,
        rung: impl FnMut(),
    ) -> Result<(), AskError> {
        let token = self.token().await?;
        let credentials = Credentials::Bearer(token.expose_secret());
        let path = Doing::Stream.path();
        let heard = self.http.listen(path, credentials, silence, rung);
        match heard.await {
            Ok(()) => Ok(()),
            Err(cause) => {
                self.refused(&cause).await;
                Err(AskError::Http(Doing::Stream, cause))
            }
        }
    }
}
