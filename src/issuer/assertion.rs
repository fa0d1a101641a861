//! Client assertions (`private_key_jwt`; RFC 7523, section 3, and its revision, which allows only the issuer as the
//! audience): pure rules.

use std::time::Duration;

use crate::account::client::{Client, PresentedAssertion};
use crate::crypto::sha256;
use crate::encoding::strict_json::{Object, Value};
use crate::id::ClientId;
use crate::time::Timestamp;
use crate::token::jws::UntrustedJws;

/// The maximum lifetime of an assertion, and how long it is remembered.
const MAX_LIFETIME: Duration = Duration::from_secs(3600);

/// The maximum length of `jti`, in bytes.
const MAX_JTI_BYTES: usize = 256;

/// The accepted `typ` values: none, the traditional one, and the dedicated one.
const TYPES: [Option<&str>; 3] = [None, Some("JWT"), Some("client-authentication+jwt")];

/// The reason why an assertion is refused, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client's assertion: {0}")]
pub struct BadAssertion(pub(super) &'static str);

/// An assertion that has not been verified.
#[derive(Debug)]
pub struct UntrustedAssertion<'a> {
    jws: UntrustedJws<'a>,
    client: ClientId,
}

impl<'a> UntrustedAssertion<'a> {
    /// Parses the text, which names the client whose keys to use.
    ///
    /// # Errors
    /// [`BadAssertion`] if the text is not a JWS of an assertion's type, or names no client.
    pub fn parse(text: &'a str) -> Result<Self, BadAssertion> {
        let jws = UntrustedJws::parse(text).map_err(|_| BadAssertion("it is not a compact JWS"))?;
        if !TYPES.contains(&jws.typ()) {
            return Err(BadAssertion("typ is not that of an assertion"));
        }
        let client = jws.claimed_subject().and_then(|sub| sub.parse().ok());
        let client = client.ok_or(BadAssertion("sub is not a client ID"))?;
        Ok(Self { jws, client })
    }

    /// Returns the client that the assertion claims to be from.
    #[must_use]
    pub const fn client(&self) -> ClientId {
        self.client
    }

    /// Verifies the assertion with the client's keys. Returns what to remember, because an assertion is single-use.
    ///
    /// # Errors
    /// [`BadAssertion`] says which check failed.
    pub fn check(
        self,
        client: &Client,
        issuer: &str,
        now: Timestamp,
        leeway: Duration,
    ) -> Result<PresentedAssertion, BadAssertion> {
        let keys = client.keys.as_ref();
        let keys = keys.ok_or(BadAssertion("the client has no keys"))?;
        let candidates: Vec<_> = keys.candidates(self.jws.kid()).collect();
        let [key] = candidates.as_slice() else {
            return Err(BadAssertion(
                "kid does not match any registered key of the client",
            ));
        };
        let payload = self.jws.verify_foreign(key);
        let payload = payload
            .map_err(|_| BadAssertion("the algorithm or the signature does not match the key"))?;
        let claims =
            Object::parse(&payload).map_err(|_| BadAssertion("the claims are not strict JSON"))?;
        let text = |name| claims.get(name).and_then(Value::as_str);
        let id = client.id.to_string();
        if text("iss") != Some(&id) || text("sub") != Some(&id) {
            return Err(BadAssertion("iss and sub are not both the client ID"));
        }
        if text("aud") != Some(issuer) {
            return Err(BadAssertion("aud is not the issuer alone, as one text"));
        }
        let time = |name| match claims.get(name) {
            None => Ok(None),
            Some(value) => match value.as_integer() {
                Some(seconds) if seconds >= 0 => Ok(Some(Timestamp::from_secs(seconds))),
                _ => Err(BadAssertion("a time is not a whole number of seconds")),
            },
        };
        let expires_at = time("exp")?.ok_or(BadAssertion("it has no exp"))?;
        if now >= expires_at.plus(leeway) {
            return Err(BadAssertion("it has expired"));
        }
        if expires_at > now.plus(MAX_LIFETIME).plus(leeway) {
            return Err(BadAssertion("it is good for more than an hour"));
        }
        for from in [time("iat")?, time("nbf")?].into_iter().flatten() {
            if from > now.plus(leeway) {
                return Err(BadAssertion("it is from the future"));
            }
        }
        let jti = text("jti").filter(|jti| (1..=MAX_JTI_BYTES).contains(&jti.len()));
        let jti = jti.ok_or(BadAssertion("it has no jti, or a very long one"))?;
        Ok(PresentedAssertion {
            digest: sha256(format!("{id} {jti}").as_bytes()),
            expires_at: expires_at.plus(leeway),
        })
    }
}
