//! What the peers and the measuring share: the tokens.

use serde::{Deserialize, Serialize};

/// Who issues, and for whom.
pub const ISSUER: &str = "https://issuer.example";

/// Of the same size as those of the service's own tokens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    pub iss: String,
    pub sub: String,
    pub aud: String,
    pub client_id: String,
    pub iat: u64,
    pub exp: u64,
    pub jti: String,
    pub sid: String,
    pub auth_time: u64,
    pub renew_at: u64,
    pub session_expiry: u64,
    pub amr: Vec<String>,
    pub scope: String,
}

/// What a peer takes from its environment.
pub mod variable {
    pub const PORT: &str = "PEER_PORT";
    /// HS256 or EdDSA.
    pub const ALGORITHM: &str = "PEER_ALGORITHM";
    /// The secret, or the public key as PEM.
    pub const KEY: &str = "PEER_KEY";
    pub const ISSUER: &str = "PEER_ISSUER";
    /// The deny list's.
    pub const REDIS: &str = "PEER_REDIS";
    /// The file of sessions.
    pub const DATABASE: &str = "PEER_DATABASE";
    /// Whether what verified is remembered.
    pub const CACHE: &str = "PEER_CACHE";
}
