//! Clients: services with their own credentials.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use crate::crypto::sha256;
use crate::encoding::base64url;
use crate::encoding::strict_json::Object;
use crate::id::{ClientId, InvalidId, TokenId};
use crate::key::{KeyError, VerifyingKey};
use crate::random::Random;
use crate::revocation::log::StoreError;
use crate::scope::Scopes;
use crate::time::Timestamp;

/// The prefix of client secrets, by which secret scanners find a leaked one.
const SECRET_PREFIX: &str = "wxs_";

/// The maximum number of keys per client.
const MAX_KEYS: usize = 8;

/// A client's human-readable name, with the syntax of a username.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientName(String);

impl ClientName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ClientName {
    type Err = InvalidId;

    /// Refuses names that parse as a client ID, because they could be mistaken for one.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let refused =
            InvalidId::of("client name (1 to 64 characters of a-z 0-9 . _ - @ +, and not an ID)");
        let name: super::Username = text.parse().map_err(|_| refused)?;
        if name.as_str().parse::<ClientId>().is_ok() {
            return Err(refused);
        }
        Ok(Self(name.to_string()))
    }
}

/// The stored digest of a client secret. A secret has 256 random bits and cannot be guessed, so a plain digest
/// suffices: a slow hash would only add cost.
#[derive(Clone, Copy)]
pub struct SecretDigest([u8; 32]);

impl SecretDigest {
    /// Generates a secret and its digest.
    #[must_use]
    pub fn make(random: &dyn Random) -> (SecretString, Self) {
        let mut bytes = [0; 32];
        random.fill(&mut bytes);
        let secret = SecretString::from(format!("{SECRET_PREFIX}{}", base64url::encode(&bytes)));
        let digest = Self::of(&secret);
        (secret, digest)
    }

    /// Returns the digest of a presented secret.
    #[doc(hidden)]
    #[must_use]
    pub fn of(secret: &SecretString) -> Self {
        Self(sha256(secret.expose_secret().as_bytes()))
    }

    /// Returns a digest that no secret has.
    #[doc(hidden)]
    #[must_use]
    pub const fn of_nobody() -> Self {
        Self([0; 32])
    }

    /// Wraps a digest read from the store.
    #[doc(hidden)]
    #[must_use]
    pub const fn from_store(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes to store.
    #[doc(hidden)]
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Constant-time equality.
    #[doc(hidden)]
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretDigest")
    }
}

/// The public keys that a client signs its assertions with (RFC 7523): a JWK set of EdDSA and ES256 keys.
#[derive(Clone, Debug)]
pub struct ClientKeys {
    json: String,
    keys: Vec<VerifyingKey>,
}

impl ClientKeys {
    /// Parses a JWK set (RFC 7517, section 5) or a single public JWK.
    ///
    /// # Errors
    /// [`KeyError`] says what is wrong. Private keys are refused too.
    pub fn parse(json: &str) -> Result<Self, KeyError> {
        let object =
            Object::parse(json.as_bytes()).map_err(|_| KeyError::Jwk("it is not strict JSON"))?;
        let keys = match object.get("keys") {
            None => vec![VerifyingKey::from_jwk_object(&object)?],
            Some(keys) => {
                let keys = keys.as_array().ok_or(KeyError::Jwk("keys is not a list"))?;
                let parse = |key: &crate::encoding::strict_json::Value<'_>| {
                    let object = key
                        .as_object()
                        .ok_or(KeyError::Jwk("a key is not an object"))?;
                    VerifyingKey::from_jwk_object(object)
                };
                keys.iter().map(parse).collect::<Result<Vec<_>, _>>()?
            }
        };
        if keys.is_empty() || keys.len() > MAX_KEYS {
            return Err(KeyError::Jwk("there must be 1 to 8 keys"));
        }
        let names: BTreeSet<_> = keys.iter().map(VerifyingKey::kid).collect();
        if names.len() < keys.len() {
            return Err(KeyError::Jwk("two of the keys have one kid"));
        }
        Ok(Self {
            json: json.to_owned(),
            keys,
        })
    }

    /// Returns the JSON text that the keys were parsed from.
    #[doc(hidden)]
    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }

    /// Returns the keys that may have signed an assertion with this `kid`. Without a `kid`, these are all keys.
    #[doc(hidden)]
    pub fn candidates(&self, kid: Option<&str>) -> impl Iterator<Item = &VerifyingKey> {
        let fits = move |key: &&VerifyingKey| kid.is_none_or(|kid| key.kid().as_str() == kid);
        self.keys.iter().filter(fits)
    }
}

