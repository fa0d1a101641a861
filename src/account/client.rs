//! Clients: services with credentials of their own.

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

/// What a client's secret begins with, so that one that leaked is found by who looks for it.
const SECRET_PREFIX: &str = "wxs_";

/// How many keys a client may have.
const MAX_KEYS: usize = 8;

/// A client's name, for people: as a username.
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

    /// One that begins like a client ID could be taken for one.
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

/// What is kept of a client's secret. A secret has 256 random bits: nobody tries them all, so a plain
/// digest keeps it, and costs no more than it must.
#[derive(Clone, Copy)]
pub struct SecretDigest([u8; 32]);

impl SecretDigest {
    /// A new secret, and what is to be kept of it.
    #[must_use]
    pub fn make(random: &dyn Random) -> (SecretString, Self) {
        let mut bytes = [0; 32];
        random.fill(&mut bytes);
        let secret = SecretString::from(format!("{SECRET_PREFIX}{}", base64url::encode(&bytes)));
        let digest = Self::of(&secret);
        (secret, digest)
    }

    /// Of a secret that is presented.
    #[must_use]
    pub fn of(secret: &SecretString) -> Self {
        Self(sha256(secret.expose_secret().as_bytes()))
    }

    /// Of none: no secret has it.
    #[must_use]
    pub const fn of_nobody() -> Self {
        Self([0; 32])
    }

    /// From the store.
    #[must_use]
    pub const fn from_store(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// For the store.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether they are one, in a time that does not tell how alike they are.
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
    /// From a JWK set (RFC 7517, section 5), or a single public JWK.
    ///
    /// # Errors
    /// [`KeyError`] says what is wrong with it: private halves are refused too.
    pub fn parse(json: &str) -> Result<Self, KeyError> {
        let object =
            Object::parse(json.as_bytes()).map_err(|_| KeyError::Jwk("it is not strict JSON"))?;
        let keys = match object.get("keys") {
            None => vec![VerifyingKey::from_jwk_object(&object)?],
            Some(keys) => {
                let keys = keys.as_array().ok_or(KeyError::Jwk("keys is no list"))?;
                let parse = |key: &crate::encoding::strict_json::Value<'_>| {
                    let object = key.as_object().ok_or(KeyError::Jwk("a key is no object"))?;
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

    /// The text that they were read from.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }

    /// Those that an assertion which names `kid` can be signed with.
    pub fn candidates(&self, kid: Option<&str>) -> impl Iterator<Item = &VerifyingKey> {
        let fits = move |key: &&VerifyingKey| kid.is_none_or(|kid| key.kid().as_str() == kid);
        self.keys.iter().filter(fits)
    }
}

/// A client as the store has it.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its identity.
    pub id: ClientId,
    /// Its name.
    pub name: ClientName,
    /// What its tokens may permit.
    pub scopes: Scopes,
    /// Whom its tokens may be meant for, the first one if it does not say. None: the issuer's own audience.
    pub audiences: Vec<String>,
    /// Whether it gets tokens.
    pub enabled: bool,
    /// When it was added.
    pub created_at: Timestamp,
    /// The newest secret, and the one before while both are good.
    pub secrets: Vec<SecretDigest>,
    /// The keys that it signs assertions with.
    pub keys: Option<ClientKeys>,
}

/// A client that asks for a token, as one look at the store sees it.
#[derive(Clone, Debug)]
pub struct ClientStart {
    /// The client, if there is one.
    pub client: Option<Client>,
    /// Changes with whatever is changed about the client.
    pub version: i64,
    /// The first time, in milliseconds, that no cut-off of this client or of everything ends.
    pub first_time: i64,
    /// Changes with every cut-off of everything.
    pub everything_version: i64,
}

/// An assertion that was presented, to be remembered until nobody would accept it any more.
#[derive(Clone, Copy, Debug)]
pub struct PresentedAssertion {
    /// The digest of whose it is and of its `jti`.
    pub digest: [u8; 32],
    /// After this instant it is refused for its age.
    pub expires_at: Timestamp,
}

/// A client's token, to be written before it is handed out. It loses to whatever changed the client, or
/// ended everything, since the client was read.
#[derive(Clone, Copy, Debug)]
pub struct BeginToken {
    /// Whose.
    pub client: ClientId,
    /// The client's version when it was read.
    pub version: i64,
    /// The version of everything then.
    pub everything_version: i64,
    /// The token: the time in it is what cut-offs go by.
    pub token: TokenId,
}

/// What is changed about a client.
#[derive(Clone, Debug)]
pub enum ClientChange {
    /// A new secret, beside the newest one of those before.
    AddSecret(SecretDigest),
    /// All secrets end but the newest.
    FinishRotation,
    /// Other keys.
    Keys(ClientKeys),
    /// It gets no tokens any more, and those that it has end.
    Disable,
    /// It gets tokens again.
    Enable,
    /// It is gone, and its tokens end.
    Delete,
    /// Its tokens end.
    EndTokens,
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It is done.
    Done,
    /// It is done, and the tokens were ended by the revocation of that `seq`.
    Revoked(i64),
    /// There is no such client.
    Unknown,
}

/// What the durable store of clients can do.
#[async_trait]
pub trait Clients: Send + Sync + fmt::Debug {
    /// All clients, by name.
    async fn clients(&self) -> Result<Vec<Client>, StoreError>;

    /// The client of that name.
    async fn client_named(&self, name: &ClientName) -> Result<Option<Client>, StoreError>;

    /// Adds a client. False if there is one of that name.
    async fn add_client(&self, client: Client) -> Result<bool, StoreError>;

    /// Changes a client.
    async fn change_client(
        &self,
        client: ClientId,
        change: ClientChange,
        at: Timestamp,
    ) -> Result<Changed, StoreError>;

    /// Looks at everything that must be known of a client that authenticates.
    async fn start_client(&self, client: ClientId) -> Result<ClientStart, StoreError>;

    /// Remembers an assertion. False if it was presented before.
    async fn present(&self, assertion: PresentedAssertion) -> Result<bool, StoreError>;

    /// Writes that a client gets a token. False if the client or everything changed since it was read.
    async fn begin_token(&self, begin: BeginToken) -> Result<bool, StoreError>;

    /// Forgets assertions that expired at or before `until`.
    async fn forget_assertions(&self, until: Timestamp) -> Result<(), StoreError>;
}
