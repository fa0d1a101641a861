//! Tokens for the peers.

use std::time::SystemTime;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use peers::{Claims, ISSUER};
use pem::Pem;
use waxseal::id::{Lineage, TokenId, UserId};
use waxseal::key::{Format, SigningKey, generate_pem};
use waxseal::random::{OsRandom, Random};
use waxseal::time::{Clock, SystemClock};

use crate::Result;

/// Signs them.
pub struct Signer {
    algorithm: Algorithm,
    key: EncodingKey,
    /// What verifies them: the secret, or the public key as PEM.
    pub verifies: String,
    random: OsRandom,
}

impl Signer {
    pub fn hs256() -> Self {
        let random = OsRandom::new();
        let secret = secret(&random);
        Self {
            algorithm: Algorithm::HS256,
            key: EncodingKey::from_secret(secret.as_bytes()),
            verifies: secret,
            random,
        }
    }

    pub fn eddsa() -> Result<Self> {
        // RFC 8410: what stands before the 32 bytes of the key.
        const PUBLIC: [u8; 12] = [48, 42, 48, 5, 6, 3, 43, 101, 112, 3, 33, 0];
        let random = OsRandom::new();
        let private = generate_pem(waxseal::key::Algorithm::EdDsa, &random);
        let key = SigningKey::from_pem(private.as_bytes(), Format::Jwt)?;
        let public = [&PUBLIC, key.public().public_bytes()].concat();
        Ok(Self {
            algorithm: Algorithm::EdDSA,
            key: EncodingKey::from_ed_pem(private.as_bytes())?,
            verifies: pem::encode(&Pem::new("PUBLIC KEY", public)),
            random,
        })
    }

    /// Its name in a header.
    pub fn name(&self) -> &'static str {
        match self.algorithm {
            Algorithm::HS256 => "HS256",
            _ => "EdDSA",
        }
    }

    /// A token that ends that many seconds from now.
    pub fn token(&self, seconds: i64) -> Result<String> {
        let at = SystemClock.now();
        let now = SystemTime::UNIX_EPOCH.elapsed()?.as_secs();
        let ends = now.saturating_add_signed(seconds);
        let claims = Claims {
            iss: ISSUER.to_owned(),
            sub: UserId::new(at, &self.random).to_string(),
            aud: ISSUER.to_owned(),
            client_id: "waxseal".to_owned(),
            iat: now,
            exp: ends,
            jti: TokenId::new(at, &self.random).to_string(),
            sid: format!("{}.0", Lineage::new(at, &self.random)),
            auth_time: now,
            renew_at: ends,
            session_expiry: ends,
            amr: vec!["pwd".to_owned()],
            scope: "session".to_owned(),
        };
        Ok(encode(&Header::new(self.algorithm), &claims, &self.key)?)
    }
}

/// One that nobody guesses.
pub fn secret(random: &OsRandom) -> String {
    let mut bytes = [0; 32];
    random.fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