/// A client as stored.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Client {
    /// The client's identity.
    pub id: ClientId,
    /// The client's name.
    pub name: ClientName,
    /// The scopes that the client's tokens may have.
    pub scopes: Scopes,
    /// The audiences that the client's tokens may have. The first is the default. Empty means the issuer's own
    /// audience.
    pub audiences: Vec<String>,
    /// Whether the client can get tokens.
    pub enabled: bool,
    /// When the client was added.
    pub created_at: Timestamp,
    /// The newest secret, and the previous one while both are valid.
    pub secrets: Vec<SecretDigest>,
    /// The keys that the client signs assertions with.
    pub keys: Option<ClientKeys>,
}

impl Client {
    /// A client that can get tokens without scopes, for the issuer's own audience, once it has a secret or keys.
    #[must_use]
    pub fn new(id: ClientId, name: ClientName, created_at: Timestamp) -> Self {
        Self {
            id,
            name,
            scopes: Scopes::default(),
            audiences: Vec::new(),
            enabled: true,
            created_at,
            secrets: Vec::new(),
            keys: None,
        }
    }
}

/// A client that requests a token, from one read of the store.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct ClientStart {
    /// The client, if there is one.
    pub client: Option<Client>,
    /// Changes with every change of the client.
    pub version: i64,
    /// The earliest time, in milliseconds, that no cut-off of this client or of everything ends.
    pub first_time: i64,
    /// Changes with every cut-off of everything.
    pub everything_version: i64,
}

/// A presented assertion, remembered until it expires, so that a replay is refused.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct PresentedAssertion {
    /// The digest of the assertion's client and `jti`.
    pub digest: [u8; 32],
    /// The time after which the assertion is refused as expired.
    pub expires_at: Timestamp,
}

/// A client token to store before it is returned. The request loses to any change of the client, and to any cut-off of
/// everything, since the client was read.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct BeginToken {
    /// The client that gets the token.
    pub client: ClientId,
    /// The client's version when it was read.
    pub version: i64,
    /// The version of everything when the client was read.
    pub everything_version: i64,
    /// The token's ID. Cut-offs compare the time in it.
    pub token: TokenId,
}

/// A change to a client.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientChange {
    /// Adds a secret. Of the earlier secrets only the newest stays valid.
    AddSecret(SecretDigest),
    /// Removes all secrets except the newest.
    FinishRotation,
    /// Replaces the keys.
    Keys(ClientKeys),
    /// Stops the client from getting tokens and ends its existing ones.
    Disable,
    /// Lets the client get tokens again.
    Enable,
    /// Deletes the client and ends its tokens.
    Delete,
    /// Ends the client's tokens.
    EndTokens,
}

/// The outcome of a change to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// The change is stored.
    Done,
    /// The change is stored, and the revocation with this `seq` ended the client's tokens.
    Revoked(i64),
    /// The client does not exist.
    Unknown,
}

/// The durable store of clients.
#[async_trait]
pub trait Clients: Send + Sync + fmt::Debug {
    /// Returns all clients, ordered by name.
    async fn clients(&self) -> Result<Vec<Client>, StoreError>;

    /// Returns the client with that name.
    async fn client_named(&self, name: &ClientName) -> Result<Option<Client>, StoreError>;

    /// Adds a client. Returns `false` if a client with that name exists.
    async fn add_client(&self, client: Client) -> Result<bool, StoreError>;

    /// Changes a client.
    async fn change_client(
        &self,
        client: ClientId,
        change: ClientChange,
        at: Timestamp,
    ) -> Result<Changed, StoreError>;

    /// Reads everything that is needed to authenticate a client.
    #[doc(hidden)]
    async fn start_client(&self, client: ClientId) -> Result<ClientStart, StoreError>;

    /// Remembers an assertion. Returns `false` if it was presented before.
    #[doc(hidden)]
    async fn present(&self, assertion: PresentedAssertion) -> Result<bool, StoreError>;

    /// Records a token issuance. Returns `false` if the client or everything changed since the client was read.
    #[doc(hidden)]
    async fn begin_token(&self, begin: BeginToken) -> Result<bool, StoreError>;

    /// Forgets assertions that expired at or before `until`.
    #[doc(hidden)]
    async fn forget_assertions(&self, until: Timestamp) -> Result<(), StoreError>;
}
